import type { Hex } from "../evidence/bytes.ts";
import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import { readPurchasesByNonce } from "../payment/journal.ts";
import type { Payment, Receipt } from "../receipts/schema.ts";
import { receiptsOfNonce } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import type { Rivals } from "../verify/types.ts";

/**
 * The other stored receipts of the same purchase, with `beside` among them before it is stored. Of an own purchase this
 * buyer's own receipt condemns every other, by the payment nonce alone: no other buyer can have made it. A foreign
 * receipt condemns nothing: one that holds up by itself contests the others, and junk does nothing.
 */
export async function rivalsOf(
  db: Db,
  receipt: Receipt,
  { beside, holdsUp }: { beside: Receipt | undefined; holdsUp: (rival: Receipt) => Promise<boolean> },
): Promise<Rivals> {
  const { payment } = receipt.core;
  const ownOnes = await ownOf(db, payment.nonce);
  // Of an authorization for several calls each has a receipt of its own. None of these condemns another.
  const own = ownOnes.includes(receipt.id) ? receipt.id : (ownOnes[0] ?? null);
  const stored = (await receiptsOfNonce(db, payment.nonce)).filter(({ id }) => id === own || !ownOnes.includes(id));
  const all = beside === undefined || stored.some(({ id }) => id === beside.id) ? stored : [...stored, beside];
  const rivals = all.filter(({ id }) => id !== receipt.id);
  const others = rivals.map(({ id }) => id);
  if (own !== null) return { others, own, contestedBy: null };
  for (const rival of rivals)
    if (isSamePurchase(rival.core.payment, payment) && (await holdsUp(rival)))
      return { others, own, contestedBy: rival.id };
  return { others, own, contestedBy: null };
}

/** The stored receipt itself and the imported ones of its purchase, oldest first. */
export async function importedOf(db: Db, { id, core }: Receipt): Promise<Receipt[]> {
  const own = await ownOf(db, core.payment.nonce);
  const stored = await receiptsOfNonce(db, core.payment.nonce);
  return stored.filter((one) => one.id === id || (own.length === 0 && isSamePurchase(one.core.payment, core.payment)));
}

/** The ids of this buyer's own receipts of an authorization: one at most, but where several calls share it. */
const ownOf = async (db: Db, nonce: Hex): Promise<string[]> =>
  (await readPurchasesByNonce(db, nonce)).flatMap(({ receiptId }) => receiptId ?? []);

/**
 * Each payer counts its own nonces on each chain. Without a salt, in format 1, nothing signs the payer, so a copy may name
 * another one: the nonce alone counts.
 */
const isSamePurchase = (one: Payment, other: Payment): boolean =>
  one.nonce === other.nonce &&
  (one.salt === undefined ||
    other.salt === undefined ||
    (one.method === other.method &&
      one.network === other.network &&
      one.payer === other.payer &&
      // Two calls on one authorization are two purchases, by the terms that each request commits to.
      (one.share === undefined || other.share === undefined || purchaseNonceOf(one) === purchaseNonceOf(other))));
