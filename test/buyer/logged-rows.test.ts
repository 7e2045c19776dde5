import LibsqlDatabase from "libsql";
import { Kysely, sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createQueue } from "../../src/buyer/background/queue.ts";
import { createClaims } from "../../src/buyer/claims.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import type { AuditResult } from "../../src/receipts/audit-codes.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate, migrate } from "../../src/storage/migrations.ts";
import { patientSqlite } from "../../src/storage/sqlite.ts";
import type { Tables } from "../../src/storage/tables.ts";
import { addEarlierReceipts } from "../support/earlier-receipts.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { buyWith } from "../support/buy.ts";
import { rowName } from "../support/both-databases.ts";

let market: Market;
let db: Db;
let ids: { plain: string; acted: string; guarded?: string };

/** A buyer's file with claims, ended and not, holds, put and released, and jobs that brought evidence or none. */
beforeAll(async () => {
  market = await openMarket();
  let database = "";
  const buyer = await market.buyer((config) => {
    database = config.database;
    // Nothing anchors here in time, so that one job ends without evidence.
    config.verification.inclusionSeconds = 1;
  });
  const buy = async (seller: string): Promise<string> => {
    const key = crypto.randomUUID();
    const result = await buyWith(buyer, {
      model: "eth-risk",
      seller,
      input: ETH_FEATURES,
      assurance: "none",
      idempotencyKey: key,
    });
    return result.receipt.id;
  };
  ids = { plain: await buy("honest"), acted: await buy("honest") };
  await buy("tampering");
  await buyer.releaseSeller("tampering");
  await buy("tampering");
  await buyer.claimReceipt(ids.plain, "report");
  const record = { json: '{"usd":5}', sha256: "ab".repeat(32) };
  await buyer.claimReceipt(ids.acted, "trade", { arguments: record });
  await buyer.endClaim(ids.acted, "trade", { state: "done", outcome: "sold" });
  ids.guarded = await buy("honest");
  const request = { tool: "pay", arguments: record, requirement: record, spends: { kind: "pay", times: 9 } } as const;
  const ends = ["done", "failed", "undecided", "undecided", null, null] as const;
  for (const [at, state] of ends.entries()) {
    const place = await buyer.actions.claim(ids.guarded, { ...request, tool: `pay ${at}` });
    if (!("id" in place)) throw new Error("a claim was refused");
    if (at !== 5) await buyer.actions.begin(place.id);
    if (state !== null) await buyer.actions.end(place.id, { state, outcome: "sent" });
    if (at === 3) await buyer.actions.decide(place.id, { state: "done", by: "person", note: "seen" });
  }
  db = await openDatabase(database);
  await eventually(async () => {
    const open = await db.selectFrom("jobs").select("id").where("state", "<>", "done").execute();
    if (open.length > 0) throw new Error("late evidence is still looked for");
  });
  await buyer.close();
});
afterAll(async () => {
  await db.destroy();
  await market.stop();
});

/** Audits after a change, and takes the change back. */
async function audited(statement: string): Promise<AuditResult> {
  const backup = {
    receipt_claims: await db.selectFrom("receipt_claims").selectAll().execute(),
    seller_holds: await db.selectFrom("seller_holds").selectAll().execute(),
    jobs: await db.selectFrom("jobs").selectAll().execute(),
    purchases: await db.selectFrom("purchases").selectAll().execute(),
  };
  await sql.raw(statement).execute(db);
  const result = await auditLog(db);
  for (const table of ["receipt_claims", "seller_holds", "jobs", "purchases"] as const) {
    await db.deleteFrom(table).execute();
    for (const row of backup[table]) await db.insertInto(table).values(row).execute();
  }
  return result;
}

