import { setTimeout as sleep } from "node:timers/promises";
import { chainIdOf } from "../../evidence/eip3009.ts";
import { Proof402Error } from "../../errors.ts";
import type { Db } from "../../storage/database.ts";
import type { OwnerTransactionsTable } from "../../storage/tables.ts";
import type { Chain } from "../chain.ts";
import type { OwnerCall, OwnerSigner } from "./calls.ts";
import { estimateGas, feesWithin, formatCoins, mostCost } from "./fees.ts";
import { hashOf, noteOutcome, noteSigned, undecidedOf, wishOf, type OwnerOutcome } from "./transactions.ts";
import type { Hex } from "../../evidence/bytes.ts";
import type { ChainClient } from "../client.ts";
import { RpcFault } from "../rpc.ts";

/** How long one command waits for a block to hold its transaction, ms. */
const PATIENCE_MS = 60_000;
/** How long one command waits for a transaction that cannot be in a block before others of its account are, ms. */
const NO_PATIENCE_MS = 0;

/** Whose transaction it is and where its hash is noted. */
export type Owner = {
  db: Db;
  chain: Chain;
  wallet: OwnerSigner;
  /** Asked before anything is signed, with the most that the gas may cost, wei; throws to decline. */
  confirm?: ((atMost: bigint) => Promise<void>) | undefined;
  /** How long to wait for a block to hold the transaction, ms. */
  patienceMs?: number | undefined;
};

/** A transaction that a block holds. `cost` is what its gas cost, wei. */
export type Sent = { transaction: string; gasUsed: bigint; cost: bigint };
/** The same, of a transaction that an earlier command signed. */
export type Earlier = Sent & { wish: string };

/**
 * Settles every transaction of this account left undecided by an earlier command: sends the same signed bytes again and
 * waits. Gives those that a block holds now.
 *
 * Throws Proof402Error `transaction_undecided` where one still is undecided. One that waits for transactions of lower nonces
 * is no reason to hold those up: it stays as it is.
 */
export async function takeUp(owner: Owner): Promise<Earlier[]> {
  const done: Earlier[] = [];
  for (const row of await undecidedOf(owner.db, owner.chain.network, owner.wallet.address)) {
    const early = await nextNonce(owner).then((next) => next !== null && row.nonce > next);
    const outcome = await settle(owner, row, early ? NO_PATIENCE_MS : (owner.patienceMs ?? PATIENCE_MS)).catch(
      openEnded(row),
    );
    if (outcome === null && !early) throw undecided(row);
    if (outcome?.state === "done")
      done.push({ wish: row.wish, transaction: row.hash, gasUsed: outcome.gasUsed, cost: outcome.cost });
  }
  return done;
}

/**
 * Looks what became of those transactions, and sends nothing. Gives those that are undecided still, as far as the chain
 * answers.
 */
export async function lookUp(owner: Omit<Owner, "confirm">): Promise<OwnerTransactionsTable[]> {
  const { db, chain, wallet } = owner;
  for (const row of await undecidedOf(db, chain.network, wallet.address)) {
    const outcome = await attempt(() => chain.read((client) => look(client, row, chain.confirmations)));
    if (outcome !== null) await noteOutcome(db, row.hash, outcome, new Date());
  }
  return undecidedOf(db, chain.network, wallet.address);
}

/**
 * Has one of the owner's transactions made: signed for the configured chain, noted before its bytes leave, sent, and
 * waited for. If an earlier command signed one for the same wish and it is still undecided, sends that one again and
 * gives its outcome.
 *
 * Throws Proof402Error `transaction_undecided` where no block holds it in time (the same command takes it up again),
 * `transaction_failed` where the chain turned it down (a deposit's authorization, which it showed, may still be used then),
 * `gas_missing`, `gas_cost_too_high`, `wrong_chain` or `chain_unreachable`.
 */
export async function sendOwnerCall(owner: Owner, call: OwnerCall): Promise<Sent> {
  const wish = wishOf(call);
  const earlier = (await takeUp(owner)).find((one) => one.wish === wish);
  if (earlier !== undefined) return earlier;
  const known = await undecidedOf(owner.db, owner.chain.network, owner.wallet.address);
  const same = known.find((one) => one.wish === wish);
  if (same !== undefined) throw undecided(same);
  const row = await sign(owner, call, wish);
  if (!(await noteSigned(owner.db, row, known))) {
    throw new Proof402Error("transaction_undecided", "Another command of this wallet sent a transaction meanwhile.", {
      next: "Nothing was sent. Run this again once that one has ended.",
    });
  }
  const outcome = await settle(owner, row, owner.patienceMs ?? PATIENCE_MS).catch(openEnded(row));
  if (outcome === null) throw undecided(row);
  if (outcome.state === "done") return { transaction: row.hash, gasUsed: outcome.gasUsed, cost: outcome.cost };
  const cost = outcome.state === "reverted" ? ` Its gas cost ${formatCoins(outcome.cost)} coins.` : "";
  const what = outcome.state === "reverted" ? "The chain turned the transaction down" : "Another took its nonce";
  const money = call.kind === "deposit" ? "may-move" : "not-moved";
  throw failed(`${what}: ${row.hash}.${cost}`, { money, details: { transaction: row.hash } });
}

