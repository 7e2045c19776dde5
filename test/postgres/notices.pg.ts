import { CompiledQuery, sql } from "kysely";
import { afterEach, expect, it } from "vitest";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { createNotices, noticesOf, openBell, type Bell, type Notices } from "../../src/storage/notices.ts";
import { FULL_QUEUE } from "../../src/storage/postgres-schema.ts";
import { databasePlace } from "../support/database-place.ts";
import { eventually } from "../support/eventually.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { openLine } from "../support/tcp-line.ts";
import { time } from "../receipts/stores.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Longer than the test: what ends a wait is a notice. */
const NEVER = { ms: 2 ** 30, rareMs: 2 ** 30 };

async function open(place: string): Promise<Db> {
  const db = await openDatabase(place);
  closing.push(() => db.destroy());
  return db;
}

/** A bell that hears the server, and has nothing to tell from before. */
async function listening(db: Db, isAbout: (notice: string) => boolean): Promise<Bell> {
  const bell = openBell(db, isAbout);
  closing.push(() => bell.close());
  await eventually(() => expect(noticesOf(db)?.isOn()).toBe(true));
  await bell.wait({ ms: 0, rareMs: 0 });
  return bell;
}

/** Whether a wait has ended. */
function waiting(bell: Bell): { ended: boolean } {
  const seen = { ended: false };
  void bell.wait(NEVER).then(() => (seen.ended = true));
  closing.push(() => bell.ring());
  return seen;
}

it("a process hears of a receipt that another commits, of none before, and of no other", async () => {
  const place = await databasePlace(":memory:");
  const [reader, writer] = [await open(place), await open(place)];
  const [first, second] = ["first", "second"].map((name) => createReceipt(receiptCore(name)));
  const seen = waiting(await listening(reader, (notice) => notice === `receipts ${second?.id}`));
  const any = waiting(await listening(reader, () => true));
  await immediate(writer, async (tx) => {
    await addReceipt(tx, first!, appraisal(), time(0));
    await reader.selectFrom("log").select("seq").execute();
    expect(any.ended).toBe(false);
  });
  await eventually(() => expect(any.ended).toBe(true));
  expect(seen.ended).toBe(false);
  await immediate(writer, (tx) => addReceipt(tx, second!, appraisal(), time(1)));
  await eventually(() => expect(seen.ended).toBe(true));
});

it("a lease that ends and an answered question are heard of by those who wait for them", async () => {
  const place = await databasePlace(":memory:");
  const [reader, writer] = [await open(place), await open(place)];
  // The hash is of the key `a-call-of-two` (FIPS 180-4).
  const heard: string[] = [];
  await listening(reader, (notice) => heard.push(notice) > 0);
  await writer.insertInto("call_leases").values({ idempotency_key: "a-call-of-two", owner: "", until: 0 }).execute();
  await writer.deleteFrom("call_leases").execute();
  const digest = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from("a-call-of-two"))).toString("hex");
  await eventually(() => expect(heard).toEqual([`call_leases ${digest}`]));
});

it("a broken connection wakes whoever waits, and is made again", async () => {
  const place = await databasePlace(":memory:");
  const [reader, writer] = [await open(place), await open(place)];
  const bell = await listening(reader, (notice) => notice === "log");
  const seen = waiting(bell);
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'`.execute(writer);
  // Something may have been missed meanwhile, so it looks.
  await eventually(() => expect(seen.ended).toBe(true));
  await eventually(() => expect(noticesOf(reader)?.isOn()).toBe(true));
  await bell.wait({ ms: 0, rareMs: 0 });
  const again = waiting(bell);
  await immediate(writer, (tx) => addReceipt(tx, createReceipt(receiptCore("later")), appraisal(), time(0)));
  await eventually(() => expect(again.ended).toBe(true));
});

/** A pooler by transaction: what the server says between two questions of a client reaches nobody (PostgreSQL 55.7: ReadyForQuery). */
async function openPooler(address: string): Promise<string> {
  const url = new URL(address);
  const line = await openLine(Number(url.port), (near, far) => {
    let asked = true;
    let rest = Buffer.alloc(0);
    near.on("data", (bytes) => {
      asked = true;
      far.write(bytes);
    });
    far.on("data", (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
        const message = rest.subarray(0, rest.readUInt32BE(1) + 1);
        rest = rest.subarray(message.length);
        const type = String.fromCharCode(message[0] ?? 0);
        if (type !== "A" || asked) near.write(message);
        if (type === "Z") asked = false;
      }
    });
  });
  closing.push(() => line.stop());
  url.port = String(line.port);
  return url.href;
}

/** Notices by a handle's own questions that are tried over and over, and how often they were. */
function listenTo(address: string, db: Db): { notices: Notices; tries: () => number } {
  let tries = 0;
  const send = (text: string, values: string[]): Promise<unknown> => {
    tries += 1;
    return db.executeQuery(CompiledQuery.raw(text, values));
  };
  const notices = createNotices(address, send, { tryMs: 20, heardMs: 500 });
  closing.push(() => notices.close());
  notices.on(() => undefined);
  return { notices, tries: () => tries };
}

it("behind a pooler by transaction no notice is relied on", async () => {
  const place = await databasePlace(":memory:");
  const db = await open(place);
  const direct = listenTo(place, db);
  await eventually(() => expect(direct.notices.isOn()).toBe(true));
  const pooled = listenTo(await openPooler(place), db);
  // A third try says that the first two were not heard.
  await eventually(() => expect(pooled.tries()).toBeGreaterThan(2));
  expect(pooled.notices.isOn()).toBe(false);
});

it("while a listener in a long transaction fills the server's queue, commits go on without notices, and with them after it", async () => {
  const place = await databasePlace(":memory:");
  const db = await open(place);
  const { notices } = listenTo(place, db);
  await eventually(() => expect(notices.isOn()).toBe(true));
  const { default: pg } = await import("pg");
  const other = new pg.Client({ connectionString: place });
  await other.connect();
  closing.push(() => other.end());
  await other.query("listen elsewhere");
  await other.query("begin");
  await other.query("select 1");
  const usage = async (): Promise<number> => {
    const { rows } = await sql<{ usage: number }>`select pg_notification_queue_usage() as usage`.execute(db);
    return rows[0]?.usage ?? Number.NaN;
  };
  // A page of the queue each, of a million.
  await sql`select count(pg_notify('elsewhere', repeat('x', 7900) || n)) from generate_series(1, 11000) as n`.execute(
    db,
  );
  const full = await usage();
  expect(full).toBeGreaterThan(FULL_QUEUE);
  await eventually(() => expect(notices.isOn()).toBe(false));
  for (const [at, name] of ["first", "second"].entries())
    await immediate(db, (tx) => addReceipt(tx, createReceipt(receiptCore(name)), appraisal(), time(at)));
  expect(await usage()).toBe(full);
  await other.query("commit");
  await eventually(() => expect(notices.isOn()).toBe(true));
});

it("a database of an earlier program gets the triggers and the table of marks", async () => {
  const place = await databasePlace(":memory:");
  const early = await open(place);
  await sql`drop function tell_lease() cascade`.execute(early);
  await immediate(early, (tx) => sql`drop function tell_table() cascade`.execute(tx));
  const now = await open(place);
  const heard = waiting(await listening(now, (notice) => notice === "log"));
  await immediate(early, (tx) => addReceipt(tx, createReceipt(receiptCore("early")), appraisal(), time(0)));
  await eventually(() => expect(heard.ended).toBe(true));
});
