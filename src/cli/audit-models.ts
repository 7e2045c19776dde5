import type { Command } from "commander";
import { writeNew } from "../files/write-new.ts";
import { eachReceipt } from "../receipts/search.ts";
import { csvOf } from "../tables/csv.ts";
import { toStdout } from "./export.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { AUDIT_COLUMNS, auditModels, type AuditRow } from "./model-audit.ts";
import { busy } from "./progress.ts";
import { filterOf, type FilterOptions } from "./receipt-filter.ts";
import { configOf, withStore } from "./session.ts";

type Options = FilterOptions & { csv?: string };

/** `proof402 audit-models`: fails if a seller says that it served another model. */
export async function auditServedModels(options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { assets } = (await configOf(rest)).payment;
  const filter = filterOf(options);
  const rows = await busy("Reading the receipts", () =>
    withStore(rest, (db) => auditModels(eachReceipt(db, filter), assets)),
  );
  const others = rows.filter(({ match }) => match === "other");
  const next =
    others.length === 0
      ? "A seller's word for its model is no evidence: the layer `model` of each receipt says what was shown."
      : `Look at them with: proof402 receipts list --verdict failed --seller ${others[0]?.seller}`;
  if (options.csv !== undefined) {
    const text = csvOf(each(rows), AUDIT_COLUMNS);
    await (options.csv === "-" ? toStdout(text) : writeNew(options.csv, text));
  } else if (!json) for (const row of rows) print(lineOf(row));
  if (json) printResult({ rows, ...(options.csv === undefined ? {} : { file: options.csv }) }, next);
  else note(rows.length === 0 ? "No answer fits." : next);
  return others.length === 0 ? EXIT.ok : EXIT.failed;
}

async function* each(rows: readonly AuditRow[]): AsyncGenerator<AuditRow> {
  await Promise.resolve();
  yield* rows;
}

function lineOf(row: AuditRow): string {
  const { month, seller, asked, served, match, answers, failed, paid, symbol, listed, over_listed: over } = row;
  const said = match === "not said" ? "names no model" : match === "same" ? `served ${served}` : `SERVED ${served}`;
  const used =
    row.answers_with_usage === 0
      ? "no usage told"
      : `${row.prompt_tokens}+${row.completion_tokens} tokens (${row.per_1k_tokens} ${symbol} for 1000)`;
  const listing = `listed ${listed}${over === 0 ? "" : `, ${over} over the list`}`;
  return `${month}  ${seller}  asked ${asked}, ${said}  ${answers} answers, ${failed} failed  ${used}  paid ${paid} ${symbol}, ${listing}`;
}
