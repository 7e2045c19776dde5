import type { Chat } from "../evidence/exchange/chat.ts";
import type { AnswerPart, ToolCallPart } from "../evidence/exchange/format.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import { Proof402Error, type ErrorCode, type MoneyState } from "../errors.ts";
import type { Appraisal } from "../receipts/schema.ts";
import { paidAmount, type Paid } from "../receipts/paid.ts";
import type { BuyResult } from "./types.ts";

/** What the pieces of one stream said so far. */
export type Told = {
  add(part: AnswerPart): void;
  /**
   * The part of the judged answer that they left out. `isCovered` is false if they said words outside the seller's signature.
   *
   * Throws Proof402Error `answer_replaced` if they said something else: another process had stored the call's answer.
   */
  restOf(result: BuyResult, chat: Chat): { text: string; refusal: string; calls: ToolCallPart[]; isCovered: boolean };
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
      const ofText = restAfter(text, chat.text, chat.unsigned.text);
      const ofRefusal = restAfter(refusal, chat.refusal, chat.unsigned.refusal);
      if (ofText === null || ofRefusal === null) throw replaced(result);
      const told = [...calls].toSorted(([a], [b]) => a - b).map(([, call]) => call);
      const same = told.length === chat.calls.length && told.every((call, at) => isSame(call, chat.calls[at]));
      if (told.length > 0 && !same) throw replaced(result);
      return {
        text: ofText.rest,
        refusal: ofRefusal.rest,
        calls: told.length > 0 ? [] : chat.calls.map((call, index) => ({ index, ...call })),
        isCovered: ofText.isCovered && ofRefusal.isCovered,
      };
    },
  };
}

/** The rest of a judged text after these words of it, or null after other words. Of an unsigned text no more is told. */
function restAfter(told: string, signed: string, unsigned: string): { rest: string; isCovered: boolean } | null {
  if (signed.startsWith(told)) return { rest: signed.slice(told.length), isCovered: true };
  return signed === "" && unsigned.startsWith(told) ? { rest: "", isCovered: false } : null;
}

/** A call without an id got one of ours at the end. */
const isSame = (a: Chat["calls"][number], b: Chat["calls"][number] | undefined): boolean =>
  (a.id === b?.id || a.id === "") && a.name === b?.name && a.arguments === b.arguments;

/**
 * The chat in a result. Calls without an id get one of the receipt's. Throws Proof402Error `malformed_answer` for an answer of
 * another form.
 */
function chatOf(result: BuyResult): Chat {
  const { id: receiptId, core } = result.receipt;
  const chat = result.readable ? (formatOf(core.seller.provider)?.readChat?.(result.answer) ?? null) : null;
  if (chat !== null) {
    const calls = chat.calls.map(({ id, ...call }, at) => ({
      id: id === "" ? `call_${receiptId}_${at}` : id,
      ...call,
    }));
    return { ...chat, calls };
  }
  const { model } = result.receipt.core.request;
  const next = "Look at the receipt, and name a model that answers chats.";
  throw afterwards("malformed_answer", result, `Model "${model}" gave an answer that is no chat.`, next);
}

/**
 * The chat in a result with a verdict to act on. Throws Proof402Error `malformed_answer` for an answer of another form, and
 * `answer_not_verified` for the verdict `failed`. With `requireVerified` it throws that for any verdict but `verified`, and for
 * a refusal outside the seller's signature.
 */
export function judgedChat(result: BuyResult, requireVerified: boolean): Chat {
  requireVerdict(result, requireVerified);
  const chat = chatOf(result);
  if (!requireVerified || chat.unsigned.refusal === "") return chat;
  throw afterwards(
    "answer_not_verified",
    result,
    "The answer is not given: it holds a refusal, and the seller's signature does not cover it.",
    "Look at the receipt for the refusal. Buy from another seller, or ask in other words.",
  );
}

function requireVerdict(result: BuyResult, requireVerified: boolean): void {
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

type Shown = Pick<Appraisal, "verdict" | "assurance">;

/**
 * Verdict and assurance of an answer as it was shown. With words outside the seller's signature in it, it is not verified, and has no
 * assurance.
 */
export const shownAs = ({ verdict, assurance }: Shown, isCovered: boolean): Shown =>
  isCovered ? { verdict, assurance } : { verdict: verdict === "verified" ? "unverified" : verdict, assurance: "none" };

/** Words in an answer outside the seller's signature, as a member `unsigned`. None without such words. */
export function unsignedOf({ unsigned: { text, refusal } }: Chat): { unsigned?: { text?: string; refusal?: string } } {
  if (text === "" && refusal === "") return {};
  return { unsigned: { ...(text === "" ? {} : { text }), ...(refusal === "" ? {} : { refusal }) } };
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