describe("the audit covers what was made of receipts", () => {
  test("and finds nothing in what the program wrote itself", async () => {
    expect(await auditLog(db)).toMatchObject({ ok: true });
    const claims = await db.selectFrom("receipt_claims").select("state").orderBy("state").execute();
    const states = ["claimed", "claimed", "done", "done", "done", "failed", "invoking", "undecided"];
    expect(claims.map(({ state }) => state)).toEqual(states);
    const counts = await sql<{
      n: number;
    }>`select (select count(*) from receipt_claims) * (select count(*) from seller_holds) * (select count(*) from jobs) n`.execute(
      db,
    );
    expect(counts.rows[0]?.n).toBeGreaterThan(0);
    expect(await audited("update jobs set run_at = run_at + 1")).toMatchObject({ ok: true });
  });

  test.each([
    [
      "receipt_claims",
      "claim_altered",
      (
        "receipt_id purpose at purchase state arguments arguments_sha256 outcome ended_at place kind most tool " +
        "requirement idempotency_key owner begun_at decided_at decided_by note"
      ).split(" "),
    ],
    ["seller_holds", "hold_altered", ["seller_id", "receipt_id", "reason", "at", "released_at"]],
    ["jobs", "job_altered", ["kind", "subject", "state", "last_error"]],
    ["purchases", "purchase_altered", ["receipt_id", "amount", "payer", "pay_to", "asset", "nonce", "attempt"]],
  ])("T74: a row of %s is missed, and no cell of it changes unseen", async (table, code, columns) => {
    const name = rowName(db, table);
    const { rows } = await sql<{
      row_id: unknown;
    }>`select ${sql.raw(name)} as row_id, ${sql.table(table)}.* from ${sql.table(table)}`.execute(db);
    for (const row of rows) {
      const own = `${name} = '${String(row.row_id).replaceAll("'", "''")}'`;
      expect(await audited(`delete from ${table} where ${own}`)).toMatchObject({ ok: false, code });
      for (const column of columns) {
        const isNumber = ["at", "ended_at", "begun_at", "decided_at", "most", "released_at", "attempt"].includes(
          column,
        );
        const other = isNumber ? `coalesce(${column}, 7) + 1` : `coalesce(${column}, '') || 'x'`;
        const result = await audited(`update ${table} set ${column} = ${other} where ${own}`);
        expect(result, `${column} of ${JSON.stringify(row)}`).toMatchObject({ ok: false, code });
      }
    }
  });

  test("a claim, a hold or an outcome that the program never wrote is found", async () => {
    const added = [
      `insert into receipt_claims (receipt_id, purpose, at) values ('${ids.plain}', 'guard', 1)`,
      "insert into receipt_claims (receipt_id, purpose, at) values ('p402_none', 'guard', 1)",
      "insert into seller_holds (seller_id, receipt_id, reason, at) values ('plain', '', 'none', 1)",
      `insert into jobs (kind, subject, state, run_at, leased_until, attempts, deadline) values ('other', '${ids.plain}', 'done', 1, 0, 1, 1)`,
    ];
    const codes = [];
    for (const statement of added) codes.push(await audited(statement));
    expect(codes).toMatchObject(
      ["claim_altered", "claim_altered", "hold_altered", "job_altered"].map((code) => ({ ok: false, code })),
    );
  });

  test("a purchase that takes an imported receipt for its own, or gives its own up, is found", async () => {
    const { id } = await db
      .selectFrom("purchases")
      .select("id")
      .where("receipt_id", "is not", null)
      .executeTakeFirstOrThrow();
    const changes = [
      `update purchases set receipt_id = null where id = '${id}'`,
      `update purchases set receipt_id = 'p402_${"a".repeat(52)}' where id = '${id}'`,
    ];
    for (const change of changes) expect(await audited(change)).toMatchObject({ ok: false, code: "purchase_altered" });
  });
});

/** The schema of the last program whose log recorded no such rows. */
const BEFORE_ROWS = 9;
/** The same of told costs and parts. */
const BEFORE_SHARES = 21;

