import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newOwner } from "../../src/buyer/lease-owner.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { noteDatabase } from "../../src/storage/known-databases.ts";
import { countRows, tableNames } from "../../src/storage/copy-rows.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { runCli } from "../support/cli.ts";
import { databasePlace } from "../support/database-place.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { time } from "../receipts/stores.ts";

const COUNT = 120;

let folder: string;
let original: string;
let db: Db;
const opened: Db[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-copy-"));
  original = await databasePlace(":memory:");
  db = await open(original);
  await immediate(db, async (tx) => {
    for (let at = 0; at < COUNT; at += 1) {
      const receipt = createReceipt(receiptCore(`copied ${at}`));
      await addReceipt(tx, receipt, appraisal(), time(at));
    }
  });
  const job = {
    kind: "settlement",
    state: "waiting",
    run_at: 1,
    leased_until: 0,
    owner: "",
    attempts: 0,
    deadline: 2,
  } as const;
  for (const subject of ["one", "two"])
    await db
      .insertInto("jobs")
      .values({ ...job, subject, payload: "{}", last_error: null })
      .execute();
  await db.insertInto("spend").values({ network: "n", asset: "a", span: 0, start: 0, used: "12" }).execute();
  await db.insertInto("meta").values({ key: "text", value: "é \u{1f600} ' \\ \n" }).execute();
});
afterAll(async () => {
  await Promise.all(opened.map((one) => one.destroy()));
  await rm(folder, { recursive: true, force: true });
});

async function open(place: string): Promise<Db> {
  const one = await openDatabase(place);
  opened.push(one);
  return one;
}

const schemaOf = (place: string): string => /search_path=(\w+)/.exec(decodeURIComponent(place))?.[1] ?? "";
const copy = (from: string, to: string) => runCli(["--json", "db", "copy", "--from", from, "--to", to]);
const codeOf = ({ stdout, stderr }: { stdout: string; stderr: string }): unknown =>
  /"code": "(\w+)"/.exec(stdout + stderr)?.[1];

/** All that a database holds, by table. */
async function contents(of: Db): Promise<Record<string, unknown[]>> {
  const all: Record<string, unknown[]> = {};
  for (const table of await tableNames(of)) {
    const { rows } = await sql<Record<string, unknown>>`select * from ${sql.table(table)}`.execute(of);
    all[table] = rows.map((row) => JSON.stringify(row, Object.keys(row).toSorted())).toSorted();
  }
  return all;
}

it("goes from a server to a file and back with every row, and both copies audit as the original does", async () => {
  const file = join(folder, "copy.db");
  const out = await copy(original, file);
  expect(out).toMatchObject({ code: 0 });
  const audit = await auditLog(db);
  expect(audit).toMatchObject({ ok: true, receipts: COUNT });
  expect(JSON.parse(out.stdout)).toMatchObject({
    rows: await countRows(db),
    receipts: COUNT,
    head: audit.ok && audit.head,
  });
  const back = await databasePlace(":memory:");
  expect(await copy(file, back)).toMatchObject({ code: 0 });
  const again = await open(back);
  expect(await contents(again)).toEqual(await contents(db));
  // A copy in another schema of the same server is a second database.
  const known = { folder: join(folder, "notes"), address: "wallet" };
  for (let times = 0; times < 2; times += 1) expect(await noteDatabase(db, { ...known, path: original })).toEqual([]);
  const others = await noteDatabase(again, { ...known, path: back });
  expect(others.map(({ path }) => path)).toEqual([expect.stringContaining(`schema ${schemaOf(original)}`)]);
  // The next number is a new one.
  const [job] = await again.selectFrom("jobs").selectAll().limit(1).execute();
  const { id: _id, ...rest } = job!;
  await again
    .insertInto("jobs")
    .values({ ...rest, subject: "three" })
    .execute();
  expect(await auditLog(again)).toEqual(audit);
  // A cut-off end is missed in a copy, too.
  await sql`delete from log where seq = (select max(seq) from log)`.execute(again);
  const cut = await copy(back, join(folder, "cut.db"));
  expect([cut.code, codeOf(cut)]).toEqual([1, "database_not_copied"]);
  const names = await readdir(folder);
  expect(names.filter((name) => name.startsWith("cut.db") || name.includes(".part"))).toEqual([]);
});

it("takes no place that holds something, none of it while a call is under way, and leaves nothing half there", async () => {
  await writeFile(join(folder, "taken.db"), "something");
  expect(codeOf(await copy(original, join(folder, "taken.db")))).toBe("database_not_empty");
  const other = await databasePlace(":memory:");
  await sql.raw(`create table ${schemaOf(other)}.own (id text)`).execute(db);
  expect(codeOf(await copy(original, other))).toBe("database_not_empty");

  const lease = { idempotency_key: "a-call", owner: newOwner(), until: Date.now() + 60_000 };
  await db.insertInto("call_leases").values(lease).execute();
  const empty = await databasePlace(":memory:");
  expect(codeOf(await copy(original, empty))).toBe("database_in_use");
  await db.updateTable("call_leases").set({ until: 0 }).execute();

  // A receipt that is not what the log has of it: the copy would be none.
  await sql`update receipts set verdict = 'verified' where id = (select min(id) from receipts)`.execute(db);
  const failed = await copy(original, empty);
  expect([failed.code, codeOf(failed)]).toEqual([1, "database_not_copied"]);
  const { rows } = await sql`select 1 from information_schema.tables where table_schema = ${schemaOf(empty)}`.execute(
    db,
  );
  expect(rows).toEqual([]);
});

it("names the place that it cannot use, not the original", async () => {
  const file = join(folder, "no-folder", "copy.db");
  await writeFile(join(folder, "no-folder"), "");
  const failed = await copy(original, file);
  expect([codeOf(failed), failed.stdout + failed.stderr]).toEqual([
    "database_unusable",
    expect.stringContaining(`${file} cannot be used`),
  ]);
});

it("says of a file that is not there that it is none", async () => {
  const missing = await copy(join(folder, "missing.db"), join(folder, "new.db"));
  expect(codeOf(missing)).toBe("database_unusable");
  expect(await readdir(folder)).not.toContain("missing.db");
});
