import { chatIn, type Chat } from "./chat.ts";
import type { AnswerPart, ToolCallPart } from "../evidence/exchange/format.ts";
import { Proof402Error, type ErrorCode, type MoneyState } from "../errors.ts";
import { paidAmount, type Paid } from "../receipts/paid.ts";
import type { BuyResult } from "./types.ts";

/** What the pieces of one stream said so far. */
export type Told = {
  add(part: AnswerPart): void;
  /**
   * What of the judged answer they did not say. Throws Proof402Error `answer_replaced` if they said something else: another
   * process had stored the call's answer.
   */
  restOf(result: BuyResult, chat: Chat): { text: string; refusal: string; calls: ToolCallPart[] };
};

/** A memory of what one caller was told. */
export function createTold(): Told {
  let [text, refusal] = ["", ""];
  const calls = new Map<number, Required<Omit<ToolCallPart, "index">>>();
  return {
    add(part) {
      text += part.text ?? "";
      refusal += part.refusal ?? "";
      for (const { index, id = "", name = "", arguments: args = "" } of part.toolCalls ?? []) {
        const before = calls.get(index) ?? { id: "", name: "", arguments: "" };
        calls.set(index, {
          id: before.id || id,
          name: before.name || name,
          arguments: before.arguments + args,
        });
      }
    },
    restOf(result, chat) {
      if (!chat.text.startsWith(text) || !chat.refusal.startsWith(refusal)) throw replaced(result);
      const told = [...calls].toSorted(([a], [b]) => a - b).map(([, call]) => call);
      const same = told.length === chat.calls.length && told.every((call, at) => isSame(call, chat.calls[at]));
      if (told.length > 0 && !same) throw replaced(result);
      return {
        text: chat.text.slice(text.length),
        refusal: chat.refusal.slice(refusal.length),
        calls: told.length > 0 ? [] : chat.calls.map((call, index) => ({ index, ...call })),
      };
    },
  };
}

const isSame = (a: Chat["calls"][number], b: Chat["calls"][number] | undefined): boolean =>
  a.id === b?.id && a.name === b.name && a.arguments === b.arguments;

/** The chat in a result. Throws Proof402Error `malformed_answer` for an answer of another form. */
export function chatOf(result: BuyResult): Chat {
  const chat = result.readable ? chatIn(result.answer) : null;
  if (chat !== null) return chat;
  const { model } = result.receipt.core.request;
  const next = "Look at the receipt, and name a model that answers chats.";
  throw afterwards("malformed_answer", result, `Model "${model}" gave an answer that is no chat.`, next);
}

/**
 * Throws Proof402Error `answer_not_verified` for a verdict that forbids to act: `failed`, and any but `verified` where that is
 * required.
 */
export function requireVerdict(result: BuyResult, requireVerified: boolean): void {
  const { verdict, receipt } = result;
  if (verdict !== "failed" && (verdict === "verified" || !requireVerified)) return;
  throw afterwards(
    "answer_not_verified",
    result,
    `The answer is not given: the verdict of receipt ${receipt.id} is ${verdict}.`,
    verdict === "pending"
      ? "Call again with the same idempotency key once the evidence is in."
      : "Look at the receipt for the layer that failed. Buy from another seller, or with evidence that this one gives.",
  );
}

const replaced = (result: BuyResult): Proof402Error =>
  afterwards(
    "answer_replaced",
    result,
    "The pieces shown so far are of another answer than the one that was stored and judged.",
    "Drop them, and call again with the same idempotency key for the judged answer.",
  );

const MONEY: Readonly<Record<Paid["state"], MoneyState>> = {
  settled: "moved",
  authorized: "may-move",
  expired: "not-moved",
};

/** An error about an answer that was paid for. */
function afterwards(code: ErrorCode, result: BuyResult, message: string, next: string): Proof402Error {
  const { receipt, idempotencyKey } = result;
  return new Proof402Error(code, message, {
    next,
    money: MONEY[paidAmount(receipt).state],
    idempotencyKey,
    details: { receiptId: receipt.id, verdict: result.verdict },
  });
}