describe("T74: rows from before the log recorded such", () => {
  /** The file of a program that logged receipts and appraisals alone, as it is after this one opened it. */
  async function opened(): Promise<{ old: Db; ids: string[] }> {
    const old = new Kysely<Tables>({ dialect: patientSqlite(new LibsqlDatabase(":memory:")) });
    await migrate(old, BEFORE_ROWS);
    const [acted, given] = [createReceipt(receiptCore("one")), createReceipt(receiptCore("two"))];
    await addEarlierReceipts(old, [acted, given], appraisal());
    const statements = [
      `insert into receipt_claims (receipt_id, purpose, at, purchase, state, arguments, arguments_sha256, outcome, ended_at)
        values ('${acted.id}', 'guard', 5, 'n1', 'done', '{}', 'ab', 'sold', 9)`,
      `insert into receipt_claims (receipt_id, purpose, at, purchase, state) values ('${given.id}', 'guard', 6, 'n2', 'claimed')`,
      `insert into receipt_claims (receipt_id, purpose, at, purchase, state, arguments, arguments_sha256)
        values ('${given.id}', 'trade', 7, 'n2', 'invoking', '{}', 'cd')`,
      "insert into seller_holds (seller_id, receipt_id, reason, at) values ('cheap', '', 'none', 1)",
      `insert into jobs (kind, subject, state, run_at, leased_until, attempts, deadline)
        values ('proof', '${acted.id}', 'done', 1, 0, 1, 1), ('proof', '${given.id}', 'waiting', 1, 0, 1, 1)`,
      `insert into purchases (id, idempotency_key, attempt, args_digest, state, seller_id, model, network, asset, amount,
        payer, pay_to, nonce, valid_after, valid_before, authorization_hash, offer, accepted, request, receipt_id, created_at, updated_at)
        values ('p', 'k', 1, 'd', 'settled', 'cheap', 'm', 'n', 'a', '700', 'x', 'y', 'z', 0, 1, 'h', '{}', '{}', '{}', '${acted.id}', 1, 1)`,
    ];
    for (const statement of statements) await sql.raw(statement).execute(old);
    await migrate(old);
    return { old, ids: [acted.id, given.id] };
  }

  test("are in it once the file was opened, and ended rows that were open then, too", async () => {
    const { old, ids } = await opened();
    expect(await auditLog(old)).toMatchObject({ ok: true, receipts: 2 });
    const queue = createQueue(old);
    const job = await queue.lease(10, ["proof"]);
    expect(job?.receiptId).toBe(ids[1]);
    await immediate(old, (tx) => queue.finish(tx, job!, { absent: "gave_up", at: new Date() }));
    const claims = createClaims({ db: old, clock: () => new Date() } as BuyerContext);
    await claims.endClaim(ids[1] ?? "", "trade", { state: "done", outcome: "sold" });
    expect(await auditLog(old)).toMatchObject({ ok: true, receipts: 2 });
    await old.destroy();
  });

  test.each([
    [
      "claim_altered",
      (id: string) =>
        `insert into receipt_claims (receipt_id, purpose, at, purchase) values ('${id}', 'other', 1, 'n3')`,
    ],
    ["claim_altered", () => "update receipt_claims set outcome = 'kept' where outcome = 'sold'"],
    ["claim_altered", () => "delete from receipt_claims where purchase = 'n2'"],
    [
      "hold_altered",
      () => "insert into seller_holds (seller_id, receipt_id, reason, at) values ('plain', '', 'none', 1)",
    ],
    ["hold_altered", () => "update seller_holds set released_at = 3"],
    ["job_altered", () => "update jobs set last_error = 'gone' where state = 'done'"],
    ["job_altered", () => "update jobs set state = 'done'"],
    ["purchase_altered", () => "update purchases set amount = '7'"],
    ["purchase_altered", () => "update purchases set receipt_id = null"],
    ["purchase_altered", (_acted: string, given: string) => `update purchases set receipt_id = '${given}'`],
  ])("and every change of them is found: %s", async (code, change) => {
    const { old, ids } = await opened();
    await sql.raw(change(ids[0] ?? "", ids[1] ?? "")).execute(old);
    expect(await auditLog(old)).toMatchObject({ ok: false, code });
    await old.destroy();
  });

  test("told costs and parts of calls on a shared authorization are in it, too", async () => {
    const old = new Kysely<Tables>({ dialect: patientSqlite(new LibsqlDatabase(":memory:")) });
    await migrate(old, BEFORE_SHARES);
    const call = (at: number, told: string, part: string): string =>
      `insert into purchases (id, idempotency_key, attempt, args_digest, state, seller_id, model, network, asset, amount,
        payer, pay_to, nonce, valid_after, valid_before, authorization_hash, offer, accepted, request, share, reported, part,
        created_at, updated_at) values ('${at}', 'k${at}', 1, 'd', 'settled', 'cheap', 'm', 'n', 'a', '700', 'x', 'y', 'z${at}',
        0, 1, 'h', '{}', '{}', '{}', '{"first":true,"kept":"1"}', ${told}, ${part}, ${at}, 1)`;
    for (const row of [call(1, "'5'", "null"), call(2, "null", "'7'"), call(3, "null", "null")])
      await sql.raw(row).execute(old);
    await migrate(old);
    expect(await auditLog(old)).toMatchObject({ ok: true, entries: 2 });
    for (const [id, column, other] of [
      [1, "reported", "6"],
      [2, "part", null],
      [3, "part", "1"],
    ] as const) {
      const set = (value: string | null): Promise<unknown> =>
        sql`update purchases set ${sql.ref(column)} = ${value} where id = ${String(id)}`.execute(old);
      await set(other);
      expect(await auditLog(old)).toMatchObject({ ok: false, code: "purchase_altered" });
      await set(id === 3 ? null : id === 1 ? "5" : "7");
      expect(await auditLog(old)).toMatchObject({ ok: true });
    }
    await old.destroy();
  });
});
