import { Proof402Error } from "../errors.ts";

/**
 * Runs what comes after an authorization went out that the seller turned down: whatever fails from here on, that one may
 * still be redeemed until it expires, and an error that said otherwise would be a lie about money.
 */
export async function afterSent<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!Proof402Error.isInstance(error) || error.money !== "not-moved") throw error;
    throw new Proof402Error(error.code, error.message, {
      money: "may-move",
      next: `The seller turned down a payment at the known price and asked anew; that authorization stays reserved until it expires. ${error.next}`,
      details: error.details,
      cause: error,
    });
  }
}
