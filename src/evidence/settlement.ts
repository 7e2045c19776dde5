import type { Authorization, SettlingTransaction } from "./methods/method.ts";
import { evidenceOf } from "./methods/methods.ts";
import { movedIn, takenIn } from "./methods/transfers.ts";

/** Whether a successful transaction used this authorization. */
export const usesAuthorization = (transaction: SettlingTransaction, payment: Authorization): boolean =>
  evidenceOf(payment).isUsedIn(transaction, payment);

/** What a transaction moved for this payment, base units ({@link movedIn}). */
export const movedBy = (transaction: SettlingTransaction, payment: Authorization): bigint | null =>
  movedIn(transaction, payment, evidenceOf(payment));

/** All that a transaction took from the payer for this payment, base units ({@link takenIn}). */
const takenBy = (transaction: SettlingTransaction, payment: Authorization): bigint =>
  takenIn(transaction, payment, movedBy(transaction, payment));

/**
 * The cost of a settled payment, base units, and whether the token took more than was authorized. Counts the allowed sum if the
 * token moved too little (a fee, say).
 */
export function costIn(
  transaction: SettlingTransaction,
  payment: Authorization & { amount: string },
): { amount: bigint; isMore: boolean } {
  const promised = movedBy(transaction, payment) ?? BigInt(payment.amount);
  const taken = takenBy(transaction, payment);
  return taken > promised ? { amount: taken, isMore: true } : { amount: promised, isMore: false };
}

/** The last second in which an authorization may be used. */
export const lastSecondOf = (payment: Authorization): number => evidenceOf(payment).lastSecondOf(payment);
