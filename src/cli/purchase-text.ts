import { shortId } from "../receipts/search.ts";
import { takenUp, type Bought } from "../tools/buy-inference.ts";
import { paidSum, paidText, VERDICT_WORDS, type ReceiptSummary } from "../tools/summary.ts";
import { colour as pc } from "./colour.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";
import { inFull, inShort, storyText } from "./receipt-story.ts";

/** A purchase for a person: what was sold, asked and answered, the verdict, what was paid, and each limit on a line. */
export function purchaseText(bought: Bought, asked: unknown): string {
  const { answer, answerNote, receipt, paidNow, stored, next } = bought;
  const { verdict, assurance, simulated, wanted } = receipt;
  return [
    storyText({ summary: receipt, payer: null, asked: inShort(asked), answered: inFull(answer) }),
    ...(answerNote === null ? [] : [answerNote]),
    `${pc.bold(VERDICT_COLOUR[verdict](verdict.toUpperCase()))}: ${VERDICT_WORDS[verdict]}`,
    `Assurance reached: ${assurance}${simulated ? pc.yellow(" (SIMULATED hardware)") : ""}, asked for: ${wanted}`,
    ...layersByStatus(receipt.layers),
    ...receipt.problems.map((problem) => pc.red(`Problem: ${problem}`)),
    paidText(receipt.paid),
    ...(paidNow ? [] : [takenUp(bought)]),
    ...(stored ? [] : ["The database could not take the receipt: this result is its only copy."]),
    ...(receipt.notProven.length === 0 ? [] : ["Not proven:", ...receipt.notProven.map((words) => `- ${words}`)]),
    `Receipt ${receipt.id}. ${next}`,
  ].join("\n");
}

/** A receipt in one line of a list. */
export function receiptRow(receipt: ReceiptSummary): string {
  const { at, verdict, assurance, paid, seller, model, id } = receipt;
  const open = paid.state === "authorized" && paid.atMost === undefined ? "at most " : "";
  const sum = paid.state === "expired" ? "unpaid" : `${open}${paidSum(paid)}`;
  return `${at}  ${verdict.padEnd(10)} ${assurance.padEnd(8)} ${sum.padEnd(18)} ${seller}/${model}  ${shortId(id)}`;
}

function layersByStatus(layers: ReceiptSummary["layers"]): string[] {
  const statuses = [...new Set(Object.values(layers))];
  return statuses.map((status) => {
    const named = Object.entries(layers).flatMap(([layer, its]) => (its === status ? [layer] : []));
    return `  ${status.padEnd(11)} ${named.join(", ")}`;
  });
}
