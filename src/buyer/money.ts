import { Proof402Error, type MoneyState } from "../errors.ts";
import { readAttempts } from "../payment/journal.ts";
import type { PurchaseState } from "../storage/tables.ts";
import type { BuyerContext } from "./context.ts";

/**
 * What became of the money of one call, over all its attempts. An authorization counts from the moment before it is signed
 * until the chain has shown that it was used or can be used no more. Pure.
 */
export function moneyOf(attempts: readonly { state: PurchaseState }[]): MoneyState {
  const some = (...states: PurchaseState[]): boolean => attempts.some(({ state }) => states.includes(state));
  if (some("settled")) return "moved";
  return some("signed", "sent", "answered") ? "may-move" : "not-moved";
}

/**
 * The error that ends a call, with what became of the call's money and, unless no money can move, with the key that takes
 * the call up again. This is the one place that says either. `key` is null for a call that never got one.
 */
export async function withMoney(ctx: BuyerContext, key: string | null, thrown: unknown): Promise<Proof402Error> {
  const error = asError(thrown);
  // A journal that cannot be read leaves open what earlier attempts came to.
  const money = key === null ? "not-moved" : await readAttempts(ctx.db, key).then(moneyOf, () => "may-move" as const);
  // What the throwing leg advises knows nothing of earlier attempts: another purchase would be paid beside them.
  const next = money === "not-moved" || /\bkey\b/.test(error.next) ? error.next : TAKE_UP;
  return new Proof402Error(error.code, error.message, {
    next,
    money,
    ...(key === null || money === "not-moved" ? {} : { idempotencyKey: key }),
    details: error.details,
    cause: error.cause,
  });
}

const TAKE_UP = "Call again with the same idempotency key: the payment is taken up again and nothing is paid twice.";

/** Errors that are not ours keep their class name only: their text could hold anything. */
function asError(thrown: unknown): Proof402Error {
  if (Proof402Error.isInstance(thrown)) return thrown;
  const name = thrown instanceof Error ? thrown.name : "error";
  return new Proof402Error("internal_error", `An unexpected ${name} stopped the call.`, {
    next: "Look at spending, then call again with the same idempotency key.",
    cause: thrown,
  });
}
