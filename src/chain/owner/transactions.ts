import { sha256 } from "@noble/hashes/sha2.js";
import { fromHex0x, keccak256, toHex, toHex0x, utf8, type Hex } from "../../evidence/bytes.ts";
import type { Db } from "../../storage/database.ts";
import { immediate } from "../../storage/migrations.ts";
import type { OwnerTransactionsTable } from "../../storage/tables.ts";
import type { OwnerCall } from "./calls.ts";

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

/** Transactions of an account that were signed and are not decided, lowest nonce first. */
export const undecidedOf = (db: Db, network: string, account: string): Promise<OwnerTransactionsTable[]> =>
  db
    .selectFrom("owner_transactions")
    .selectAll()
    .where("network", "=", network)
    .where("account", "=", account)
    .where("state", "=", "undecided")
    .orderBy("nonce")
    .execute();

/**
 * Notes a signed transaction, before its bytes leave. False, and nothing is noted, where another one was noted since
 * `known` were read: two processes never both send.
 */
export const noteSigned = (
  db: Db,
  row: OwnerTransactionsTable,
  known: readonly OwnerTransactionsTable[],
): Promise<boolean> =>
  immediate(db, async (tx) => {
    const now = await undecidedOf(tx, row.network, row.account);
    if (now.some(({ hash }) => !known.some((one) => one.hash === hash))) return false;
    await tx.insertInto("owner_transactions").values(row).execute();
    return true;
  });

/** Notes what became of a transaction. */
export const noteOutcome = (db: Db, hash: string, outcome: OwnerOutcome, now: Date): Promise<unknown> =>
  db
    .updateTable("owner_transactions")
    .set({
      state: outcome.state,
      ...(outcome.state === "replaced" ? {} : { gas_used: `${outcome.gasUsed}`, cost: `${outcome.cost}` }),
      decided_at: now.getTime(),
    })
    .where("hash", "=", hash)
    .execute();

/** The newest transaction for a wish that a block holds, or null. */
export async function doneFor(
  db: Db,
  wish: string,
): Promise<{ transaction: string; gasUsed: bigint; cost: bigint } | null> {
  const row = await db
    .selectFrom("owner_transactions")
    .selectAll()
    .where("wish", "=", wish)
    .where("state", "=", "done")
    .orderBy("created_at", "desc")
    .limit(1)
    .executeTakeFirst();
  return row === undefined
    ? null
    : { transaction: row.hash, gasUsed: BigInt(row.gas_used ?? 0), cost: BigInt(row.cost ?? 0) };
}
