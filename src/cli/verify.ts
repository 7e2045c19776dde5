import { fullId, isIdLike } from "../receipts/search.ts";
import { requireReceipt } from "../receipts/store.ts";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { appraisalPolicyOf } from "../buyer/context.ts";
import { judgeAgain, judgeContext } from "../buyer/judge.ts";
import { judgeOnline } from "../buyer/judge-online.ts";
import { readChainAgain, type ReadAgain } from "../buyer/online.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { createEzklEngine } from "../ezkl/engine.ts";
import { openChain } from "../chain/chain.ts";
import { openToRead } from "../storage/database.ts";
import { isPostgres } from "../storage/postgres-address.ts";
import { ASSURANCES, type Appraisal, type Assurance, type Receipt, type Verdict } from "../receipts/schema.ts";
import { verificationOf } from "../tools/verify-receipt.ts";
import { appraise } from "../verify/appraise.ts";
import { readFacts } from "../verify/facts.ts";
import { ON_CHAIN } from "../verify/verdict.ts";
import { appraisalPolicySchema, policyHash, sellerOf, type AppraisalPolicy } from "../verify/policy.ts";
import { factList } from "./fact-list.ts";
import { layerTable, waitFor } from "./layer-table.ts";
import { EXIT, globals, note, print, printResult, type GlobalOptions } from "./globals.ts";
import { timeOf } from "./numbers.ts";
import { isReport, MAX_REPORT_BYTES } from "../receipts/report-schema.ts";
import { readBounded, receiptOf } from "./receipt-file.ts";
import { storyOf, storyText } from "./receipt-story.ts";
import { configOf, usable, withStore } from "./session.ts";
import { readTrustFile } from "./trust.ts";
import { verifyFolder } from "./verify-folder.ts";
import { EXIT_OF, verifyReportFile } from "./verify-report.ts";

type Options = { head?: string[]; page?: boolean; at?: string; assurance?: string; trust?: string; online?: boolean };
type Asked = { at: Date | undefined; assurance: Assurance | undefined };
/** A receipt as it was judged, and by what. */
type Judged = { receipt: Receipt; appraisal: Appraisal; policy: AppraisalPolicy };

/**
 * `proof402 verify FILE|ID|FOLDER`: judges a receipt from its own evidence, offline, by the configuration or by a trust file. A file
 * needs neither wallet nor database; where there is a database, what it knows of the purchase counts. `--online` reads the
 * chain again. A report of decisions is checked in the same way, and each receipt file of a folder. Exits by the verdict: 0 verified, 1 failed, 2 pending or unverified; 64 for a file that cannot be read.
 */
export async function verify(target: string | undefined, options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  if (options.page === true) return namePage(json);
  if (target === undefined) throw usage("No receipt or report was named.");
  const asked = { assurance: readAssurance(options.assurance), at: readTime(options.at) };
  const trust = options.trust === undefined ? null : await readTrustFile(options.trust);
  // A trust file is all there is to judge by, and only reading the chain takes more.
  const config = trust !== null && options.online !== true ? null : await configIfAny(rest);
  if (!isIdLike(target) && (await isFolder(target))) {
    if (options.online === true || options.head !== undefined)
      throw usage("A folder is judged offline, file by file, without --online and --head.");
    const by = options.trust ?? "the configuration";
    const store = trust === null && config !== null && (await isDatabase(config.database)) ? config : null;
    return verifyFolder(target, { ...asked, policy: policyOf({ ...asked, trust, config }), by, store }, { json, rest });
  }
  const file = isIdLike(target) ? null : await readBounded(target, MAX_REPORT_BYTES + 1);
  if (file !== null && isReport(file)) {
    if (options.online === true) throw usage("A report is checked offline, without --online.");
    const by = options.trust === undefined ? "the configuration" : options.trust;
    const policyNow = policyOf({ ...asked, trust, config });
    const store = trust === null && config !== null && (await isDatabase(config.database)) ? config : null;
    return verifyReportFile(
      file,
      { ...asked, heads: options.head ?? [], policy: policyNow, by, store },
      { json, rest },
    );
  }
  if (options.head !== undefined) throw usage("--head is for a report of decisions.");
  const { receipt, appraisal, policy } = await judge(target, rest, {
    ...asked,
    trust,
    config,
    online: options.online,
    given: file,
  });
  const known = sellerOf(policy, receipt.core.seller.id) !== undefined;
  const facts = await readFacts(receipt);
  const verification = verificationOf(receipt, appraisal, config?.payment.assets ?? []);
  const next = [
    ...nextSteps(target, appraisal, policy),
    ...(known ? [] : ["No policy for its seller: name a trust file with --trust, or a configuration with --config."]),
  ];
  if (json)
    printResult(
      { ...verification, policy: { hash: policyHash(policy), known }, facts },
      next.join(" ") || NEXT[appraisal.verdict],
    );
  else {
    print(`Receipt ${receipt.id}`);
    print(storyText(storyOf(receipt, verification.receipt)));
    if (trust !== null) print(`Judged by ${options.trust}, policy ${policyHash(policy)}`);
    print(known ? layerTable(appraisal) : `${layerTable(appraisal, "no policy")}\n${factList(facts)}`);
    for (const words of next) note(words);
  }
  return EXIT_OF[appraisal.verdict];
}

const NEXT: Readonly<Record<Verdict, string>> = {
  verified: "Act within what notProven says: this verdict does not cover it.",
  pending: "Get the receipt again from its buyer later: its evidence is still to come.",
  failed: "Do not act on this answer. The failed layers say why.",
  unverified: "Treat the answer as unproven. The layers say what is missing.",
};

