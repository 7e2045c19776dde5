import { Proof402Error, type ErrorCode, type MoneyState } from "../errors.ts";
import type { ClientBudget } from "../payment/client-budget.ts";
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
 * Adds to the error ending a call the fate of the call's money and, unless no money can move, the key for calling
 * again. This is the one place that says either. `keys` are those that the call may go by, null where those are
 * unknown. An error about a payment seen on chain but in no journal here states the money itself. A `client` is told of its
 * own purchases alone: those of others are no attempts of its call, under any key.
 */
export async function withMoney(
  ctx: BuyerContext,
  keys: readonly string[] | null,
  thrown: unknown,
  client?: ClientBudget,
): Promise<Proof402Error> {
  const error = asError(thrown);
  const { money, key } = worse(await worstOf(ctx, keys, client?.name), {
    money: error.money ?? "not-moved",
    key: keys?.[0],
  });
  // What the throwing leg advises knows nothing of earlier attempts: another purchase would be paid beside them.
  const next = money === "not-moved" || KNOWS_OF_PAYMENT.has(error.code) ? error.next : TAKE_UP;
  return new Proof402Error(error.code, error.message, {
    next,
    money,
    // With nothing at stake the key is of use where the error is about the call and no other, as a question to a person is.
    ...keyed(money === "not-moved" ? error.idempotencyKey : key),
    details: error.details,
    cause: error.cause,
  });
}

const ORDER: readonly MoneyState[] = ["not-moved", "may-move", "moved"];

const keyed = (key: string | undefined): { idempotencyKey?: string } =>
  key === undefined ? {} : { idempotencyKey: key };

type Standing = { money: MoneyState; key?: string | undefined };

const worse = (one: Standing, other: Standing): Standing =>
  ORDER.indexOf(other.money) > ORDER.indexOf(one.money) ? other : one;

/** Of several keys the one whose money is worst off. An unreadable journal leaves the fate of attempts open. */
async function worstOf(
  ctx: BuyerContext,
  keys: readonly string[] | null,
  client: string | undefined,
): Promise<Standing> {
  if (keys === null) return { money: "may-move" };
  const found = await Promise.all(
    keys.map(async (key): Promise<Standing> => ({
      key,
      money: await readAttempts(ctx.db, key).then(
        (attempts) => moneyOf(attempts.filter((one) => client === undefined || one.client === client)),
        (): MoneyState => "may-move",
      ),
    })),
  );
  return found.reduce(worse, { money: "not-moved" });
}

const TAKE_UP = "Call again with the same idempotency key: the payment is taken up again and nothing is paid twice.";

/** Errors with advice for a paid call. */
const KNOWS_OF_PAYMENT: ReadonlySet<ErrorCode> = new Set([
  "answer_cut",
  "answer_lost",
  "answer_not_kept",
  "answer_unfinished",
  "approval_cancelled",
  "approval_declined",
  "approval_pending",
  "approval_required",
  "approval_unreadable",
  "buyer_closed",
  "call_in_progress",
  "idempotency_conflict",
  "paid_elsewhere",
  "paid_not_served",
  "payment_in_doubt",
  "payment_rejected",
  "resend_not_allowed",
  "seller_error",
  "seller_not_found",
  "seller_refused",
  "wallet_changed",
]);

/** Errors that are not ours keep their class name only: their text could hold anything. */
function asError(thrown: unknown): Proof402Error {
  if (Proof402Error.isInstance(thrown)) return thrown;
  const name = thrown instanceof Error ? thrown.name : "error";
  return new Proof402Error("internal_error", `An unexpected ${name} stopped the call.`, {
    next: "Look at spending, then call again with the same idempotency key.",
    cause: thrown,
  });
}
