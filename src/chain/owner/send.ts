import { setTimeout as sleep } from "node:timers/promises";
import { chainIdOf } from "../../evidence/eip3009.ts";
import { Proof402Error } from "../../errors.ts";
import type { Db } from "../../storage/database.ts";
import type { OwnerTransactionsTable } from "../../storage/tables.ts";
import type { Chain } from "../chain.ts";
import type { OwnerCall, OwnerSigner } from "./calls.ts";
import { estimateGas, feesWithin, formatCoins, mostCost } from "./fees.ts";
import {
  columnsOf,
  concerns,
  countNoted,
  hashOf,
  noteOutcome,
  noteSigned,
  noteTold,
  subjectOf,
  undecidedOf,
  untoldOf,
  wishOf,
  type OwnerOutcome,
} from "./transactions.ts";
import type { Hex } from "../../evidence/bytes.ts";
import type { ChainClient } from "../client.ts";
import { RpcFault } from "../rpc.ts";

/** How long one command waits for a block to hold its transaction, ms. */
const PATIENCE_MS = 60_000;
/** How long one command waits for a transaction that cannot be in a block before others of its account are, ms. */
const NO_PATIENCE_MS = 0;
/** How often the chain is asked again for a transaction whose nonce it shows used, before another one counts as having taken it. */
const LOOKS_AGAIN = 3;
/** The longest pause between two of these, ms: all of them are one look at the chain. */
const MAX_PAUSE_MS = 2_000;

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

/** A transaction that a block holds. `cost` is what its gas cost, wei; `earlier` where an earlier command signed it. */
export type Sent = { transaction: Hex; gasUsed: bigint; cost: bigint; earlier: boolean };

/**
 * Settles every transaction of this account left undecided by an earlier command: sends the same signed bytes again and
 * waits. Gives those that are decided now.
 *
 * Throws Proof402Error `transaction_undecided` if one still is undecided. One that waits for transactions of lower nonces
 * holds up only calls about one of its own `subjects`: it would change that once its turn comes.
 */
export async function takeUp(owner: Owner, subjects: readonly string[]): Promise<OwnerTransactionsTable[]> {
  const taken: OwnerTransactionsTable[] = [];
  for (const row of await undecidedOf(owner.db, owner.chain.network, owner.wallet.address)) {
    const next = await nextNonce(owner);
    const early = next !== null && row.nonce > next;
    const outcome = await settle(owner, row, early ? NO_PATIENCE_MS : (owner.patienceMs ?? PATIENCE_MS)).catch(
      openEnded(row),
    );
    if (outcome !== null) taken.push({ ...row, ...columnsOf(outcome) });
    else if (!early) throw undecided(row);
    else if (concerns(row, subjects)) throw waiting(row, next);
  }
  return taken;
}

/**
 * The outcome of an earlier command's transaction for the same wish, if no command has told the owner of it: this
 * command is answered with it. `taken` are those taken up by this one. Null if nothing is to be told.
 *
 * Throws Proof402Error `transaction_failed`, once, for one that failed.
 */
export async function earlierFor(
  { db, chain, wallet }: Owner,
  call: OwnerCall,
  taken: readonly OwnerTransactionsTable[],
): Promise<Sent | null> {
  const wish = wishOf(call);
  const row =
    taken.find((one) => one.wish === wish) ??
    (await untoldOf(db, {
      network: chain.network,
      account: wallet.address,
      subject: subjectOf(call, chain.network),
      wish,
    }));
  return row === null ? null : doneOrFailed(db, row, true);
}

/**
 * Looks what became of those transactions, and sends nothing. Gives those that are undecided still, as far as the chain
 * answers.
 */
export async function lookUp(owner: Omit<Owner, "confirm">): Promise<OwnerTransactionsTable[]> {
  const { db, chain, wallet } = owner;
  for (const row of await undecidedOf(db, chain.network, wallet.address)) {
    const outcome = await attempt(() => chain.read((client) => look(client, row, chain)));
    if (outcome !== null) await noteOutcome(db, row.hash, outcome, new Date());
  }
  return undecidedOf(db, chain.network, wallet.address);
}

