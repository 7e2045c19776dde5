import { readPurchasesByNonce } from "../../../payment/journal.ts";
import { callsBeside, divide } from "../../../payment/share-books.ts";
import type { PurchaseRecord } from "../../../payment/types.ts";
import type { Belief } from "../../../payment/witness.ts";
import { isSettlement } from "../../../receipts/paid.ts";
import type { Receipt, SettlementEvidence } from "../../../receipts/schema.ts";
import { readReceipt } from "../../../receipts/store.ts";
import type { Db } from "../../../storage/database.ts";

type Settled = Extract<Belief, { state: "settled" }>;

/**
 * Another call's sight of the authorization behind a purchase, or null: the chain is read once for all of them. Only what
 * decided the journal counts, and only of this buyer's own receipts.
 */
export async function seenBeside(db: Db, { id, core }: Receipt, purchase: PurchaseRecord): Promise<Settled | null> {
  const { transaction, state } = purchase;
  if (core.payment.share === undefined || state !== "settled" || transaction === null) return null;
  const calls = await readPurchasesByNonce(db, core.payment.nonce);
  const amount = calls.find(({ payment }) => payment.share?.first === true)?.settledAmount ?? null;
  if (amount === null) return null;
  for (const { receiptId } of calls) {
    const other = receiptId === null || receiptId === id ? null : await readReceipt(db, receiptId);
    const found = other?.later.map(({ evidence }) => evidence).find(isSettlement);
    if (found?.outcome !== "settled" || found.transaction !== transaction) continue;
    const { signature: _signature, shared: _shared, ...evidence } = found;
    return { state: "settled", evidence, transaction, amount, fault: null };
  }
  return null;
}

/** How one transfer is divided over the calls on a purchase's authorization; null of one for this purchase alone. */
export async function sharedOf(
  db: Db,
  purchase: PurchaseRecord | null,
  moved: string,
): Promise<NonNullable<SettlementEvidence["shared"]> | "free" | null> {
  const calls = purchase === null ? null : await callsBeside(db, purchase.id);
  if (calls === null || purchase === null) return null;
  const { parts, calls: served, told, isOut } = divide(calls, BigInt(moved));
  const own = parts.get(purchase.id);
  // What a call without an answer is charged is not known yet, and a receipt is written once.
  if (isOut && own?.isFree !== true) return null;
  if (own === undefined || (own.isFree && purchase.payment.share?.first !== true)) return "free";
  return { calls: Math.max(served, 1), reported: told?.toString() ?? null, part: own.part.toString() };
}

export const withShared = <Seen extends { evidence: SettlementEvidence }>(
  seen: Seen,
  shared: NonNullable<SettlementEvidence["shared"]>,
): Seen => ({ ...seen, evidence: { ...seen.evidence, shared } });
