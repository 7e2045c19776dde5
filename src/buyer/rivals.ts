import { readPurchaseByNonce } from "../payment/journal.ts";
import type { ContradictionEvidence, Payment, Receipt } from "../receipts/schema.ts";
import { receiptsOfNonce } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";

/** What a receipt gets in its `payment` layer where the store knows its purchase by another receipt. */
export const PURCHASE_DIFFERS: ContradictionEvidence = {
  kind: "contradiction",
  layer: "payment",
  code: "purchase_differs",
};

/**
 * The id of another receipt here of the same purchase, which one therefore contradicts, or null. Of an own purchase
 * that is this buyer's own receipt, by the payment nonce alone: no other buyer can have made it. A rival counts only if
 * this buyer has found it verified: junk naming a payment's nonce condemns nothing.
 */
export async function rivalOf(db: Db, receipt: Receipt): Promise<string | null> {
  const { payment } = receipt.core;
  const own = await readPurchaseByNonce(db, payment.nonce);
  if (own !== null && own.receiptId !== null) return own.receiptId === receipt.id ? null : own.receiptId;
  const rivals = await receiptsOfNonce(db, payment.nonce);
  const rival = rivals.find(
    ({ id, core, appraisals }) =>
      id !== receipt.id &&
      isSamePurchase(core.payment, payment) &&
      appraisals.some(({ verdict }) => verdict === "verified"),
  );
  return rival?.id ?? null;
}

/** Each way of paying counts its own nonces, of each payer, asset and chain. */
const isSamePurchase = (one: Payment, other: Payment): boolean =>
  one.method === other.method &&
  one.network === other.network &&
  one.asset === other.asset &&
  one.payer === other.payer &&
  one.nonce === other.nonce;
