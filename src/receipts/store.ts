import { canonicalSha256 } from "../evidence/canonical.ts";
import { equalBytes } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { appendEntry, readStored } from "./log.ts";
import type { Appraisal, Evidence, Receipt } from "./schema.ts";

/** The stored receipt, or null. Throws Proof402Error `receipt_store_damaged` where the row is not a receipt. */
export async function readReceipt(db: Db, id: string): Promise<Receipt | null> {
  const row = await db.selectFrom("receipts").select("json").where("id", "=", id).executeTakeFirst();
  return row === undefined ? null : parseRow(row.json, id);
}

/** The newest receipts first. */
export async function listReceipts(db: Db, options: { limit: number }): Promise<Receipt[]> {
  const rows = await db
    .selectFrom("receipts")
    .select(["id", "json"])
    .orderBy("created_at", "desc")
    .orderBy("id")
    .limit(options.limit)
    .execute();
  return rows.map((row) => parseRow(row.json, row.id));
}

function parseRow(json: string, id: string): Receipt {
  const receipt = readStored(json);
  if (receipt !== null) return receipt;
  throw new Proof402Error("receipt_store_damaged", `The stored row of ${id} is not a receipt.`, {
    next: "Run `proof402 audit` and restore the database from a backup.",
    money: "not-moved",
  });
}

/** Stores a receipt made here, in the caller's immediate transaction. Returns it with its place in the log. */
export const addReceipt = (tx: Db, receipt: Receipt, at: Date): Promise<Receipt> => insert(tx, "receipt", receipt, at);

/**
 * Stores a receipt made elsewhere. One that is already here stays as it is and is returned: nothing is merged from a
 * file into what this buyer saw itself. Its maker's appraisals are claims under another policy: left out.
 */
export async function importReceipt(tx: Db, receipt: Receipt, at: Date): Promise<{ receipt: Receipt; added: boolean }> {
  const present = await readReceipt(tx, receipt.id);
  if (present !== null) return { receipt: present, added: false };
  return { receipt: await insert(tx, "import", { ...receipt, appraisals: [] }, at), added: true };
}

async function insert(tx: Db, kind: "receipt" | "import", receipt: Receipt, at: Date): Promise<Receipt> {
  const log = await appendEntry(tx, { kind, receipt, at });
  const stored: Receipt = { ...receipt, log };
  await tx
    .insertInto("receipts")
    .values({
      id: stored.id,
      json: JSON.stringify(stored),
      seller_id: stored.core.seller.id,
      model: stored.core.request.model,
      verdict: stored.appraisals.at(-1)?.verdict ?? "",
      created_at: at.getTime(),
    })
    .execute();
  return stored;
}

/** Appends evidence that arrived after delivery. The same evidence twice is appended once. */
export async function appendLater(tx: Db, id: string, evidence: Evidence, at: Date): Promise<Receipt> {
  const receipt = await require(tx, id);
  const digest = canonicalSha256(evidence);
  if (receipt.later.some((item) => equalBytes(canonicalSha256(item.evidence), digest))) return receipt;
  const item = { at: at.toISOString(), evidence };
  await appendEntry(tx, { kind: "later", receipt, value: item, at });
  return update(tx, { ...receipt, later: [...receipt.later, item] });
}

/** Appends an appraisal; the newest one's verdict is the receipt's. */
export async function appendAppraisal(tx: Db, id: string, appraisal: Appraisal): Promise<Receipt> {
  const receipt = await require(tx, id);
  await appendEntry(tx, { kind: "appraisal", receipt, value: appraisal, at: new Date(appraisal.at) });
  return update(tx, { ...receipt, appraisals: [...receipt.appraisals, appraisal] });
}

async function require(tx: Db, id: string): Promise<Receipt> {
  const receipt = await readReceipt(tx, id);
  if (receipt === null) throw new Error(`receipt ${id} is not stored`);
  return receipt;
}

async function update(tx: Db, receipt: Receipt): Promise<Receipt> {
  await tx
    .updateTable("receipts")
    .set({ json: JSON.stringify(receipt), verdict: receipt.appraisals.at(-1)?.verdict ?? "" })
    .where("id", "=", receipt.id)
    .execute();
  return receipt;
}
