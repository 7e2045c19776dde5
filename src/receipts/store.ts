import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { equalBytes } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { forgetContents, keepContents } from "../storage/contents.ts";
import { appendEntry } from "./log-entry.ts";
import { bodyContent, packReceipt } from "./packed.ts";
import { checkReceipt, missingBodies, redactReceipt, withBodies } from "./receipt.ts";
import { hasRoom, hasRoomFor, hasRoomToJudge, isWorse } from "./room.ts";
import { appraisalSchema, laterSchema, type Appraisal, type Evidence, type Receipt } from "./schema.ts";
import { receiptOfRow, receiptsOfRows, STORED } from "./stored-rows.ts";

/** Most receipts listed at once. */
const MAX_LISTED = 1000;

/**
 * The stored receipt, or null. A row is checked as a file is: shape, id, and hashes of the bodies. Throws Proof402Error
 * `receipt_store_damaged` where it is not the receipt that it is named as, and `content_missing` and `content_altered`.
 */
export async function readReceipt(db: Db, id: string): Promise<Receipt | null> {
  const row = await db.selectFrom("receipts").select(STORED).where("id", "=", id).executeTakeFirst();
  // A list of one text names a row to SQLite, and no receipt here.
  return row === undefined || row.id !== id ? null : receiptOfRow(db, row);
}

/** A row that a list named. Throws as {@link readReceipt}. */
export async function readReceiptRow(db: Db, id: string): Promise<Receipt> {
  return receiptOfRow(
    db,
    await db.selectFrom("receipts").select(STORED).where("id", "=", id).executeTakeFirstOrThrow(),
  );
}

/** The newest receipts first, at most `limit` of them and never more than 1,000. Throws as {@link readReceipt}. */
export async function listReceipts(db: Db, options: { limit: number }): Promise<Receipt[]> {
  const rows = await db
    .selectFrom("receipts")
    .select(STORED)
    .orderBy("created_at", "desc")
    .orderBy("id")
    .limit(Math.min(Math.max(0, Math.floor(options.limit)), MAX_LISTED))
    .execute();
  return receiptsOfRows(db, rows);
}

/** The receipts whose payment bears this nonce, of every call on it, oldest first. Throws as {@link readReceipt}. */
export async function receiptsOfNonce(db: Db, nonce: string): Promise<Receipt[]> {
  const rows = await db
    .selectFrom("receipts")
    .select(STORED)
    .where("payment_nonce", ">=", nonce)
    .where("payment_nonce", "<", `${nonce}!`)
    .orderBy("created_at")
    .orderBy("id")
    .limit(MAX_LISTED)
    .execute();
  return receiptsOfRows(db, rows);
}

/**
 * Stores a receipt just made by `createReceipt`, and its first appraisal with it, in the caller's immediate
 * transaction. Returns it as stored. Throws Proof402Error `receipt_exists` where one with this id is stored, and zod's
 * error for a malformed appraisal.
 */
export async function addReceipt(tx: Db, receipt: Receipt, appraisal: Appraisal, at: Date): Promise<Receipt> {
  if (receipt.later.length > 0 || receipt.appraisals.length > 0) {
    throw new TypeError("a new receipt has neither later evidence nor appraisals: append them");
  }
  const present = await tx.selectFrom("receipts").select("id").where("id", "=", receipt.id).executeTakeFirst();
  if (present === undefined) return insert(tx, "receipt", receipt, at, appraisalSchema.parse(appraisal));
  throw new Proof402Error("receipt_exists", `Receipt ${receipt.id} is stored already.`, {
    next: "Read the stored receipt; `spending` shows the purchase.",
  });
}

/**
 * Stores a receipt made elsewhere, in the caller's immediate transaction. If the receipt is here already, takes only
 * its missing bodies, for their hashes are in its id (`completed`). Its maker's appraisals are claims under another
 * policy: left out. Throws Proof402Error with the codes of `parseReceipt`, and `receipt_full` if it has no room.
 *
 * Another receipt of the same purchase does not stand in its way. No store can tell the true one, and junk naming a
 * nonce must not keep the genuine one out.
 */
export async function importReceipt(
  tx: Db,
  receipt: Receipt,
  at: Date,
): Promise<{ receipt: Receipt; added: boolean; completed: boolean }> {
  const checked = checkReceipt(receipt);
  if (!checked.ok) {
    throw new Proof402Error(checked.code, checked.message, {
      next: "Get the receipt file again from where it was made.",
    });
  }
  const present = await readReceipt(tx, checked.receipt.id);
  if (present !== null) return complete(tx, present, checked.receipt, at);
  return { receipt: await insert(tx, "import", checked.receipt, at), added: true, completed: false };
}

/** Gives a stored receipt the bodies that it lacks and another file of it has. */
async function complete(
  tx: Db,
  present: Receipt,
  file: Receipt,
  at: Date,
): Promise<{ receipt: Receipt; added: false; completed: boolean }> {
  const parts = missingBodies(present).filter((part) => file.core[part].body !== undefined);
  const whole = withBodies(present, file);
  if (parts.length === 0 || !hasRoom(whole)) return { receipt: present, added: false, completed: false };
  await appendEntry(tx, { kind: "bodies", subject: present.id, value: parts, at });
  return { receipt: await update(tx, whole), added: false, completed: true };
}

