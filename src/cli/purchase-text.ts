import { findAsset, type AssetPolicy } from "../payment/policy.ts";
import { formatUnits } from "../chain/amounts.ts";
import type { Bought } from "../tools/buy-inference.ts";
import { paidText, VERDICT_WORDS, type ReceiptSummary } from "../tools/summary.ts";
import { colour as pc } from "./colour.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";

type Paid = ReceiptSummary["paid"];

/** A purchase for a person: the answer, the verdict, what was paid in the token's own name, and each limit on a line. */
export function purchaseText(bought: Bought, assets: readonly AssetPolicy[]): string {
  const { answer, answerNote, receipt, paidNow, stored, idempotencyKey } = bought;
  const { verdict, assurance, simulated, wanted } = receipt;
  return [
    `${receipt.model} from ${receipt.seller} answered (the seller's data): ${JSON.stringify(answer, fewDigits)}`,
    ...(answerNote === null ? [] : [answerNote]),
    `${pc.bold(VERDICT_COLOUR[verdict](verdict.toUpperCase()))}: ${VERDICT_WORDS[verdict]}`,
    `Assurance reached: ${assurance}${simulated ? pc.yellow(" (SIMULATED hardware)") : ""}, asked for: ${wanted}`,
    ...layersByStatus(receipt.layers),
    ...receipt.problems.map((problem) => pc.red(`Problem: ${problem}`)),
    paidText(receipt.paid, symbolOf(receipt.paid, assets)),
    ...(paidNow ? [] : [`Nothing was paid in this call: it took up the earlier one with the key ${idempotencyKey}.`]),
    ...(stored ? [] : ["The database could not take the receipt: this result is its only copy. Keep it."]),
    ...(receipt.notProven.length === 0 ? [] : ["Not proven:", ...receipt.notProven.map((words) => `- ${words}`)]),
    `Receipt ${receipt.id}; look at it with: proof402 receipts show ${receipt.id}`,
  ].join("\n");
}

/** A receipt in one line of a list. */
export function receiptRow(receipt: ReceiptSummary, assets: readonly AssetPolicy[]): string {
  const { at, verdict, assurance, paid, seller, model, id } = receipt;
  return `${at}  ${verdict.padEnd(10)} ${assurance.padEnd(8)} ${sumText(paid, assets).padEnd(12)} ${seller}/${model}  ${id}`;
}

function sumText(paid: Paid, assets: readonly AssetPolicy[]): string {
  if (paid.state === "expired") return "unpaid";
  const sum = `${formatUnits(paid.amount, paid.decimals)} ${symbolOf(paid, assets) ?? paid.asset}`;
  return paid.state === "settled" && !paid.atMost ? sum : `up to ${sum}`;
}

/** The configured name of what was paid. */
const symbolOf = (paid: Paid, assets: readonly AssetPolicy[]): string | undefined => findAsset(paid, assets)?.symbol;

const fewDigits = (_name: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;

function layersByStatus(layers: ReceiptSummary["layers"]): string[] {
  const statuses = [...new Set(Object.values(layers))];
  return statuses.map((status) => {
    const named = Object.entries(layers).flatMap(([layer, its]) => (its === status ? [layer] : []));
    return `  ${status.padEnd(11)} ${named.join(", ")}`;
  });
}