/**
 * Has one of the owner's transactions made: signed for the configured chain, noted before its bytes leave, `also` in the
 * same transaction of the database, sent, and waited for. If an earlier command signed one for the same wish and nothing
 * was told of it yet, gives its outcome. The caller tells the outcome and notes so with {@link noteTold}.
 *
 * Throws Proof402Error `transaction_undecided` where no block holds it in time (the same command takes it up again),
 * `transaction_failed` where the chain turned it down (a deposit's authorization, which it showed, may still be used then),
 * `gas_missing`, `gas_cost_too_high`, `wrong_chain` or `chain_unreachable`.
 */
export async function sendOwnerCall(owner: Owner, call: OwnerCall, also?: (tx: Db) => Promise<unknown>): Promise<Sent> {
  const { db, chain, wallet } = owner;
  const noted = await countNoted(db, chain.network, wallet.address);
  const taken = await takeUp(owner, [subjectOf(call, chain.network)]);
  const earlier = await earlierFor(owner, call, taken);
  if (earlier !== null) return earlier;
  const row = await sign(owner, call);
  if (!(await noteSigned(db, row, noted, also))) throw meanwhile();
  const outcome = await settle(owner, row, owner.patienceMs ?? PATIENCE_MS).catch(openEnded(row));
  if (outcome === null) throw undecided(row);
  return doneOrFailed(db, { ...row, ...columnsOf(outcome) }, false);
}

/** A decided transaction that a block holds. Throws Proof402Error `transaction_failed`, noted as told, for any other. */
async function doneOrFailed(db: Db, row: OwnerTransactionsTable, earlier: boolean): Promise<Sent> {
  const { hash, kind, state } = row;
  if (state === "done") return sentOf(row, earlier);
  await noteTold(db, hash);
  const reverted = state === "reverted";
  const what = reverted ? "The chain turned the transaction down" : "Another took its nonce";
  throw failed(`${what}: ${hash}.${reverted ? ` Its gas cost ${formatCoins(row.cost ?? "0")} coins.` : ""}`, {
    money: kind === "deposit" ? "may-move" : "not-moved",
    details: { transaction: hash },
  });
}

/** A transaction that a block holds, of its row. */
export const sentOf = ({ hash, gas_used, cost }: OwnerTransactionsTable, earlier: boolean): Sent => ({
  transaction: hash,
  gasUsed: BigInt(gas_used ?? 0),
  cost: BigInt(cost ?? 0),
  earlier,
});

/** The transaction as it would be sent, its row not stored yet. */
async function sign(owner: Owner, call: OwnerCall): Promise<OwnerTransactionsTable> {
  const { chain, wallet, confirm } = owner;
  const chainId = chainIdOf(chain.network);
  const from = wallet.address;
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
    wish: wishOf(call),
    subject: subjectOf(call, chain.network),
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
    told_at: null,
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
    const outcome = await attempt(() => chain.read((client) => look(client, row, chain)));
    if (outcome !== null) {
      await noteOutcome(db, row.hash, outcome, new Date());
      return outcome;
    }
    if (turn > 0 && performance.now() >= deadline) return null;
    if (turn === 0) await attempt(() => chain.read((client) => client.sendRawTransaction(row.raw)));
    else await sleep(chain.pollMilliseconds);
  }
}

