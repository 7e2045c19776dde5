import { availableParallelism } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { auditLog } from "../../src/receipts/log.ts";
import { builtFile } from "../../src/subprocess/run.ts";
import { openThreads } from "../../src/subprocess/threads.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { database, time } from "./stores.ts";

/** Of three pages. */
const RECEIPTS = 120;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

it("an audit on threads says the same as without them, of a database that is whole and of ones that are not", async () => {
  const db = await database();
  await immediate(db, async (tx) => {
    for (let index = 0; index < RECEIPTS; index += 1)
      await addReceipt(tx, createReceipt(receiptCore(`number ${index}`)), appraisal(), time(index));
  });
  const both = async (): Promise<unknown> => {
    const [threaded, alone] = [await auditLog(db, { threadedFrom: 0 }), await auditLog(db)];
    expect(threaded).toEqual(alone);
    return threaded;
  };
  expect(await both()).toMatchObject({ ok: true, receipts: RECEIPTS, entries: 2 * RECEIPTS });
  const ids = (await db.selectFrom("receipts").select("id").orderBy("id").execute()).map(({ id }) => id);
  // Two faults on two pages: the first in the order of ids is told, whichever thread is quicker.
  const spoil = (id: string | undefined): Promise<unknown> =>
    db
      .updateTable("receipts")
      .set({ model: "another" })
      .where("id", "=", id ?? "")
      .execute();
  await spoil(ids[110]);
  await spoil(ids[60]);
  expect(await both()).toMatchObject({ ok: false, code: "receipt_altered", receiptId: ids[60] });
  await db
    .deleteFrom("receipts")
    .where("id", "in", [ids[60] ?? "", ids[110] ?? ""])
    .execute();
  expect(await both()).toMatchObject({ ok: false, code: "receipt_missing" });
});

it("orders of threads that cannot start run here", async () => {
  const threads = openThreads<number, number>(join(import.meta.dirname, "no-such-file.js"), (order) => order + 1);
  closing.push(() => threads.close());
  expect(await Promise.all([threads.run(1), threads.run(2), threads.run(3)])).toEqual([2, 3, 4]);
  expect(await threads.run(4)).toBe(5);
});

it("orders run on threads, each answered with its own answer, and those of a thread that is gone run here", async () => {
  const here: unknown[] = [];
  const file = builtFile(new URL("../../src/receipts/x.ts", import.meta.url).href, "audit-thread");
  const order = { pairs: [], contents: new Map<string, string>() };
  const threads = openThreads<typeof order | string, unknown>(file, (late) => {
    here.push(late);
    return late;
  });
  expect(threads.width).toBe(Math.min(16, availableParallelism()) * 2);
  expect(await Promise.all([threads.run(order), threads.run(order), threads.run(order)])).toEqual([[], [], []]);
  expect(here).toEqual([]);
  await threads.close();
  expect(await threads.run("late")).toBe("late");
});
