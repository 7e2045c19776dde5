import type { Command } from "commander";
import { readClaims } from "../buyer/claims.ts";
import type { Claim } from "../buyer/types.ts";
import { writeNew } from "../files/write-new.ts";
import { aboutRival, newestAppraisal } from "../receipts/newest.ts";
import { redactReceipt, serializeReceipt } from "../receipts/receipt.ts";
import { listReceipts as newestReceipts, requireReceipt } from "../receipts/store.ts";
import { summarize } from "../tools/summary.ts";
import { layerTable } from "./layer-table.ts";
import { EXIT, globals, note, print, printJson } from "./globals.ts";
import { wholeNumber } from "./numbers.ts";
import { busy } from "./progress.ts";
import { readReceiptFile } from "./receipt-file.ts";
import { receiptRow } from "./purchase-text.ts";
import { storyOf, storyText } from "./receipt-story.ts";
import { configOf, withBuyer, withStore } from "./session.ts";

/** `proof402 receipts list`: the newest first. */
export async function listReceipts(options: { limit: string }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const limit = wholeNumber(options.limit, "--limit", { from: 1, to: 1000 });
  const receipts = await withStore(rest, (db) => newestReceipts(db, { limit }));
  const summaries = receipts.map((receipt) => summarize(receipt, newestAppraisal(receipt)));
  if (json) printJson({ receipts: summaries });
  else {
    const { assets } = (await configOf(rest)).payment;
    for (const summary of summaries) print(receiptRow(summary, assets));
  }
  if (!json && summaries.length === 0) note("No receipts are stored.");
  return EXIT.ok;
}

/** `proof402 receipts show ID`: the newest appraisal, and what the receipt's purchase has justified. */
export async function showReceipt(id: string, options: { wait?: string }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const waitSeconds = wholeNumber(options.wait ?? "0", "--wait", { from: 0, to: 600 });
  if (waitSeconds > 0)
    await busy("Waiting for the receipt's verdict", () =>
      withBuyer(rest, (buyer) => buyer.getReceipt(id, { waitSeconds })),
    );
  const [receipt, claims] = await withStore(rest, async (db) => {
    const stored = await requireReceipt(db, id);
    return [stored, await readClaims(db, stored)] as const;
  });
  if (json) printJson(receipt);
  else {
    const appraisal = newestAppraisal(receipt);
    const story = storyOf(receipt, summarize(receipt, appraisal));
    const { assets } = (await configOf(rest)).payment;
    print(
      [`Receipt ${receipt.id}`, storyText(story, assets), layerTable(appraisal), ...claims.map(inOneLine)].join("\n"),
    );
  }
  return EXIT.ok;
}

/** A claim's purpose and outcome. Quoted, because tools and models wrote the words. */
const inOneLine = ({ at, purpose, state, arguments: args, outcome }: Claim): string =>
  `Used ${at} for ${JSON.stringify(purpose)}: ${state}${args === null ? "" : `, with ${args.json} (sha256 ${args.sha256})`}${outcome === null ? "" : `, outcome ${JSON.stringify(outcome)}`}`;

/** `proof402 receipts export ID FILE`: one self-contained file, or standard output for `-`; bodies can be left out. */
export async function exportReceipt(
  id: string,
  file: string,
  options: { redactRequest?: boolean; redactResponse?: boolean },
  command: Command,
): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const receipt = await withStore(rest, (db) => requireReceipt(db, id));
  const shared = redactReceipt(receipt, {
    request: options.redactRequest === true,
    response: options.redactResponse === true,
  });
  const bytes = serializeReceipt(shared);
  if (file === "-") {
    process.stdout.write(bytes);
    return EXIT.ok;
  }
  await writeNew(file, bytes);
  if (json) printJson({ id, file });
  else note(`Wrote ${file}`);
  return EXIT.ok;
}

/** `proof402 receipts import FILE`: keeps a receipt made elsewhere, judged under this policy. */
export async function importReceipt(file: string, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const receipt = await readReceiptFile(file);
  const stored = await withBuyer(rest, (buyer) => buyer.importReceipt(receipt));
  const summary = summarize(stored, newestAppraisal(stored));
  if (json) printJson({ receipt: summary });
  else {
    const why = aboutRival(newestAppraisal(stored));
    print(`${summary.id}: ${summary.verdict}${why === null ? "" : `. ${why}`}`);
  }
  return EXIT.ok;
}
