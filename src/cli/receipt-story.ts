import { answerOf, inputOf } from "../buyer/answer.ts";
import { Proof402Error } from "../errors.ts";
import type { Receipt } from "../receipts/schema.ts";
import { showAnswer } from "../tools/shown-answer.ts";
import { paidSum, type ReceiptSummary } from "../tools/summary.ts";

/** Most characters of a question or an answer in a story. The receipt keeps the exact bytes. */
const MAX_SHOWN = 300;

type Paid = ReceiptSummary["paid"];

/** Who sold what to whom, when and for how much, and what was asked and answered. */
export type Story = {
  summary: Pick<ReceiptSummary, "verdict" | "seller" | "model" | "at" | "paid">;
  /** Null for the reader's own purchase. */
  payer: string | null;
  asked: string;
  answered: string;
};

/** What a receipt tells. Its checks say how far that holds. */
export const storyOf = (receipt: Receipt, summary: Story["summary"]): Story => ({
  summary,
  payer: receipt.core.payment.payer,
  asked: shown(() => inputOf(receipt)),
  answered: shown(() => answerOf(receipt)),
});

/** A story in three lines, above the checks. */
export function storyText({ summary, payer, asked, answered }: Story): string {
  const { verdict, seller, model, at, paid } = summary;
  const told = verdict === "verified" && paid.reported !== true ? "" : "The receipt tells: ";
  return [
    `${told}${JSON.stringify(seller)} sold ${JSON.stringify(model)}${payer === null ? "" : ` to the wallet ${payer}`} ${priceText(paid)}, ${at}`,
    `Asked     ${asked}`,
    `Answered  ${answered} (the seller's data)`,
  ].join("\n");
}

function priceText(paid: Paid): string {
  if (paid.state === "expired") return "for nothing: the authorization ended unused";
  return `for ${paidSum(paid)}${paid.state === "settled" ? "" : ", not seen on chain yet"}`;
}

/** A value in one line, cut, and without what could hide text. */
export function inShort(value: unknown): string {
  const text = inFull(value);
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN).toWellFormed()}... (${text.length} characters)`;
}

/** A value in one line, without what could hide text, and with few digits. */
export const inFull = (value: unknown): string =>
  JSON.stringify(showAnswer({ readable: true, answer: { value } }).answer["value"], fewDigits) ?? "nothing";

const fewDigits = (_name: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;

function shown(read: () => Record<string, unknown>): string {
  try {
    return inShort(read());
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    return `(${error.message})`;
  }
}
