import type { PlacedToken } from "../chain/money-text.ts";
import { shownAs, unsignedOf } from "../buyer/chat-result.ts";
import type { BuyResult } from "../buyer/types.ts";
import type { Chat } from "../evidence/exchange/chat.ts";
import { summarize, type ReceiptSummary } from "./summary.ts";

/** What a surface says of a bought chat beside its words, in the names of OpenAI's API. */
export type ChatFacts = Pick<ReceiptSummary, "verdict" | "assurance" | "simulated" | "seller" | "paid"> & {
  receipt_id: string;
  /** False for the stored answer of an earlier call. */
  paid_now: boolean;
  idempotency_key: string;
  /** Words in the answer outside the seller's signature. The verdict is not about them, and the message leaves them out. */
  unsigned?: { text?: string; refusal?: string };
};

/**
 * The facts of a result, and the summary of its receipt. Pieces with unsigned words make `isCovered` false, and no verdict is
 * verified then.
 */
export function chatFacts(
  result: BuyResult,
  chat: Chat,
  tokens: readonly PlacedToken[],
  isCovered: boolean,
): { facts: ChatFacts; summary: ReceiptSummary } {
  const summary = summarize(result.receipt, result.appraisal, tokens);
  const { id, simulated, seller, paid } = summary;
  const facts: ChatFacts = {
    receipt_id: id,
    ...shownAs(summary, isCovered),
    simulated,
    seller,
    paid,
    paid_now: result.paidNow,
    idempotency_key: result.idempotencyKey,
    ...unsignedOf(chat),
  };
  return { facts, summary };
}
