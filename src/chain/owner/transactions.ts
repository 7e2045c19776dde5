import { sha256 } from "@noble/hashes/sha2.js";
import { fromHex0x, keccak256, toHex, toHex0x, utf8, type Address, type Hex } from "../../evidence/bytes.ts";
import { channelIdOf } from "../../evidence/channel.ts";
import { chainIdOf } from "../../evidence/eip3009.ts";
import type { Db } from "../../storage/database.ts";
import { immediate } from "../../storage/migrations.ts";
import type { OwnerTransactionsTable } from "../../storage/tables.ts";
import type { OwnerCall } from "./calls.ts";
import { rootSubject } from "./root-calls.ts";

/** What became of one of the owner's transactions. */
export type OwnerOutcome =
  /** It is in a block. `gasUsed` in gas, `cost` in wei: what the block says the gas cost. */
  | { state: "done" | "reverted"; gasUsed: bigint; cost: bigint }
  /** Another transaction of the account took its nonce: it can never be in a block. */
  | { state: "replaced" };

/** The hash that a signed transaction is known by: keccak256 of its bytes (EIP-2718). Never the one that an RPC names. */
export const hashOf = (raw: string): Hex => toHex0x(keccak256(fromHex0x(raw)));

type Deposit = Extract<OwnerCall, { kind: "deposit" }>;
/** A call as far as it says what is wished for. */
type Wish = Exclude<OwnerCall, Deposit> | Pick<Deposit, "kind" | "channelId" | "amount">;

/**
 * Names the owner's wish, sha256 hex: two calls with the same effect have the same name. A deposit is named by channel
 * and amount, since the chain takes a channel's deposit once.
 */
export function wishOf(wish: Wish): string {
  const wished = wish.kind === "deposit" ? { kind: wish.kind, channelId: wish.channelId, amount: wish.amount } : wish;
  const text = JSON.stringify(wished, (_key, value: unknown) => (typeof value === "bigint" ? `${value}` : value));
  return toHex(sha256(utf8(text)));
}

/** Names what a call changes: an allowance, a channel, a registry's entry. What is last sent about it stands in the end. */
export function subjectOf(wish: Wish, network: string): string {
  switch (wish.kind) {
    case "approve":
      return `allowance ${wish.asset}`;
    case "deposit":
      return wish.channelId;
    case "withdraw":
    case "finalize":
      return channelIdOf(chainIdOf(network), wish.config);
    case "validation-request":
    case "validation-response":
      return `${wish.registry} ${wish.requestHash}`;
    case "proof-record":
    case "roots-deploy":
      return wishOf(wish);
    case "root-publish":
      return rootSubject(wish.name);
    default:
      return wish satisfies never;
  }
}

/** Whether a transaction may change one of these subjects. Of one that an earlier program signed, nothing tells. */
export const concerns = ({ subject }: OwnerTransactionsTable, subjects: readonly string[]): boolean =>
  subject === "" || subjects.includes(subject);

/** Transactions of an account that were signed and are not decided, lowest nonce first. */
export const undecidedOf = (db: Db, network: string, account: Address): Promise<OwnerTransactionsTable[]> =>
  db
    .selectFrom("owner_transactions")
    .selectAll()
    .where("network", "=", network)
    .where("account", "=", account)
    .where("state", "=", "undecided")
    .orderBy("nonce")
    .execute();

/** How many transactions of an account were ever noted. */
export async function countNoted(db: Db, network: string, account: Address): Promise<number> {
  const { noted } = await db
    .selectFrom("owner_transactions")
    .select(({ fn }) => fn.countAll<number>().as("noted"))
    .where("network", "=", network)
    .where("account", "=", account)
    .executeTakeFirstOrThrow();
  return noted;
}

/**
 * Notes a signed transaction before its bytes leave, and `also` with it. False, and nothing is noted, if another one was
 * noted since `noted` were counted, decided or not: two processes never both send.
 */
export const noteSigned = (
  db: Db,
  row: OwnerTransactionsTable,
  noted: number,
  also?: (tx: Db) => Promise<unknown>,
): Promise<boolean> =>
  immediate(db, async (tx) => {
    if ((await countNoted(tx, row.network, row.account)) !== noted) return false;
    await tx.insertInto("owner_transactions").values(row).execute();
    await also?.(tx);
    return true;
  });

/** An outcome as the row of its transaction has it. */
export const columnsOf = (outcome: OwnerOutcome): Pick<OwnerTransactionsTable, "state" | "gas_used" | "cost"> =>
  outcome.state === "replaced"
    ? { state: outcome.state, gas_used: null, cost: null }
    : { state: outcome.state, gas_used: `${outcome.gasUsed}`, cost: `${outcome.cost}` };

/** Notes what became of a transaction. */
export const noteOutcome = (db: Db, hash: Hex, outcome: OwnerOutcome, now: Date): Promise<unknown> =>
  db
    .updateTable("owner_transactions")
    .set({ ...columnsOf(outcome), decided_at: now.getTime() })
    .where("hash", "=", hash)
    .execute();

/** Notes that a command told its owner of an outcome: the same wish is a new one from now on. */
export const noteTold = (db: Db, hash: Hex): Promise<unknown> =>
  db.updateTable("owner_transactions").set({ told_at: Date.now() }).where("hash", "=", hash).execute();

/**
 * The decided transaction for a wish that no command has told of, or null. One that a later transaction about the same
 * subject followed is no answer: the owner went on.
 */
export async function untoldOf(
  db: Db,
  { network, account, subject, wish }: Pick<OwnerTransactionsTable, "network" | "account" | "subject" | "wish">,
): Promise<OwnerTransactionsTable | null> {
  const newest = await db
    .selectFrom("owner_transactions")
    .selectAll()
    .where("network", "=", network)
    .where("account", "=", account)
    .where((row) => row.or([row("subject", "=", subject), row.and({ subject: "", wish })]))
    .orderBy("created_at", "desc")
    .orderBy("nonce", "desc")
    .limit(1)
    .executeTakeFirst();
  return newest?.wish === wish && newest.told_at === null && newest.state !== "undecided" ? newest : null;
}

/**
 * Whether a channel's money was asked back by a transaction in a block or on its way there: no voucher is signed then,
 * though a lagging RPC shows the channel as it was before.
 */
export async function askedBack(db: Db, channel: { id: string; network: string; payer: Address }): Promise<boolean> {
  const found = await db
    .selectFrom("owner_transactions")
    .select("hash")
    .where("network", "=", channel.network)
    .where("account", "=", channel.payer)
    .where("kind", "=", "withdraw")
    .where("subject", "in", [channel.id, ""])
    .where((row) => row.or([row("state", "=", "undecided"), row.and({ state: "done", subject: channel.id })]))
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/** The newest transaction for a wish that a block holds, or null. */
export const doneFor = async (db: Db, wish: string): Promise<OwnerTransactionsTable | null> =>
  (await db
    .selectFrom("owner_transactions")
    .selectAll()
    .where("wish", "=", wish)
    .where("state", "=", "done")
    .orderBy("created_at", "desc")
    .limit(1)
    .executeTakeFirst()) ?? null;