/**
 * Prunes the bodies of a stored receipt, in the caller's immediate transaction: their bytes are deleted, and the log says so. Id,
 * hashes and evidence stay. Throws as {@link requireReceipt}.
 */
export async function pruneBodies(tx: Db, id: string, at: Date): Promise<Receipt> {
  const receipt = await requireReceipt(tx, id);
  const { request, response } = receipt.core;
  const bodies = [request.body, response.body].filter((body) => body !== undefined);
  if (bodies.length === 0) return receipt;
  const lacked = missingBodies(receipt);
  const pruned = redactReceipt(receipt, { request: true, response: true });
  const parts = missingBodies(pruned).filter((part) => !lacked.includes(part));
  await appendEntry(tx, { kind: "prune", subject: id, value: parts, at });
  await update(tx, pruned);
  await forgetContents(
    tx,
    bodies.map((body) => bodyContent(id, body).hash),
  );
  return pruned;
}

async function insert(
  tx: Db,
  kind: "receipt" | "import",
  receipt: Receipt,
  at: Date,
  appraisal?: Appraisal,
): Promise<Receipt> {
  if (!hasRoom(receipt)) throw full(receipt.id);
  const { at: loggedAt, ...log } = await appendEntry(tx, { kind, receipt, at });
  if (appraisal !== undefined) {
    await appendEntry(tx, {
      kind: "appraisal",
      subject: receipt.id,
      value: appraisal,
      at: new Date(appraisal.at),
      after: { ...log, at: loggedAt },
    });
  }
  const stored: Receipt = { ...receipt, appraisals: appraisal === undefined ? [] : [appraisal], log };
  await tx
    .insertInto("receipts")
    .values({
      id: stored.id,
      ...(await packed(tx, stored)),
      seller_id: stored.core.seller.id,
      model: stored.core.request.model,
      verdict: appraisal?.verdict ?? "",
      created_at: loggedAt,
      payment_nonce: purchaseNonceOf(stored.core.payment),
    })
    .execute();
  return stored;
}

/**
 * Appends evidence that arrived after delivery, in the caller's immediate transaction. The same evidence twice is
 * appended once. Throws Proof402Error `receipt_not_found`, `receipt_full`, and zod's error for malformed evidence.
 */
export async function appendLater(tx: Db, id: string, evidence: Evidence, at: Date): Promise<Receipt> {
  const receipt = await requireReceipt(tx, id);
  const digest = canonicalSha256(evidence);
  if (receipt.later.some((item) => equalBytes(canonicalSha256(item.evidence), digest))) return receipt;
  const item = laterSchema.parse({ at: at.toISOString(), evidence });
  if (!hasRoomFor(receipt, item)) throw full(id);
  await appendEntry(tx, { kind: "later", subject: id, value: item, at });
  return update(tx, { ...receipt, later: [...receipt.later, item] });
}

/**
 * Appends an appraisal, in the caller's immediate transaction; the newest one's verdict is the receipt's. A full receipt
 * takes a worse verdict only, and stays as it is for any other: so no junk file of one keeps another from being stored.
 * Throws Proof402Error `receipt_not_found`, `receipt_full`, and zod's error for a malformed appraisal.
 */
export async function appendAppraisal(tx: Db, id: string, appraisal: Appraisal): Promise<Receipt> {
  const receipt = await requireReceipt(tx, id);
  const value = appraisalSchema.parse(appraisal);
  if (!hasRoomToJudge(receipt, value)) {
    if (isWorse(value, receipt)) throw full(id);
    return receipt;
  }
  await appendEntry(tx, { kind: "appraisal", subject: receipt.id, value, at: new Date(value.at) });
  return update(tx, { ...receipt, appraisals: [...receipt.appraisals, value] });
}

/** The stored receipt. Throws Proof402Error `receipt_not_found`. */
export async function requireReceipt(db: Db, id: string): Promise<Receipt> {
  const receipt = await readReceipt(db, id);
  if (receipt !== null) return receipt;
  throw new Proof402Error("receipt_not_found", `No receipt "${id.slice(0, 64)}" is stored here.`, {
    next: "Check the id, or import the receipt file first.",
  });
}

/** Nothing is written that could not be read back. */
const full = (id: string): Proof402Error =>
  new Proof402Error("receipt_full", `Receipt ${id} has no room for what was to be stored in it.`, {
    next: "Use the receipt as it stands; verifying it does not store the outcome.",
  });

async function update(tx: Db, receipt: Receipt): Promise<Receipt> {
  await tx
    .updateTable("receipts")
    .set({ ...(await packed(tx, receipt)), verdict: receipt.appraisals.at(-1)?.verdict ?? "" })
    .where("id", "=", receipt.id)
    .execute();
  return receipt;
}

/** A receipt's columns. Its contents are kept before the row that names them. */
async function packed(tx: Db, receipt: Receipt): Promise<{ json: string; packed: Uint8Array }> {
  const { contents, ...columns } = packReceipt(receipt);
  await keepContents(tx, contents);
  return columns;
}
