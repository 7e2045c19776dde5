import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { openChain, type Chain } from "../chain/chain.ts";
import { compareWithRoot } from "../chain/log-roots/compare.ts";
import { LOG_ROOTS } from "../chain/log-roots/contract.ts";
import type { NamedLog, PublishedRoot } from "../chain/log-roots/published.ts";
import { publishRoot, type RootPublished } from "../chain/owner/publish-root.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { AuditResult } from "../receipts/audit-codes.ts";
import { logHead } from "../receipts/log.ts";
import { rootOfLog } from "../receipts/log-root.ts";
import type { Db } from "../storage/database.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { wholeNumber } from "./numbers.ts";
import { consent, gasText, gasView } from "./owner.ts";
import { busy } from "./progress.ts";
import { withStore } from "./session.ts";
import { untilSignal } from "./until-signal.ts";
import { openWallet } from "./wallet.ts";

/** Where a log's roots are, by the configuration; null where it names no place. */
function placeOf({ logRoots, networks }: Config): { chain: Chain; log: NamedLog } | null {
  const network = networks.find((one) => one.network === logRoots?.network);
  return logRoots === undefined || network === undefined ? null : { chain: openChain(network), log: logRoots };
}

/** An audit's result, and the newest root on chain beside it: null if none was published. Absent if no chain was asked. */
export type RootedAudit = AuditResult & { root?: PublishedRoot | null };

/** Compares a whole log with its newest root on chain, if the configuration names a place for roots. */
export async function auditedWithRoot(db: Db, config: Config, result: AuditResult): Promise<RootedAudit> {
  const place = placeOf(config);
  if (place === null || !result.ok) return result;
  const { root, problem } = await compareWithRoot(db, place.chain, place.log);
  return problem === null ? { ...result, root } : { ...problem, root };
}

/** What a compared audit says of the root, for people. */
export const rootText = ({ entries, at }: PublishedRoot): string =>
  `It holds the root over ${entries} entries that the chain has kept since ${new Date(at * 1000).toISOString()}.`;

type Options = { every?: string; yes?: boolean };
type Publisher = { db: Db; wallet: Wallet; chain: Chain; log: NamedLog; confirm: (atMost: bigint) => Promise<void> };

/** After these a later try may do: nothing is lost, and a signed transaction is taken up again. */
const PASSING: readonly string[] = [
  "transaction_undecided",
  "chain_unreachable",
  "gas_cost_too_high",
  "gas_missing",
  "database_busy",
  "database_unreachable",
];

/** `proof402 log publish`: puts a root over the log's entries on chain, once or whenever there are new ones. */
export async function publishLog({ every, yes }: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const minutes = every === undefined ? null : wholeNumber(every, "--every", { from: 1, to: 10_080 });
  const { config, wallet } = await openWallet(rest);
  const place = placeOf(config);
  if (place === null) {
    throw new Proof402Error("log_roots_not_configured", "No chain is configured for roots of the log.", {
      next: `Add "logRoots": { "network", "publisher": "${wallet.address}" } to the configuration.`,
    });
  }
  if (place.log.publisher !== wallet.address) {
    throw new Proof402Error("publisher_differs", `logRoots.publisher is ${place.log.publisher}, not this wallet.`, {
      next: `An audit looks for roots of that address. Use its wallet, or write ${wallet.address} there.`,
    });
  }
  return withStore(rest, async (db) => {
    const publisher = { db, wallet, ...place, confirm: consent(place.chain.network, yes) };
    if (minutes === null) {
      tell(await publishNew(publisher), publisher, json);
      return EXIT.ok;
    }
    await untilSignal(async (ended) => {
      const end = new AbortController();
      void ended.then(() => end.abort());
      while (!end.signal.aborted) {
        try {
          tell(await publishNew(publisher), publisher, json);
        } catch (error) {
          if (!Proof402Error.isInstance(error) || !PASSING.includes(error.code)) throw error;
          note(`${error.message} Tried again in ${minutes} min.`);
        }
        await sleep(minutes * 60_000, undefined, { signal: end.signal }).catch(() => undefined);
      }
    });
    return EXIT.ok;
  });
}

/** Publishes a root over all entries of now, after a look at what the chain has. Null where it has a root over as many. */
async function publishNew({ db, wallet, chain, log, confirm }: Publisher): Promise<RootPublished | null> {
  const { root: before, problem } = await compareWithRoot(db, chain, log);
  if (problem !== null) {
    throw new Proof402Error("log_broken", `${problem.message} No root was published. [${problem.code}]`, {
      next: "Look for the database that the root was made of. A log begun again needs a logRoots.name of its own.",
    });
  }
  const { seq } = await logHead(db);
  if (seq === (before?.entries ?? 0)) return null;
  const { entries, root } = await busy("Walking the log", () => rootOfLog(db, seq));
  note(`Publishes a root over ${entries} entries of log "${log.name}" to ${LOG_ROOTS} on ${chain.network}. Costs gas.`);
  return publishRoot({ db, chain, wallet, confirm }, { name: log.name, entries, root });
}

function tell(done: RootPublished | null, { chain, log }: Publisher, json: boolean): void {
  const where = { network: chain.network, contract: LOG_ROOTS, publisher: log.publisher, name: log.name };
  if (done === null) {
    if (json) printResult({ ...where, published: null }, "There is nothing new to publish.");
    else print("The chain has a root over all entries already.");
    return;
  }
  const { kept, published, deployed } = done;
  const view = {
    ...where,
    ...kept,
    published: { transaction: published.transaction, ...gasView(published) },
    ...(deployed === null ? {} : { deployed: { transaction: deployed.transaction, ...gasView(deployed) } }),
  };
  if (json) printResult(view, "An audit that names this publisher compares the log with it.");
  else {
    if (deployed !== null) print(`Put the contract there in ${deployed.transaction}, ${gasText(deployed)}.`);
    print(`Root ${kept.root} over ${kept.entries} entries is on ${chain.network}.`);
    print(`Published in ${published.transaction}, ${gasText(published)}.`);
  }
}
