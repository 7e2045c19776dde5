import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditLog, type AuditResult } from "../../src/receipts/log.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";

let market: Market;
let db: Db;
let ids: { plain: string; acted: string };

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
    const result = await buyer.buy({
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
  };
  await sql.raw(statement).execute(db);
  const result = await auditLog(db);
  for (const table of ["receipt_claims", "seller_holds", "jobs"] as const) {
    await db.deleteFrom(table).execute();
    for (const row of backup[table]) await db.insertInto(table).values(row).execute();
  }
  return result;
}

describe("the audit covers what was made of receipts", () => {
  test("and finds nothing in what the program wrote itself", async () => {
    expect(await auditLog(db)).toMatchObject({ ok: true });
    const claims = await db.selectFrom("receipt_claims").select("state").orderBy("state").execute();
    expect(claims.map(({ state }) => state)).toEqual(["claimed", "done"]);
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
      [
        "receipt_id",
        "purpose",
        "at",
        "purchase",
        "state",
        "arguments",
        "arguments_sha256",
        "outcome",
        "ended_at",
        "unlogged",
      ],
    ],
    ["seller_holds", "hold_altered", ["seller_id", "receipt_id", "reason", "at", "released_at", "unlogged"]],
    ["jobs", "job_altered", ["kind", "subject", "state", "last_error", "unlogged"]],
  ])("T74: a row of %s is missed, and no cell of it changes unseen", async (table, code, columns) => {
    const { rows } = await sql<{ place: number }>`select rowid as place, * from ${sql.table(table)}`.execute(db);
    for (const row of rows) {
      expect(await audited(`delete from ${table} where rowid = ${row.place}`)).toMatchObject({ ok: false, code });
      for (const column of columns) {
        const isNumber = ["at", "ended_at", "released_at", "unlogged"].includes(column);
        const other = isNumber ? `coalesce(${column}, 7) + 1` : `coalesce(${column}, '') || 'x'`;
        const result = await audited(`update ${table} set ${column} = ${other} where rowid = ${row.place}`);
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

  test("of rows from before the log recorded such nothing is said", async () => {
    await expect(
      audited(`insert into receipt_claims (receipt_id, purpose, at, unlogged) values ('${ids.plain}', 'guard', 1, 1)`),
    ).resolves.toMatchObject({ ok: true });
  });
});
