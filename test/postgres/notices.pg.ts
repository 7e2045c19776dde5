import { sql } from "kysely";
import { afterEach, expect, it } from "vitest";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { noticesOf, openBell, type Bell } from "../../src/storage/notices.ts";
import { databasePlace } from "../support/database-place.ts";
import { eventually } from "../support/eventually.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
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
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where query like 'select pg_notify%' and pid <> pg_backend_pid()`.execute(writer);
  // Something may have been missed meanwhile, so it looks.
  await eventually(() => expect(seen.ended).toBe(true));
  await eventually(() => expect(noticesOf(reader)?.isOn()).toBe(true));
  await bell.wait({ ms: 0, rareMs: 0 });
  const again = waiting(bell);
  await immediate(writer, (tx) => addReceipt(tx, createReceipt(receiptCore("later")), appraisal(), time(0)));
  await eventually(() => expect(again.ended).toBe(true));
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