/** What the chain shows of a transaction, or null while it shows nothing final. */
async function look(
  client: ChainClient,
  row: OwnerTransactionsTable,
  { confirmations, pollMilliseconds }: Pick<Chain, "confirmations" | "pollMilliseconds">,
): Promise<OwnerOutcome | null> {
  const mined = async (): Promise<OwnerOutcome | null> => {
    const receipt = await client.getTransactionReceipt(row.hash);
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
  const used = await client.getTransactionCount(row.account, head - depth);
  if (used <= row.nonce) return null;
  // The servers behind one RPC, and the parts of one, know of a new block at different times.
  for (let again = 0; again < LOOKS_AGAIN; again += 1) {
    const late = await mined();
    if (late !== null) return late;
    await sleep(Math.min(pollMilliseconds, MAX_PAUSE_MS));
  }
  return (await mined()) ?? { state: "replaced" };
}

/** The nonce that the account's next transaction has, or null where the RPC does not say. */
const nextNonce = ({ chain, wallet }: Owner): Promise<number | null> =>
  attempt(() => chain.read((client) => client.getTransactionCount(wallet.address, "pending")));

/** Null in place of an error of the chain's: it is asked again. */
async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (Proof402Error.isInstance(error)) return null;
    throw error;
  }
}

/** Something failed after a transaction was noted, such as the database: its bytes may be with the RPC. */
const openEnded =
  (row: OwnerTransactionsTable) =>
  (cause: unknown): never => {
    throw undecided(row, cause);
  };

const undecided = (row: OwnerTransactionsTable, cause?: unknown): Proof402Error =>
  undecidedError(row, {
    what: `was signed, and ${row.network} does not show yet what became of it.`,
    next: "Run the same command again: it sends the same signed bytes, looks again, and signs nothing else until this one is decided.",
    cause,
  });

/** One whose turn has not come: another transaction of the account was lost, or the RPC lied about the nonce. */
const waiting = (row: OwnerTransactionsTable, next: number): Proof402Error =>
  undecidedError(row, {
    what: `was signed with nonce ${row.nonce} and stands: ${row.network} takes it once it has others of this account with every nonce from ${next} to ${row.nonce - 1}, and shows none.`,
    next: "Nothing was signed. Send transactions with those nonces from this account by any program, of nothing and to itself, say. Then run the same command again: it takes this one up.",
  });

const undecidedError = (
  { hash, kind, network, nonce, max_cost }: OwnerTransactionsTable,
  { what, ...how }: { what: string; next: string; cause?: unknown },
): Proof402Error => {
  const { money, effect } = EFFECTS[kind as OwnerCall["kind"]];
  return new Proof402Error(
    "transaction_undecided",
    `The ${kind} transaction ${hash} ${what} ${effect} Its gas may cost up to ${formatCoins(max_cost)} coins.`,
    { ...how, money, details: { transaction: hash, network, nonce } },
  );
};

/** What an undecided transaction may still do, by the kind of its call. */
const EFFECTS: Readonly<Record<OwnerCall["kind"], { money: "may-move" | "not-moved"; effect: string }>> = {
  approve: { money: "not-moved", effect: "It may still change what Permit2 may move, and moves no money itself." },
  deposit: { money: "may-move", effect: "It may still put its money into the channel." },
  withdraw: { money: "not-moved", effect: "It may still ask for the channel's money back, and moves none itself." },
  finalize: { money: "may-move", effect: "It may still bring the channel's money back to the wallet." },
  "validation-request": { money: "not-moved", effect: "It may still write to the registry, and moves no money." },
  "validation-response": { money: "not-moved", effect: "It may still write to the registry, and moves no money." },
  "proof-record": { money: "not-moved", effect: "It may still record the proof, and moves no money." },
  "roots-deploy": { money: "not-moved", effect: "It may still put the contract there, and moves no money." },
  "root-publish": { money: "not-moved", effect: "It may still publish the root, and moves no money." },
};

/** Another command has changed the ground of this one. */
export const meanwhile = (): Proof402Error =>
  new Proof402Error("transaction_undecided", "Another command of this wallet sent a transaction meanwhile.", {
    money: "not-moved",
    next: "Nothing was sent. Run this again once that one has ended.",
  });

const failed = (message: string, how: Omit<Proof402Error.Options, "next">): Proof402Error =>
  new Proof402Error("transaction_failed", message, {
    next: "Check that the wallet holds the chain's own coin for gas, and enough of the asset.",
    ...how,
  });
