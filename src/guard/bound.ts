import type { Receipt } from "../receipts/schema.ts";
import { refusal, type Refusal } from "./judge.ts";
import type { Requirement } from "./requirement.ts";

/** Why a receipt's answer does not justify these arguments, or null. */
export function judgeBound(required: Requirement, receipt: Receipt, args: unknown): Refusal | null {
  const { buyer } = required;
  const bound: unknown = required.bind({
    args: args as Record<string, unknown>,
    input: buyer.inputOf(receipt),
    answer: buyer.answerOf(receipt),
    receipt,
  });
  if (isPromise(bound)) {
    // The guard does not wait for it, and its rejection must not end the process.
    bound.then(undefined, () => undefined);
    return refusal(
      "guard_error",
      "The guard's bind function is asynchronous: it gave a promise, which is no yes.",
      "Its owner has to make bind answer at once: fetch what it compares before, or in the action's own read.",
    );
  }
  if (bound === true) return null;
  return refusal(
    "receipt_not_bound",
    `The receipt does not justify these arguments${typeof bound === "string" ? `: ${bound}` : ""}.`,
    "Use arguments that follow from the bought answer.",
  );
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
