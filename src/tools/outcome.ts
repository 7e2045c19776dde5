import { pendingApproval } from "../buyer/pending-approval.ts";
import { Proof402Error, type MoneyState } from "../errors.ts";
import type { ToolError, ToolOutcome } from "./definition.ts";

/** A tool's failure as text and data: the failure, the money, the next step, and the key for it. */
export function errorOutcome(error: ToolError): Extract<ToolOutcome<never>, { status: "error" }> {
  const { idempotencyKey: key } = error;
  const text = key === undefined ? errorText(error) : `${errorText(error)} idempotency_key: ${key}`;
  return { status: "error", text, error };
}

/** The same without the key, which each surface names in its own words. */
export const errorText = ({ code, message, money, next }: ToolError): string =>
  [`Error ${code}: ${message}`, ...(money === undefined ? [] : [moneyWords(code, money)]), next].join(" ");

/**
 * What became of the money, as one sentence. If a key names another call, this one paid nothing. Any money is then the other call's.
 */
export function moneyWords(code: string, money: MoneyState): string {
  if (money === "may-move" && OWNERS.has(code))
    return "Money may still move by what was signed; no spending cap counts it.";
  if (code === "idempotency_conflict" && money === "not-moved") return "This call paid nothing: no money moved by it.";
  return code === "idempotency_conflict"
    ? `This call paid nothing. Of the earlier call with this key: ${MONEY_WORDS[money].replace("of this call", "of it")}`
    : MONEY_WORDS[money];
}

/** Codes of the owner's own transactions, which are no purchases: the caps count none of them. */
const OWNERS: ReadonlySet<string> = new Set(["transaction_undecided", "transaction_failed"]);

const MONEY_WORDS: Record<MoneyState, string> = {
  "not-moved": "No money moved.",
  "may-move":
    "Money may still move: an authorization of this call was or may have been signed; it counts as spent until it is settled or expires.",
  moved: "Money moved: a payment of this call is on chain.",
};

/**
 * Runs a tool's work and turns its errors into outcomes. A question to a person stays an error, for its surface to ask. Errors
 * that are not ours say nothing of their text, which could hold anything; the class name is kept.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { outcomeOf, spending } from "proof402/tools";
 *
 * const outcome = await outcomeOf(async () => spending.run({ buyer: await openBuyer() }, {}));
 * ```
 */
export async function outcomeOf<Data>(work: () => Promise<ToolOutcome<Data>>): Promise<ToolOutcome<Data>> {
  try {
    return await work();
  } catch (error) {
    if (pendingApproval(error) !== null) throw error;
    if (Proof402Error.isInstance(error)) {
      const { code, message, money, idempotencyKey, next } = error;
      return errorOutcome({
        code,
        message,
        ...(money === undefined ? {} : { money }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        next,
      });
    }
    const name = error instanceof Error ? error.name : "unknown";
    if (name === "AbortError")
      return errorOutcome({ code: "aborted", message: "The call was aborted.", next: "Call again." });
    return errorOutcome({
      code: "internal_error",
      message: `An unexpected ${name} stopped the call.`,
      next: "Call again; if this repeats, report it.",
    });
  }
}
