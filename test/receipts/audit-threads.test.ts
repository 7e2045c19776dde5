import { cpus } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { auditLog } from "../../src/receipts/log.ts";
import { builtFile } from "../../src/subprocess/run.ts";
import { openThreads } from "../../src/subprocess/threads.ts";
import type { Db } from "../../src/storage/database.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { fillDatabase } from "../bench/big-database.ts";
import { database, temporaryFile } from "./stores.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

it("an audit on threads says the same as without them, of a database that is whole and of ones that are not", async () => {
  const path = temporaryFile();
  await fillDatabase(path, 240);
  const db = await openDatabase(path);
  closing.push(() => db.destroy());
  const both = async (): Promise<unknown> => {
    const [threaded, alone] = [await auditLog(db, { threadedFrom: 0 }), await auditLog(db)];
    expect(threaded).toEqual(alone);
    return threaded;
  };
  expect(await both()).toMatchObject({ ok: true, receipts: 240, entries: 720 });
  const ids = (await db.selectFrom("receipts").select("id").orderBy("id").execute()).map(({ id }) => id);
  // Two faults on two pages: the first in the order of ids is told, whichever thread is quicker.
  const spoil = (id: string | undefined): Promise<unknown> =>
    db
      .updateTable("receipts")
      .set({ model: "another" })
      .where("id", "=", id ?? "")
      .execute();
  await spoil(ids[230]);
  await spoil(ids[60]);
  expect(await both()).toMatchObject({ ok: false, code: "receipt_altered", receiptId: ids[60] });
  await db
    .deleteFrom("receipts")
    .where("id", "in", [ids[60] ?? "", ids[230] ?? ""])
    .execute();
  expect(await both()).toMatchObject({ ok: false, code: "receipt_missing" });
});

it("finds a purchase's last trace gone, and a second entry of one that is there", async () => {
  const db: Db = await database();
  expect(await auditLog(db)).toMatchObject({ ok: true });
  const path = temporaryFile();
  await fillDatabase(path, 3);
  const filled = await openDatabase(path);
  closing.push(() => filled.destroy());
  expect(await auditLog(filled)).toMatchObject({ ok: true, receipts: 3 });
  const gone = await filled.selectFrom("purchases").selectAll().orderBy("id").executeTakeFirstOrThrow();
  await filled.deleteFrom("purchases").where("id", "=", gone.id).execute();
  expect(await auditLog(filled)).toMatchObject({ ok: false, code: "purchase_altered", receiptId: null });
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
  const threads = openThreads<unknown[], unknown[]>(file, (order) => {
    here.push(order);
    return order;
  });
  expect(threads.width).toBe(Math.min(16, cpus().length) * 2);
  expect(await Promise.all([threads.run([]), threads.run([]), threads.run([])])).toEqual([[], [], []]);
  expect(here).toEqual([]);
  await threads.close();
  expect(await threads.run(["late"])).toEqual(["late"]);
});
