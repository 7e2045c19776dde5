import * as z from "zod";
import { formatUnits } from "../chain/amounts.ts";
import { paidAmount } from "../receipts/paid.ts";
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
    /** The seller may still settle less (an `upto` payment whose settlement is not known). */
    atMost: z.boolean(),
    /** Only the file's word: its payment or settlement contradicts, or was not read from the chain here. */
    reported: z.boolean(),
    decimals: z.number(),
    asset: z.string(),
    network: z.string(),
  }),
  at: z.string(),
  layers: z.record(z.string(), z.enum(STATUSES)),
  problems: z.array(z.string()),
  notProven: z.array(z.string()),
});
export type ReceiptSummary = z.infer<typeof receiptSummarySchema>;

/** The summary of a receipt under one appraisal of it. */
export function summarize(receipt: Receipt, appraisal: Appraisal): ReceiptSummary {
  const { core } = receipt;
  return {
    id: receipt.id,
    seller: core.seller.id,
    model: core.request.model,
    verdict: appraisal.verdict,
    assurance: appraisal.assurance,
    wanted: appraisal.wanted,
    simulated: appraisal.simulated,
    paid: {
      ...paidAmount(receipt),
      reported: isOnlyTold(appraisal),
      decimals: core.offer.decimals,
      asset: core.payment.asset,
      network: core.payment.network,
    },
    at: core.response.receivedAt,
    layers: Object.fromEntries(LAYERS.map((layer) => [layer, appraisal.layers[layer].status])),
    problems: LAYERS.filter((layer) => appraisal.layers[layer].status === "fail").map(
      (layer) => `${layer}: ${appraisal.layers[layer].code}: ${appraisal.layers[layer].note}`,
    ),
    notProven: inFewSentences(appraisal.notProven),
  };
}

/**
 * Tells whether a receipt's payment rests on its maker's word. A failed layer shows nothing, except a token's surcharge seen on
 * the chain here; a reported one was not read here.
 */
const isOnlyTold = ({ layers: { payment, settlement } }: Appraisal): boolean =>
  [payment, settlement].some(
    ({ status, code }) => status === "reported" || (status === "fail" && code !== "token_moved_more"),
  );

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

/** Says what became of the payment. `symbol` names the asset for a person whose configuration knows it. */
export function paidText({ reported, ...paid }: ReceiptSummary["paid"], symbol?: string): string {
  return reported ? `The file tells, and nothing here confirms: ${paidWords(paid, symbol)}` : paidWords(paid, symbol);
}

function paidWords(
  { state, amount, atMost, decimals, asset, network }: Omit<ReceiptSummary["paid"], "reported">,
  symbol: string | undefined,
): string {
  const sum = `${atMost ? "at most " : ""}${formatUnits(amount, decimals)}`;
  const units = `${sum} ${symbol ?? `of ${asset}`} on ${network}`;
  if (state === "settled") return `Paid: ${units}.`;
  return state === "authorized"
    ? `Authorized: ${units}; not seen on chain yet.`
    : `Paid: nothing; the authorization in ${symbol ?? asset} on ${network} ended unused.`;
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