/** Says how to get evidence that is missing and can still come. */
function nextSteps(target: string, { verdict, layers }: Appraisal, policy: AppraisalPolicy): string[] {
  if (verdict === "pending" && isIdLike(target)) return [waitFor(target)];
  const told = ON_CHAIN.filter((layer) => layers[layer].status === "reported");
  if (verdict !== "unverified" || policy.reportedSuffices || told.length === 0) return [];
  return [
    `Only the file tells of its ${told.join(" and ")}, and that is no pass. Read the chain yourself with --online and a configuration that names your RPC. Or judge by a trust file made with \`proof402 trust export --reported-suffices\`: its author then lets the file's word on the chain suffice.`,
  ];
}

/** Names `verify.html`, which is part of the package and works from the disk. */
function namePage(json: boolean): number {
  const page = new URL("../pages/verify.html", import.meta.url);
  const next = "Open this page in a browser and drop receipts and a trust file on it. Nothing is uploaded.";
  if (json) printResult({ file: fileURLToPath(page), url: page.href }, next);
  else {
    print(page.href);
    note(next);
  }
  return EXIT.ok;
}

async function judge(
  target: string,
  options: GlobalOptions,
  asked: Asked & {
    trust: AppraisalPolicy | null;
    config: Config | null;
    online: boolean | undefined;
    given: Uint8Array | null;
  },
): Promise<Judged> {
  const { trust, config } = asked;
  const { given } = asked;
  const stored = given === null;
  const receipt = stored
    ? await withStore(options, async (db) => requireReceipt(db, await fullId(db, target)))
    : receiptOf(given);
  const policy = policyOf(asked);
  const isKnown = trust === null && config !== null && (stored || (await isDatabase(config.database)));
  const online = asked.online === true;
  const read = (told: Receipt): Promise<ReadAgain> => readOnline(told, config, policy);
  if (!isKnown) return judgeAlone({ ...(online ? await read(receipt) : { receipt }), at: asked.at, policy });
  // The one judge of every surface, with what this buyer saw of its own purchase.
  const judged = await withStore(options, async (db) => {
    const context = judgeContext(config, db);
    if (online) return judgeOnline(context, receipt, { ...asked, read, isStored: stored });
    return { receipt, appraisal: await judgeAgain(context, receipt, asked), isRead: false };
  });
  if (online && !judged.isRead)
    note(
      "The chain was not read: the stored receipt has no room for this file. Verify the file by a trust file instead.",
    );
  return { ...judged, policy: appraisalPolicyOf(config, judged.appraisal.wanted) };
}

/** The policy to judge a file by: the trust file's, else the configuration's, else one without any seller. */
function policyOf({
  trust,
  config,
  assurance,
}: Asked & { trust: AppraisalPolicy | null; config: Config | null }): AppraisalPolicy {
  if (trust !== null) return { ...trust, ...(assurance === undefined ? {} : { assurance }) };
  return config === null
    ? appraisalPolicySchema.parse({ assurance: assurance ?? "attested" })
    : appraisalPolicyOf(config, assurance ?? config.verification.assurance);
}

/** The receipt to judge, and the part of it read from the chain just now. */
type Again = Pick<ReadAgain, "receipt"> & Partial<ReadAgain>;

function readOnline(receipt: Receipt, config: Config | null, policy: AppraisalPolicy): Promise<ReadAgain> {
  if (config === null) throw usage("--online needs a configuration that names your own RPC.");
  const chains = new Map(config.networks.map((network) => [network.network, openChain(network)]));
  return readChainAgain(receipt, { chains, policy });
}

async function judgeAlone({
  receipt,
  own,
  awaited = [],
  policy,
  at,
}: Again & { policy: AppraisalPolicy; at: Date | undefined }): Promise<Judged> {
  const evaluateAt = at ?? new Date(receipt.core.response.receivedAt);
  const appraisal = await appraise({
    receipt,
    policy,
    now: new Date(),
    evaluateAt,
    ezkl: createEzklEngine(),
    outstanding: awaited,
    own,
  });
  return { receipt, appraisal, policy };
}

/** Whether there is a buyer's database. Nothing is made by the look: a receipt is judged without one, too. */
async function isDatabase(database: string): Promise<boolean> {
  if (isPostgres(database)) {
    const { db, schema } = await usable(database, () => openToRead(database));
    await db.destroy();
    return schema > 0;
  }
  return stat(database).then(
    (entry) => entry.isFile(),
    () => false,
  );
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );

/** None is needed, but one that is named or broken is not passed over in silence. */
async function configIfAny(options: GlobalOptions): Promise<Config | null> {
  try {
    return await configOf(options);
  } catch (error) {
    if (
      options.config === undefined &&
      !process.env["PROOF402_CONFIG"] &&
      Proof402Error.isInstance(error) &&
      error.code === "config_not_found"
    )
      return null;
    throw error;
  }
}

function readAssurance(given: string | undefined): Assurance | undefined {
  const found = ASSURANCES.find((one) => one === given);
  if (given !== undefined && found === undefined) throw usage(`--assurance must be one of ${ASSURANCES.join(", ")}.`);
  return found;
}

function readTime(given: string | undefined): Date | undefined {
  if (given === undefined) return undefined;
  return given === "now" ? new Date() : timeOf(given, "--at");
}

const usage = (message: string): Proof402Error =>
  new Proof402Error("usage", message, { next: "See proof402 verify --help." });
