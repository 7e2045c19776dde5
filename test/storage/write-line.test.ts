import { join } from "node:path";
import { sql } from "kysely";
import { expect, it, onTestFinished } from "vitest";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { temporaryDirectory } from "../payment/fixtures.ts";

// Works that wait for the write lock together share one transaction, and each is told what became of its own writes.

async function open(path = join(temporaryDirectory(), "line.db")): Promise<Db> {
  const db = await openDatabase(path);
  onTestFinished(() => db.destroy());
  return db;
}
const put = (tx: Db, key: string, value = "x") => tx.insertInto("meta").values({ key, value }).execute();
const keys = async (db: Db) =>
  (await db.selectFrom("meta").select("key").orderBy("key").execute()).map(({ key }) => key);

it("shares a transaction between those that wait, in their order, and undoes the writes of each that throws alone", async () => {
  const db = await open();
  const handles: Db[] = [];
  const order: number[] = [];
  const work = (at: number) =>
    immediate(db, async (tx) => {
      handles.push(tx);
      order.push(at);
      await put(tx, `key-${at}`);
      // A work within joins its caller's, and goes with it.
      await immediate(tx, (own) => put(own, `key-${at}-within`));
      if (at % 3 === 1) throw new Error(`work ${at}`);
      if (at % 3 === 2) await put(tx, `key-${at}`);
      return at;
    });
  const ends = await Promise.allSettled(Array.from({ length: 12 }, (_, at) => work(at)));
  expect(order).toEqual(Array.from({ length: 12 }, (_, at) => at));
  expect(new Set(handles).size).toBeLessThan(4);
  const word = (end: PromiseSettledResult<number>): string =>
    end.status === "fulfilled" ? `done ${end.value}` : (/work \d+|UNIQUE/.exec(String(end.reason))?.[0] ?? "another");
  expect(ends.map(word)).toEqual(order.map((at) => [`done ${at}`, `work ${at}`, "UNIQUE"][at % 3]));
  expect(await keys(db)).toEqual(
    order
      .filter((at) => at % 3 === 0)
      .flatMap((at) => [`key-${at}`, `key-${at}-within`])
      .sort(),
  );
});

it("tells each work the truth, also where the disk is full in the middle", async () => {
  for (let round = 0; round < 12; round += 1) {
    const path = join(temporaryDirectory(), "full.db");
    const db = await open(path);
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
    await sql.raw(`pragma max_page_count = ${(rows[0]?.page_count ?? 0) + 2 + (round % 8)}`).execute(db);
    const ends = await Promise.allSettled(
      Array.from({ length: 10 }, (_, at) =>
        immediate(db, async (tx) => {
          await put(tx, `key-${at}`, "x".repeat(((round * 37 + at * 53) % 13) * 1000));
          return `key-${at}`;
        }),
      ),
    );
    const told = ends.flatMap((end) => (end.status === "fulfilled" ? [end.value] : []));
    expect(told.length).toBeLessThan(10);
    const after = await open(path);
    expect(await keys(after)).toEqual(told.sort());
  }
});

it("costs no other work its writes where one of them fills the disk", async () => {
  const path = join(temporaryDirectory(), "one.db");
  const db = await open(path);
  const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
  await sql.raw(`pragma max_page_count = ${(rows[0]?.page_count ?? 0) + 4}`).execute(db);
  const sizes = [10, 10, 10, 100_000, 10, 10];
  const ends = await Promise.allSettled(
    sizes.map((size, at) => immediate(db, (tx) => put(tx, `key-${at}`, "x".repeat(size)))),
  );
  expect(ends.map(({ status }) => status === "fulfilled")).toEqual([true, true, true, false, true, true]);
  expect(ends.map((end) => (end.status === "rejected" ? String(end.reason) : "")).join("")).toMatch(/full/);
  expect(await keys(await open(path))).toEqual(["key-0", "key-1", "key-2", "key-4", "key-5"]);
});

it("waits for the disk where one of them has to", async () => {
  const db = await open();
  const modes: unknown[] = [];
  const look = async (tx: Db) => {
    const { rows } = await sql.raw<Record<string, unknown>>("pragma synchronous").execute(tx);
    modes.push(...Object.values(rows[0] ?? {}));
  };
  await Promise.all((["process", "process", "power loss"] as const).map((survives) => immediate(db, look, survives)));
  // The first one had the lock before the others came.
  expect(modes.slice(1)).toEqual([2, 2]);
});
