import { once } from "node:events";
import type { Command } from "commander";
import { Proof402Error } from "../errors.ts";
import { writeNew } from "../files/write-new.ts";
import { utf8 } from "../evidence/bytes.ts";
import { receiptPage } from "../pages/receipt-page.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import type { Receipt } from "../receipts/schema.ts";
import { csvOf } from "../tables/csv.ts";
import { COLUMNS, receiptLines, type ReceiptLine } from "../tables/receipts.ts";
import { readFacts } from "../verify/facts.ts";
import { redactReceipt, serializeReceipt } from "../receipts/receipt.ts";
import { fullId } from "../receipts/search.ts";
import { requireReceipt } from "../receipts/store.ts";
import { quoted } from "./quoted.ts";
import { EXIT, globals, note, printResult, type GlobalOptions } from "./globals.ts";
import { busy, makeRoom } from "./progress.ts";
import { filterOf, type FilterOptions } from "./receipt-filter.ts";
import { configOf, withStore } from "./session.ts";

type Options = FilterOptions & { csv?: boolean; html?: boolean; redactRequest?: boolean; redactResponse?: boolean };

/** `proof402 receipts export`: one receipt as a file, or all of them as a table. `-` is standard output. */
export async function exportReceipts(
  given: string,
  file: string | undefined,
  options: Options,
  command: Command,
): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const csv = options.csv === true;
  if (file === undefined) {
    if (isNamedLikeReceipt(given))
      throw usage(`No file was named for the receipt ${given}. Nothing was written.`, {
        next: `Name one: proof402 receipts export ${quoted(given)} receipt.json. For a table of all receipts name a file for it, such as ./${given}.`,
      });
    if (options.html === true || (!csv && !json)) throw usage("Which receipt is to be written, or which table of all?");
    return exportTable(given, { ...options, json }, rest);
  }
  if (csv || Object.keys(filterOf(options)).some((name) => options[name as keyof FilterOptions] !== undefined))
    throw usage("--csv and the filters choose of all receipts, and an id names one.");
  return exportOne(given, file, { ...options, json }, rest);
}

async function exportOne(
  given: string,
  file: string,
  { json, html = false, redactRequest = false, redactResponse = false }: Options & { json: boolean },
  rest: GlobalOptions,
): Promise<number> {
  const receipt = await busy("Reading the receipt", () =>
    withStore(rest, async (db) => requireReceipt(db, await fullId(db, given))),
  );
  const shared = redactReceipt(receipt, { request: redactRequest, response: redactResponse });
  const bytes = html ? utf8(await pageFor(shared, rest)) : serializeReceipt(shared);
  if (file === "-") {
    await toStdout([bytes]);
    return EXIT.ok;
  }
  await writeNew(file, bytes);
  const next = html
    ? "Open it in a browser. The page proves nothing: the evidence is the file without --html."
    : `Others check it with: proof402 verify ${quoted(file)} --trust trust.json (made with: proof402 trust export trust.json)`;
  if (json) printResult({ id: receipt.id, file }, next);
  else note(`Wrote ${file}\n${next}`);
  return EXIT.ok;
}

/** The receipt as a page, under the verdict that its buyer stored last. */
async function pageFor(receipt: Receipt, rest: GlobalOptions): Promise<string> {
  const { payment, sellers } = await configOf(rest);
  const appraisal = newestAppraisal(receipt);
  return receiptPage({
    receipt,
    appraisal,
    facts: await readFacts(receipt),
    // A seller that the configuration names no more was known to the stored verdict, unless that is `unverified`.
    known: appraisal.verdict !== "unverified" || sellers.some(({ id }) => id === receipt.core.seller.id),
    judgedBy: "its holder's configuration",
    tokens: payment.assets,
  });
}

/** The table of an accountant: CSV with `--csv`, else a JSON list. Written as it is read, so its length has no bound. */
async function exportTable(file: string, options: Options & { json: boolean }, rest: GlobalOptions): Promise<number> {
  const { assets } = (await configOf(rest)).payment;
  const filter = filterOf(options);
  let receipts = 0;
  await busy("Writing the receipts", () =>
    withStore(rest, async (db) => {
      async function* counted(): AsyncGenerator<ReceiptLine> {
        for await (const line of receiptLines(db, filter, assets)) {
          receipts += 1;
          yield line;
        }
      }
      const text = options.csv === true ? csvOf(counted(), COLUMNS) : jsonOf(counted());
      await (file === "-" ? toStdout(text) : writeNew(file, text));
    }),
  );
  if (file === "-") return EXIT.ok;
  const next = "Purchases without an answer have no receipt: see proof402 spending.";
  if (options.json) printResult({ file, receipts }, next);
  else note(`Wrote ${file}: ${receipts} receipts. ${next}`);
  return EXIT.ok;
}

async function* jsonOf(lines: AsyncIterable<ReceiptLine>): AsyncGenerator<string> {
  let before = "[\n";
  for await (const line of lines) {
    yield `${before}${JSON.stringify(line)}`;
    before = ",\n";
  }
  yield before === "[\n" ? "[]\n" : "\n]\n";
}

/** Writes pieces as fast as their reader takes them, until it is gone. */
export async function toStdout(pieces: Iterable<Uint8Array> | AsyncIterable<string>): Promise<void> {
  const { stdout } = process;
  for await (const piece of pieces) {
    makeRoom();
    if (stdout.write(piece)) continue;
    if (!stdout.writable) return;
    // `once` throws where the reader is gone, which is no error of this command.
    const drained = await Promise.race([once(stdout, "drain"), once(stdout, "close")]).catch(() => null);
    if (drained === null || !stdout.writable) return;
  }
}

/** Tells a receipt's id from a table's file name. */
const isNamedLikeReceipt = (given: string): boolean => /^p402_\w*$/i.test(given);

const usage = (message: string, { next } = { next: "See proof402 receipts export --help." }): Proof402Error =>
  new Proof402Error("usage", message, { next });
