import { readPurchaseByNonce } from "../payment/journal.ts";
import type { Payment, Receipt } from "../receipts/schema.ts";
import { receiptsOfNonce } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import type { Rivals } from "../verify/types.ts";

/**
 * The other stored receipts of the same purchase. Of an own purchase this buyer's own receipt condemns every other, by
 * the payment nonce alone: no other buyer can have made it. A foreign receipt condemns others once this buyer found it
 * verified. Junk naming a nonce condemns nothing.
 */
export async function rivalsOf(db: Db, receipt: Receipt): Promise<Rivals> {
  const { payment } = receipt.core;
  const own = (await readPurchaseByNonce(db, payment.nonce))?.receiptId ?? null;
  const stored = await receiptsOfNonce(db, payment.nonce);
  const rivals = stored.filter(({ id }) => id !== receipt.id);
  const others = rivals.map(({ id }) => id);
  if (own !== null) return { others, own, condemnedBy: own === receipt.id ? null : own };
  const verified = rivals.find(
    ({ core, appraisals }) =>
      isSamePurchase(core.payment, payment) && appraisals.some(({ verdict }) => verdict === "verified"),
  );
  return { others, own, condemnedBy: verified?.id ?? null };
}

/** Each way of paying counts its own nonces, of each payer, asset and chain. */
const isSamePurchase = (one: Payment, other: Payment): boolean =>
  one.method === other.method &&
  one.network === other.network &&
  one.asset === other.asset &&
  one.payer === other.payer &&
  one.nonce === other.nonce;
