// A process of its own for processes.test.ts: appends to the log of a file, together with others.
import { once } from "node:events";
import { addDecision } from "../../src/receipts/decisions.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt, appendLater, importReceipt } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, decisionContent, receiptCore, settlement } from "../support/receipt-core.ts";

/** What it prints, a line each: when the file is open, and when all is written. */
export type Said = "ready" | "done";

const [path = "", name = "", count = "0"] = process.argv.slice(2);
const say = (word: Said): void => void process.stdout.write(`${word}\n`);

const db = await openDatabase(path);
say("ready");
await once(process.stdin, "data");
const shared = createReceipt(receiptCore("shared"));
for (let i = 0; i < Number(count); i += 1) {
  const at = new Date(Date.UTC(2026, 10, 1, 12, 1, i));
  const receipt = createReceipt(receiptCore(`${name} ${i}`));
  await immediate(db, async (tx) => {
    await addReceipt(tx, receipt, appraisal(), at);
  });
  await immediate(db, async (tx) => {
    await importReceipt(tx, shared, at);
    // Everybody tells the shared receipt the same.
    await appendLater(tx, shared.id, settlement(String(i)), at);
    await appendLater(tx, receipt.id, settlement(name), at);
    await addDecision(tx, decisionContent(receipt.id, at));
  });
}
await db.destroy();
say("done");
process.exit();
