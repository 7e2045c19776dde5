import { Proof402Error } from "../errors.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { readContents } from "../storage/contents.ts";
import type { Db } from "../storage/database.ts";
import type { ReceiptsTable } from "../storage/tables.ts";
import { contentsOfPacked, soughtIn, unpackReceipt } from "./packed.ts";
import { checkReceipt, type ParsedReceipt } from "./receipt.ts";
import type { Receipt } from "./schema.ts";

/** The columns that hold a receipt. */
export const STORED = ["id", "json", "packed"] as const satisfies readonly (keyof ReceiptsTable)[];
export type StoredRow = Pick<ReceiptsTable, (typeof STORED)[number]>;

/** The receipts of rows, in their order, each whole again. Throws as `readReceipt`. */
export async function receiptsOfRows(db: Db, rows: readonly StoredRow[]): Promise<Receipt[]> {
  try {
    return checkedReceipts(rows, await readContents(db, rows.flatMap(contentsOfRow)));
  } catch (error) {
    if (!Proof402Error.isInstance(error) || error.code !== "content_missing") throw error;
    // Another process may have pruned a receipt after its row was read.
    const again = await Promise.all(
      rows.map(({ id }) => db.selectFrom("receipts").select(STORED).where("id", "=", id).executeTakeFirstOrThrow()),
    );
    return checkedReceipts(again, await readContents(db, again.flatMap(contentsOfRow)));
  }
}

function checkedReceipts(rows: readonly StoredRow[], contents: ReadonlyMap<string, string>): Receipt[] {
  return rows.map((row) => {
    const checked = checkRow(row, contents);
    if (checked.ok && checked.receipt.id === row.id) return checked.receipt;
    throw new Proof402Error(
      "receipt_store_damaged",
      `The stored row of ${row.id.slice(0, 64)} is not that receipt any more.`,
      {
        next: "The owner should end every process of an earlier version over this database, run `proof402 audit`, and look for a backup if that finds it damaged, too.",
      },
    );
  });
}

/** The receipt of a row. Throws as `readReceipt`. */
export async function receiptOfRow(db: Db, row: StoredRow): Promise<Receipt> {
  const [receipt] = await receiptsOfRows(db, [row]);
  if (receipt === undefined) throw new Error("a row was not read");
  return receipt;
}

/** Reads a row's value without checks; undefined for no JSON. Throws `content_missing` and `content_altered`. */
export async function valueOfRow(db: Db, row: StoredRow): Promise<unknown> {
  const contents = await readContents(db, contentsOfRow(row));
  const read = readRow(row, contents);
  return read.ok ? read.value : undefined;
}

/** The hashes of a row's contents. */
export const contentsOfRow = ({ packed }: Pick<StoredRow, "packed">): string[] =>
  packed === null ? [] : contentsOfPacked(packed);

/** Checks a row's receipt and its columns for queries. The caller compares the ids. */
export function checkRow(row: StoredRow, contents: ReadonlyMap<string, string>): ParsedReceipt {
  const read = readRow(row, contents);
  const checked: ParsedReceipt = read.ok
    ? checkReceipt(read.value)
    : { ok: false, code: "receipt_not_json", message: read.message };
  if (checked.ok && row.packed !== null && row.json !== soughtIn(row.packed, checked.receipt))
    return { ok: false, code: "receipt_malformed", message: "The row's columns are not of its receipt." };
  return checked;
}

function readRow({ json, packed }: StoredRow, contents: ReadonlyMap<string, string>): ReturnType<typeof parseJsonText> {
  if (packed === null) return parseJsonText(json);
  const value = unpackReceipt(packed, contents);
  return value === undefined ? { ok: false, message: "The row cannot be unpacked." } : { ok: true, value };
}
