import * as z from "zod";
import { formatUnits } from "../chain/amounts.ts";
import { chainName, sumText, type PlacedToken } from "../chain/money-text.ts";
import { findAsset } from "../payment/policy.ts";
import { isPaymentOnlyTold, paidAmount } from "../receipts/paid.ts";
import { ASSURANCES, LAYERS, STATUSES, VERDICTS, type Appraisal, type Receipt } from "../receipts/schema.ts";

/** What every tool says about a receipt. The evidence itself stays in the file. */
export const receiptSummarySchema = z.object({
  id: z.string(),
  seller: z.string(),
  model: z.string(),
  verdict: z.enum(VERDICTS),
  assurance: z.enum(ASSURANCES),
  wanted: z.enum(ASSURANCES),
  simulated: z.boolean(),
  paid: z.object({
    /** What became of the payment, as far as the chain has shown it. */
    state: z.enum(["authorized", "settled", "expired"]),
    amount: z.string(),
    /** The seller may still settle less (an `upto` payment whose settlement is not known). Left out if not so. */
    atMost: z.literal(true).optional(),
    /** Only the file's word: its payment or settlement contradicts, or was not read from the chain here. Left out if not so. */
    reported: z.literal(true).optional(),
    /** The reader's own name of the token, and `usd` if it is worth a dollar. Of an unknown token, its address. */
    symbol: z.string().optional(),
    usd: z.string().optional(),
    asset: z.string().optional(),
    /** The configuration's for a token that it knows, else the receipt's. */
    decimals: z.number(),
    network: z.string(),
  }),
  at: z.string(),
  layers: z.record(z.string(), z.enum(STATUSES)),
  problems: z.array(z.string()),
  notProven: z.array(z.string()),
});
export type ReceiptSummary = z.infer<typeof receiptSummarySchema>;

/** The summary of a receipt under one appraisal of it, with the reader's names of `tokens`. */
export function summarize(receipt: Receipt, appraisal: Appraisal, tokens: readonly PlacedToken[]): ReceiptSummary {
  const { core } = receipt;
  return {
    id: receipt.id,
    seller: core.seller.id,
    model: core.request.model,
    verdict: appraisal.verdict,
    assurance: appraisal.assurance,
    wanted: appraisal.wanted,
    simulated: appraisal.simulated,
    paid: paidOf(receipt, appraisal, findAsset(core.payment, tokens)),
    at: core.response.receivedAt,
    layers: Object.fromEntries(LAYERS.map((layer) => [layer, appraisal.layers[layer].status])),
    problems: LAYERS.filter((layer) => appraisal.layers[layer].status === "fail").map(
      (layer) => `${layer}: ${appraisal.layers[layer].code}: ${appraisal.layers[layer].note}`,
    ),
    notProven: inFewSentences(appraisal.notProven),
  };
}

function paidOf(receipt: Receipt, appraisal: Appraisal, token: PlacedToken | undefined): ReceiptSummary["paid"] {
  const { payment, offer } = receipt.core;
  const { state, amount, atMost } = paidAmount(receipt);
  return {
    state,
    amount,
    ...(atMost ? { atMost } : {}),
    ...(isPaymentOnlyTold(appraisal) ? { reported: true } : {}),
    ...(token === undefined ? { asset: payment.asset } : { symbol: token.symbol }),
    ...(token?.usdStable === true ? { usd: formatUnits(amount, token.decimals) } : {}),
    decimals: token?.decimals ?? offer.decimals,
    network: payment.network,
  };
}

/** Sentences with the same beginning, which ends in a colon, as one: a model pays for each word. */
function inFewSentences(notProven: readonly string[]): string[] {
  const joined = new Map<string, string>();
  for (const sentence of notProven) {
    const [, begin = sentence, rest = ""] = /^(Not shown[^:]*: )(.*)\.$/.exec(sentence) ?? [];
    const before = joined.get(begin);
    joined.set(begin, before === undefined ? rest : `${before}; ${rest}`);
  }
  return [...joined].map(([begin, rest]) => (rest === "" ? begin : `${begin}${rest}.`));
}

/** Tells a reader whether to act, by the verdict. */
export const VERDICT_WORDS: Record<ReceiptSummary["verdict"], string> = {
  verified: "every required layer passed",
  pending: "nothing failed so far, evidence is still to come: do not act on it yet if you need proof",
  failed: "DO NOT act on this answer",
  unverified: "required evidence is missing: treat the answer as unproven",
};

/** Says what became of the payment. */
export function paidText(paid: ReceiptSummary["paid"]): string {
  return paid.reported === true ? `The file tells, and nothing here confirms: ${paidWords(paid)}` : paidWords(paid);
}

function paidWords(paid: ReceiptSummary["paid"]): string {
  const sum = paid.symbol === undefined ? paidSum(paid) : `${paidSum(paid)} on ${chainName(paid.network)}`;
  if (paid.state === "settled") return `Paid: ${sum}.`;
  return paid.state === "authorized"
    ? `Authorized: ${sum}; not seen on chain yet.`
    : "Paid: nothing; the authorization ended unused.";
}

/** The amount by its token's name and in dollars; an unknown token goes by its address. */
export function paidSum({
  amount,
  atMost,
  symbol,
  usd,
  asset = "",
  network,
  decimals,
}: ReceiptSummary["paid"]): string {
  const token = symbol === undefined ? undefined : { symbol, decimals, usdStable: usd !== undefined };
  return `${atMost === true ? "at most " : ""}${sumText(amount, token, { network, asset, decimals })}`;
}

/** One paragraph, complete for a reader of the text alone. */
export function summaryText(summary: ReceiptSummary): string {
  const lines = [
    `Receipt ${summary.id}: ${summary.verdict.toUpperCase()} (${VERDICT_WORDS[summary.verdict]}).`,
    `Assurance reached: ${summary.assurance}${summary.simulated ? " (SIMULATED hardware)" : ""}, asked for: ${summary.wanted}. Seller: ${summary.seller}, model: ${summary.model}. ${paidText(summary.paid)}`,
    `Layers: ${Object.entries(summary.layers)
      .map(([layer, status]) => `${layer} ${status}`)
      .join(", ")}.`,
  ];
  const reported = LAYERS.filter((layer) => summary.layers[layer] === "reported");
  if (reported.length > 0) lines.push(`Told by the file and not read from the chain here: ${reported.join(", ")}.`);
  if (summary.problems.length > 0) lines.push(`Problems: ${summary.problems.join(" | ")}`);
  if (summary.notProven.length > 0) lines.push(`Not proven: ${summary.notProven.join(" | ")}`);
  return lines.join("\n");
}

/** One line for each layer of an appraisal. */
export const layersText = ({ layers }: Appraisal): string[] =>
  LAYERS.map((layer) => `${layer}: ${layers[layer].status} (${layers[layer].code}) ${layers[layer].note}`);
