import { Proof402Error, type MoneyState } from "../errors.ts";
import type { ToolError, ToolOutcome } from "./definition.ts";

/** A tool's failure as text and data: what happened, whether money moved, what to do next. */
export function errorOutcome(error: ToolError): Extract<ToolOutcome<never>, { status: "error" }> {
  return {
    status: "error",
    text: `Error ${error.code}: ${error.message} ${MONEY_WORDS[error.money]} ${error.next}`,
    error,
  };
}

const MONEY_WORDS: Record<MoneyState, string> = {
  "not-moved": "No money moved.",
  "may-move": "Money may still move: an authorization was signed and counts as spent until it is settled or expires.",
  moved: "Money moved.",
};

/**
 * Runs a tool's work and turns what it throws into an outcome. Errors that are not ours say nothing of their text,
 * which could hold anything; the class name is kept.
 */
export async function outcomeOf<Data>(work: () => Promise<ToolOutcome<Data>>): Promise<ToolOutcome<Data>> {
  try {
    return await work();
  } catch (error) {
    if (Proof402Error.isInstance(error)) {
      return errorOutcome({ code: error.code, message: error.message, money: error.money, next: error.next });
    }
    const name = error instanceof Error ? error.name : "unknown";
    if (name === "AbortError") {
      return errorOutcome({
        code: "aborted",
        message: "The call was aborted.",
        money: "may-move",
        next: "Look at spending before calling again with the same idempotency key.",
      });
    }
    return errorOutcome({
      code: "internal_error",
      message: `An unexpected ${name} stopped the call.`,
      money: "may-move",
      next: "Look at spending, then call again with the same idempotency key.",
    });
  }
}
