import type { Hex } from "../evidence/bytes.ts";
import { readPurchaseByNonce } from "../payment/journal.ts";
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
  const own = await ownOf(db, payment.nonce);
  const stored = await receiptsOfNonce(db, payment.nonce);
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
  return stored.filter((one) => one.id === id || (own === null && isSamePurchase(one.core.payment, core.payment)));
}

/** The id of this buyer's own receipt of a purchase, or null. */
const ownOf = async (db: Db, nonce: Hex): Promise<string | null> =>
  (await readPurchaseByNonce(db, nonce))?.receiptId ?? null;

/**
 * Each payer counts its own nonces on each chain. Without a salt, in format 1, nothing signs the payer, so a copy may name
 * another one: the nonce alone counts.
 */
const isSamePurchase = (one: Payment, other: Payment): boolean =>
  one.nonce === other.nonce &&
  (one.salt === undefined ||
    other.salt === undefined ||
    (one.method === other.method && one.network === other.network && one.payer === other.payer));