/** The transaction as it would be sent, its row not stored yet. */
async function sign(owner: Owner, call: OwnerCall, wish: string): Promise<OwnerTransactionsTable> {
  const { chain, wallet, confirm } = owner;
  const chainId = chainIdOf(chain.network);
  const from = hex(wallet.address);
  const { nonce, fees, coins } = await chain.read(async (client) => {
    const [count, balance, gas] = await Promise.all([
      client.getTransactionCount(from, "pending"),
      client.getBalance(from),
      estimateGas(client, from, call).catch((cause: unknown) => {
        throw failed("The chain would not take the transaction.", { money: "not-moved", cause });
      }),
    ]);
    return { nonce: count, coins: balance, fees: await feesWithin(chain.maxGasCost, client, gas) };
  });
  const atMost = mostCost(fees);
  if (coins < atMost) {
    throw new Proof402Error(
      "gas_missing",
      `The wallet holds ${formatCoins(coins)} of the chain's own coin; the gas may cost up to ${formatCoins(atMost)}.`,
      {
        money: "not-moved",
        next: `Nothing was signed. Send some of the coin of ${chain.network} to ${wallet.address}.`,
      },
    );
  }
  await confirm?.(atMost);
  const authorization = call.kind === "deposit" ? await wallet.signDeposit(call, chainId) : null;
  const raw = await wallet.signOwnerCall(call, authorization, { chainId, nonce, ...fees });
  return {
    hash: hashOf(raw),
    kind: call.kind,
    wish,
    network: chain.network,
    account: wallet.address,
    nonce,
    raw,
    max_cost: atMost.toString(),
    state: "undecided",
    gas_used: null,
    cost: null,
    created_at: Date.now(),
    decided_at: null,
  };
}

/**
 * Sends a noted transaction's bytes and waits until the chain shows what became of it, or for so long. What the RPC answers
 * to the sending counts for nothing: only a block does.
 */
async function settle(owner: Owner, row: OwnerTransactionsTable, patienceMs: number): Promise<OwnerOutcome | null> {
  const { db, chain } = owner;
  const deadline = performance.now() + patienceMs;
  for (let turn = 0; ; turn += 1) {
    const outcome = await attempt(() => chain.read((client) => look(client, row, chain.confirmations)));
    if (outcome !== null) {
      await noteOutcome(db, row.hash, outcome, new Date());
      return outcome;
    }
    if (turn > 0 && performance.now() >= deadline) return null;
    if (turn === 0) await attempt(() => chain.read((client) => client.sendRawTransaction(hex(row.raw))));
    else await sleep(chain.pollMilliseconds);
  }
}

/** What the chain shows of a transaction, or null while it shows nothing final. */
async function look(
  client: ChainClient,
  row: OwnerTransactionsTable,
  confirmations: number,
): Promise<OwnerOutcome | null> {
  const mined = async (): Promise<OwnerOutcome | null> => {
    const receipt = await client.getTransactionReceipt(hex(row.hash));
    if (receipt === null) return null;
    const { gasUsed, effectiveGasPrice, status } = receipt;
    // What the transaction cost is told: a receipt that does not say it is no answer.
    if (gasUsed == null || effectiveGasPrice == null) throw new RpcFault("unusable");
    return { state: status === "success" ? "done" : "reverted", gasUsed, cost: gasUsed * effectiveGasPrice };
  };
  const outcome = await mined();
  if (outcome !== null) return outcome;
  const head = await client.getBlockNumber();
  const depth = BigInt(confirmations);
  if (head < depth) return null;
  const used = await client.getTransactionCount(hex(row.account), head - depth);
  // It may have been mined between the two looks.
  return used > row.nonce ? ((await mined()) ?? { state: "replaced" }) : null;
}

/** The nonce that the account's next transaction has, or null where the RPC does not say. */
const nextNonce = ({ chain, wallet }: Owner): Promise<number | null> =>
  attempt(() => chain.read((client) => client.getTransactionCount(hex(wallet.address), "pending")));

/** Null in place of an error of the chain's: it is asked again. */
async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (Proof402Error.isInstance(error)) return null;
    throw error;
  }
}

const hex = (text: string): Hex => `0x${text.slice(2)}`;

/** Something failed after a transaction was noted, such as the database: its bytes may be with the RPC. */
const openEnded =
  (row: OwnerTransactionsTable) =>
  (cause: unknown): never => {
    throw undecided(row, cause);
  };

const undecided = ({ hash, kind, network, nonce }: OwnerTransactionsTable, cause?: unknown): Proof402Error =>
  new Proof402Error(
    "transaction_undecided",
    `The ${kind} transaction ${hash} was signed, and ${network} does not show yet what became of it.`,
    {
      money: "may-move",
      next: "Run the same command again: it sends the same signed bytes, looks again, and signs nothing else until this one is decided.",
      details: { transaction: hash, network, nonce },
      cause,
    },
  );

const failed = (message: string, how: Omit<Proof402Error.Options, "next">): Proof402Error =>
  new Proof402Error("transaction_failed", message, {
    next: "Check that the wallet holds the chain's own coin for gas, and enough of the asset.",
    ...how,
  });
