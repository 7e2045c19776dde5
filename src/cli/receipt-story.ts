import { answerOf, inputOf } from "../buyer/answer.ts";
import { formatUnits } from "../chain/amounts.ts";
import { Proof402Error } from "../errors.ts";
import { findAsset, type AssetPolicy } from "../payment/policy.ts";
import type { Receipt } from "../receipts/schema.ts";
import { showAnswer } from "../tools/shown-answer.ts";
import type { ReceiptSummary } from "../tools/summary.ts";

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

/** A story in three lines, above the checks. `assets` names the tokens of the reader's configuration. */
export function storyText({ summary, payer, asked, answered }: Story, assets: readonly AssetPolicy[]): string {
  const { verdict, seller, model, at, paid } = summary;
  const told = verdict === "verified" && !paid.reported ? "" : "The receipt tells: ";
  return [
    `${told}${JSON.stringify(seller)} sold ${JSON.stringify(model)}${payer === null ? "" : ` to ${payer}`} ${priceText(paid, assets)}, ${at}`,
    `Asked     ${asked}`,
    `Answered  ${answered} (the seller's data)`,
  ].join("\n");
}

function priceText(paid: Paid, assets: readonly AssetPolicy[]): string {
  if (paid.state === "expired") return "for nothing: the authorization ended unused";
  const dollars = findAsset(paid, assets)?.usdStable === true ? ` ($${formatUnits(paid.amount, paid.decimals)})` : "";
  const open = paid.state === "settled" ? "" : ", not seen on chain yet";
  return `for ${paid.atMost ? "at most " : ""}${sumText(paid, assets)}${dollars}${open}`;
}

/** An amount by the token's own name, or by its address if the configuration does not know it. */
export function sumText(paid: Paid, assets: readonly AssetPolicy[]): string {
  const symbol = findAsset(paid, assets)?.symbol;
  return `${formatUnits(paid.amount, paid.decimals)} ${symbol ?? `of ${paid.asset} on ${paid.network}`}`;
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
