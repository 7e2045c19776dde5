import { sql, type NotNull, type Selectable } from "kysely";
import type { Receipt } from "../receipts/schema.ts";
import { STORED, valueOfRow } from "../receipts/stored-rows.ts";
import { isServed, transferOf } from "../receipts/transfer.ts";
import type { Db } from "../storage/database.ts";
import type { ChannelsTable, PurchasesTable, PurchaseState } from "../storage/tables.ts";
import { DIGITS_OF_SUM, SUM_OF_VOUCHER } from "../storage/voucher-index.ts";
import { countSpending } from "./caps.ts";
import { readChannel, type VoucherPayment } from "./channels.ts";

// Several vouchers of a channel may be over the same part of its sum: one that was not served is followed by one on the same
// base. The seller can claim that part once, so one purchase settles it: the served one, and where none was, the first for
// which the chain shows it.

/** The part of a channel's sum that a purchase's voucher grants: above `base`, up to `cumulative`, base units. */
export type Part = { id: string; state: PurchaseState; receiptId: string | null; base: bigint; cumulative: bigint };

/** Sums of a channel, base units: those above one, up to another where it is given. */
export type Sums = { above: bigint; upTo?: bigint };

/** The parts of a channel in any of these states whose vouchers' sums are within these, oldest first. */
export async function partsOf(
  tx: Db,
  channelId: string,
  states: readonly PurchaseState[],
  { above, upTo }: Sums,
): Promise<Part[]> {
  const within = tx
    .selectFrom("purchases")
    .select(COLUMNS)
    .where("channel_id", "=", channelId)
    .where(VOUCHER_SUM, ">", inOrder(above))
    .where("state", "in", states)
    .orderBy("created_at");
  const rows = await (upTo === undefined ? within : within.where(VOUCHER_SUM, "<=", inOrder(upTo))).execute();
  return rows.map(toPart);
}

/** The sum of a voucher as the index of a channel's vouchers has it: texts of one length are in the numbers' order. */
const VOUCHER_SUM = sql<string>`${sql.raw(SUM_OF_VOUCHER)}`;
const inOrder = (sum: bigint): string => (sum < 0n ? "" : sum.toString().padStart(DIGITS_OF_SUM, "0"));

/** Whether calls of these channels are without an answer: a voucher over the next sum may reach the seller after theirs. */
export async function unansweredIn(db: Db, channelIds: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom("purchases")
    .select("channel_id")
    .where("channel_id", "in", channelIds)
    .where("state", "in", ["signed", "sent"])
    .execute();
  return new Set(rows.flatMap(({ channel_id: id }) => id ?? []));
}

const COLUMNS = ["id", "state", "voucher", "amount", "receipt_id"] as const;

function toPart({ id, state, voucher, amount, receipt_id: receiptId }: Pick<Row, (typeof COLUMNS)[number]>): Part {
  const cumulative = BigInt((JSON.parse(voucher ?? "null") as Pick<VoucherPayment, "cumulative">).cumulative);
  return { id, state, receiptId, base: cumulative - BigInt(amount), cumulative };
}

type Row = Selectable<PurchasesTable>;

/** Whether an answered purchase's receipt holds no answer, or not all of one: nothing was granted for it. */
export async function isUnserved(tx: Db, { receiptId }: Pick<Part, "receiptId">): Promise<boolean> {
  if (receiptId === null) return false;
  const row = await tx.selectFrom("receipts").select(STORED).where("id", "=", receiptId).executeTakeFirst();
  if (row === undefined) return false;
  const { core } = JSON.parse(row.json) as Pick<Receipt, "core">;
  // The bytes themselves count for a coded answer alone.
  const isCoded = row.packed !== null && transferOf(core)?.coding?.decoded === false;
  return !isServed(isCoded ? ((await valueOfRow(tx, row)) as Pick<Receipt, "core">).core : core);
}

/**
 * Counts a sum of a channel that no purchase of the journal has, in all and at the channel's seller. Its time is a minute
 * late: windows hold whole minutes of it, and may hold it too long, never too short.
 */
export const countUnbought = (
  tx: Db,
  { network, asset, seller_id: sellerId }: ChannelsTable,
  amount: bigint,
  now: Date,
): Promise<void> => countSpending(tx, { network, asset, sellerId }, now.getTime() + MINUTE, { amount, calls: 0n });

const MINUTE = 60_000;

/**
 * As {@link partSettled}, for a purchase settled on chain: from now on the caps have its sum, and the sum claimed below
 * it without a purchase. In the caller's transaction.
 */
export async function settlePart(tx: Db, purchaseId: string, now: Date): Promise<bigint | null> {
  const settled = await partSettled(tx, purchaseId);
  const own = settled === null ? null : await partOf(tx, purchaseId);
  const row = own === null ? null : await readChannel(tx, own.channelId);
  if (own === null || row === null) return settled;
  const [charged, counted] = [BigInt(row.charged), BigInt(row.counted)];
  if (own.base > counted) await countUnbought(tx, row, own.base - counted, now);
  const upTo = (sum: bigint): string => greater(own.cumulative, sum).toString();
  await tx
    .updateTable("channels")
    .set({ charged: upTo(charged), counted: upTo(counted) })
    .where("id", "=", own.channelId)
    .execute();
  return settled;
}

/**
 * The sum settled by a claim for a purchase's voucher, base units: its part without another purchase's; null if another
 * one has its end, and with it everything claimable. Null, too, where it is no open voucher.
 */
export async function partSettled(tx: Db, purchaseId: string): Promise<bigint | null> {
  const own = await partOf(tx, purchaseId);
  if (own === null) return null;
  const parts = await partsOf(tx, own.channelId, ["answered", "settled"], { above: own.base });
  const overlapping = parts.filter(({ id, base }) => id !== purchaseId && base < own.cumulative);
  let from = own.base;
  const served = own.state === "answered" && !(await isUnserved(tx, own));
  for (const other of overlapping) {
    if (other.state === "answered" && (await isUnserved(tx, other))) continue;
    if (other.cumulative < own.cumulative) from = greater(other.cumulative, from);
    else if (!served) return null;
  }
  return own.cumulative - from;
}

/** The part of a purchase that is an open or settled voucher, and its channel; null of any other. */
async function partOf(tx: Db, purchaseId: string): Promise<(Part & { channelId: string }) | null> {
  const row = await tx
    .selectFrom("purchases")
    .select([...COLUMNS, "channel_id"])
    .where("id", "=", purchaseId)
    .where("state", "in", ["signed", "sent", "answered", "settled"])
    .where("channel_id", "is not", null)
    .$narrowType<{ channel_id: NotNull }>()
    .executeTakeFirst();
  return row === undefined ? null : { ...toPart(row), channelId: row.channel_id };
}

const greater = (one: bigint, other: bigint): bigint => (one > other ? one : other);
