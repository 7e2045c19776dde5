import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt, appendAppraisal, appendLater, importReceipt } from "../../src/receipts/store.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore, settlement } from "../support/receipt-core.ts";

/** A path in a folder that is gone after the test. */
export function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "proof402-receipts-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "proof402.db");
}

/** An open database file, closed after the test. */
export async function database(path = temporaryFile()): Promise<Db> {
  const db = await openDatabase(path);
  onTestFinished(() => db.destroy());
  return db;
}

/** Noon, and so many seconds. */
export const time = (seconds: number): Date => new Date(Date.UTC(2026, 10, 1, 12, 0, seconds));

/** Three receipts with all that can happen to one: nine log entries. */
export async function fill(db: Db): Promise<{ bought: Receipt; imported: Receipt; plain: Receipt }> {
  const [one, two, three] = ["one", "two", "three"].map((seed) => createReceipt(receiptCore(seed)));
  if (one === undefined || two === undefined || three === undefined) throw new Error("three receipts");
  return immediate(db, async (tx) => {
    await addReceipt(tx, one, appraisal({ verdict: "pending" }), time(1));
    const later = [{ at: time(0).toISOString(), evidence: settlement("came along") }];
    await importReceipt(tx, { ...two, later }, time(2));
    await appendLater(tx, one.id, settlement("first"), time(3));
    await appendLater(tx, one.id, settlement("second"), time(4));
    const bought = await appendAppraisal(tx, one.id, appraisal({ verdict: "verified", at: time(5).toISOString() }));
    const imported = await appendAppraisal(tx, two.id, appraisal({ at: time(6).toISOString() }));
    return { bought, imported, plain: await addReceipt(tx, three, appraisal(), time(7)) };
  });
}
