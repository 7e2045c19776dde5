import type { Command } from "commander";
import { readClaims } from "../buyer/claims.ts";
import type { Claim } from "../buyer/action-types.ts";
import { importedAmong } from "../receipts/imported.ts";
import { aboutRival, newestAppraisal } from "../receipts/newest.ts";
import { prunedOf, type Pruned } from "../receipts/pruned.ts";
import type { Receipt } from "../receipts/schema.ts";
import { fullId, searchReceipts } from "../receipts/search.ts";
import { requireReceipt } from "../receipts/store.ts";
import { stepAfter } from "../tools/next.ts";
import { summarize } from "../tools/summary.ts";
import { layerTable, lookFor, waitFor } from "./layer-table.ts";
import { EXIT, globals, note, print, printJson, printResult } from "./globals.ts";
import { inCommands } from "./next.ts";
import { wholeNumber } from "./numbers.ts";
import { busy } from "./progress.ts";
import { filterOf, filterWords, type FilterOptions } from "./receipt-filter.ts";
import { readReceiptFile } from "./receipt-file.ts";
import { receiptRow } from "./purchase-text.ts";
import { storyOf, storyText } from "./receipt-story.ts";
import { configOf, withBuyer, withStore } from "./session.ts";

type ListOptions = FilterOptions & { limit: string; skip: string };

/** `proof402 receipts list`: the newest first, and how to see more. */
export async function listReceipts(options: ListOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const limit = wholeNumber(options.limit, "--limit", { from: 1, to: 1000 });
  const skip = wholeNumber(options.skip, "--skip", { from: 0, to: 999_999_999 });
  const asked = { ...filterOf(options), limit, skip };
  const { receipts, total, isMore, isPartial, imported } = await busy("Reading the receipts", () =>
    withStore(rest, async (db) => {
      const found = await searchReceipts(db, asked);
      const ids = found.receipts.map(({ id }) => id);
      return { ...found, imported: await importedAmong(db, ids) };
    }),
  );
  const { assets } = (await configOf(rest)).payment;
  const summaries = receipts.map((receipt) => ({
    ...summarize(receipt, newestAppraisal(receipt), assets),
    imported: imported.has(receipt.id),
  }));
  const end = skip + receipts.length;
  const more =
    end < total || (isMore && receipts.length === limit)
      ? `For more: proof402 receipts list${filterWords(options)} --limit ${limit} --skip ${end}`
      : null;
  const look =
    total === 0 ? inCommands({ do: "buy" }) : "Look at one with: proof402 receipts show ID (its beginning will do)";
  if (json)
    printResult(
      { receipts: summaries, total, isMore, isPartial, more: more === null ? null : { skip: end } },
      more ?? look,
    );
  else {
    for (const summary of summaries) print(`${receiptRow(summary)}${summary.imported ? "  imported" : ""}`);
    if (isPartial) note(PARTIAL);
    note(pageText({ skip, end, total, isMore, isFiltered: filterWords(options) !== "" }));
    if (more !== null) note(more);
  }
  return EXIT.ok;
}

const PARTIAL =
  "In ids and purposes the newest 10,000 were searched: older receipts may fit. `proof402 receipts export --csv FILE --search TEXT` looks at all.";

function pageText({
  skip,
  end,
  total,
  isMore,
  isFiltered,
}: Record<"skip" | "end" | "total", number> & Record<"isMore" | "isFiltered", boolean>) {
  if (total === 0) return isFiltered ? "No receipt fits." : "No receipts are stored.";
  const shown = end === skip ? "None" : `${skip + 1} to ${end}`;
  return `${shown} of ${isMore ? "more than " : ""}${total} receipts${isFiltered ? " that fit" : ""}, the newest first.`;
}

/** `proof402 receipts show ID`: the newest appraisal, and what the receipt's purchase has justified. */
export async function showReceipt(given: string, options: { wait?: string }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const waitSeconds = wholeNumber(options.wait ?? "0", "--wait", { from: 0, to: 600 });
  const id = await withStore(rest, (db) => fullId(db, given));
  if (waitSeconds > 0)
    await busy("Waiting for the receipt's verdict", () =>
      withBuyer(rest, (buyer) => buyer.getReceipt(id, { waitSeconds, settled: true })),
    );
  const [receipt, claims, pruned] = await withStore(rest, async (db) => {
    const stored = await requireReceipt(db, id);
    return [stored, await readClaims(db, stored), await prunedOf(db, id)] as const;
  });
  if (json) printJson(receipt);
  else {
    const appraisal = newestAppraisal(receipt);
    const { assets } = (await configOf(rest)).payment;
    const story = storyOf(receipt, summarize(receipt, appraisal, assets));
    print(
      [
        `Receipt ${receipt.id}`,
        storyText(story),
        layerTable(appraisal),
        ...(pruned === null ? [] : [prunedText(pruned, receipt)]),
        ...claims.map(inOneLine),
      ].join("\n"),
    );
    const isUnseen = appraisal.layers.settlement.status === "pending";
    const look = appraisal.verdict === "pending" ? waitFor(receipt.id) : lookFor(receipt.id);
    if (appraisal.verdict === "pending" || isUnseen)
      note(waitSeconds === 0 ? look : `Still pending after ${waitSeconds} s. Run the same command again.`);
  }
  return EXIT.ok;
}

/** Which bytes are gone, since when, and what it was before. */
function prunedText({ at, parts, appraisals }: Pruned, receipt: Receipt): string {
  const before = receipt.appraisals[appraisals - 1]?.verdict;
  return `Pruned ${at.toISOString()}: the bytes of ${parts.join(" and ")} were deleted by the owner; their SHA-256 and Keccak-256 remain.${before === undefined ? "" : ` Before that it was ${before}.`}`;
}

/** A claim's purpose and outcome. Quoted, because tools and models wrote the words. */
const inOneLine = ({ at, purpose, state, arguments: args, outcome }: Claim): string =>
  `Used ${at} for ${JSON.stringify(purpose)}: ${state}${args === null ? "" : `, with ${args.json} (sha256 ${args.sha256})`}${outcome === null ? "" : `, outcome ${JSON.stringify(outcome)}`}`;

/** `proof402 receipts import FILE`: keeps a receipt made elsewhere, judged under this policy. */
export async function importReceipt(file: string, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const receipt = await readReceiptFile(file);
  const { assets } = (await configOf(rest)).payment;
  const stored = await withBuyer(rest, (buyer) => buyer.importReceipt(receipt));
  const summary = summarize(stored, newestAppraisal(stored), assets);
  const next = inCommands(stepAfter(summary));
  if (json) printResult({ receipt: summary }, next);
  else {
    const why = aboutRival(newestAppraisal(stored));
    print(`${summary.id}: ${summary.verdict}${why === null ? "" : `. ${why}`}`);
    note(next);
  }
  return EXIT.ok;
}
