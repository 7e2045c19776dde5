import { join } from "node:path";
import LibsqlDatabase from "libsql";
import { Kysely, sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DecisionInput } from "../../src/buyer/decision-types.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { toHex } from "../../src/evidence/bytes.ts";
import { decisionId, type Decision } from "../../src/receipts/decision-schema.ts";
import { addDecision, searchDecisions } from "../../src/receipts/decisions.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate, migrate } from "../../src/storage/migrations.ts";
import { patientSqlite } from "../../src/storage/sqlite.ts";
import type { Tables } from "../../src/storage/tables.ts";
import { policyHash } from "../../src/verify/policy.ts";
import { openDecisionWorld, type DecisionWorld } from "../support/decision-buyer.ts";
import { addEarlierReceipts } from "../support/earlier-receipts.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { copyOf } from "../support/both-databases.ts";

/** The schema of the last program without decisions. */
const BEFORE_DECISIONS = 20;

let world: DecisionWorld;
let ids: string[];
beforeAll(async () => {
  world = await openDecisionWorld(2);
  ids = world.receipts.map(({ id }) => id);
});
afterAll(() => world.close());

const input = (changes: Partial<DecisionInput> = {}): DecisionInput => ({
  purpose: "payroll",
  subject: "November, line 7",
  receipts: [ids[0]!],
  action: { do: "pay", amount: "1200.00", to: ["DE00"] },
  outcome: "approved",
  ...changes,
});

describe("a decision", () => {
  test("is recorded with who, what, and each receipt's verdict as of now under the policy of its buyer", async () => {
    const now = new Date("2090-12-01T10:00:00.000Z");
    world.setTime(now);
    const decision = await world.buyer.decide(input({ receipts: ids, person: "Ada Lovelace", second: "Grace Hopper" }));
    const { verdict, assurance, simulated } = await world.buyer.verify(world.receipts[0]!);
    expect(verdict).toBe("verified");
    const judged = { verdict, assurance, wanted: "attested", simulated, policyHash: policyHash(world.policy) };
    expect(decision).toMatchObject({
      at: now.toISOString(),
      purpose: "payroll",
      subject: "November, line 7",
      receipts: ids.map((id) => ({ id, ...judged, judged: expect.stringMatching(/^[0-9a-f]{64}$/) })),
      action: { do: "pay", amount: "1200.00", to: ["DE00"] },
      outcome: "approved",
      by: { program: null, person: "Ada Lovelace", second: "Grace Hopper" },
    });
    expect(decision.id).toBe(decisionId(decision));
    expect((await world.buyer.decisions({ limit: 1 }))[0]).toEqual(decision);
  });

  test("stands in the log of the receipts, whose digest names its purpose and its hash", async () => {
    const decision = await world.buyer.decide(input());
    const db = await openDatabase(world.database);
    const entry = await db.selectFrom("log").selectAll().orderBy("seq", "desc").limit(1).executeTakeFirstOrThrow();
    await db.destroy();
    const record = toHex(canonicalSha256(decision));
    expect(entry).toMatchObject({
      kind: "decision",
      receipt_id: decision.id,
      at: Date.parse(decision.at),
      digest: toHex(canonicalSha256({ purpose: "payroll", record })),
    });
    expect(await world.buyer.logHead()).toEqual({ seq: entry.seq, hash: entry.hash });
  });

  test("equal to another one is one more: each has an id of its own", async () => {
    const [one, two] = [await world.buyer.decide(input()), await world.buyer.decide(input())];
    expect(one.id).not.toBe(two.id);
  });

  test("keeps what it was given: a later change of the action changes nothing recorded", async () => {
    const action = { do: "pay", lines: [1] };
    const promise = world.buyer.decide(input({ action }));
    action.lines.push(2);
    expect((await promise).action).toEqual({ do: "pay", lines: [1] });
  });

  const loop: unknown[] = [];
  loop.push(loop);
  test.each<[string, Partial<DecisionInput>, string, string]>([
    ["of no receipt", { receipts: [] }, "decision_invalid", "receipts"],
    ["of one receipt twice", { receipts: ["a", "a"] }, "decision_invalid", "receipts"],
    ["of too many receipts", { receipts: Array.from({ length: 17 }, String) }, "decision_invalid", "receipts"],
    ["of a receipt of another store", { receipts: [`p402_${"a".repeat(52)}`] }, "receipt_not_found", "p402_aaaa"],
    ["without a purpose", { purpose: " " }, "decision_invalid", "purpose"],
    ["with a purpose on two lines", { purpose: "a\nb" }, "decision_invalid", "purpose"],
    ["with hidden signs in its subject", { subject: "pay \u202Eyap" }, "decision_invalid", "subject"],
    ["with a space around its purpose", { purpose: "payroll " }, "decision_invalid", "purpose"],
    ["with a mark of direction in its person", { person: "Ada\u061C" }, "decision_invalid", "person"],
    [
      "with a second person by a sign of no width",
      { person: "Ada", second: "A\u200Bda" },
      "decision_invalid",
      "second",
    ],
    ["with a second person by a selector", { person: "Ada", second: "Ada\uFE0F" }, "decision_invalid", "second"],
    ["with an invisible person", { person: "\u3164" }, "decision_invalid", "person"],
    ["with a long subject", { subject: "x".repeat(513) }, "decision_invalid", "subject"],
    ["with a lone surrogate", { outcome: "\uD800" }, "decision_invalid", "outcome"],
    ["without an outcome", { outcome: undefined as unknown as string }, "decision_invalid", "outcome"],
    ["without an action", { action: undefined }, "decision_invalid", "action"],
    ["with a date in its action", { action: { on: new Date() } }, "decision_invalid", "action"],
    ["with NaN in its action", { action: [Number.NaN] }, "decision_invalid", "action"],
    ["with a bigint in its action", { action: { amount: 5n } }, "decision_invalid", "action"],
    ["with a loop in its action", { action: loop }, "decision_invalid", "action"],
    ["with a large action", { action: "x".repeat(65_536) }, "decision_invalid", "action"],
    ["with a long list in its action", { action: Array.from({ length: 1e6 }) }, "decision_invalid", "action"],
    ["with a second person alone", { second: "Grace" }, "decision_invalid", "by"],
    ["of one person twice", { person: "Ada", second: "ADA" }, "decision_invalid", "by"],
    ["of one person by capitals", { person: "Owen Wei\u00DF", second: "OWEN WEISS" }, "decision_invalid", "by"],
    ["of one person by an i", { person: "Deniz I\u015F\u0131k", second: "deniz isik" }, "decision_invalid", "by"],
    ["of one person by a full stop", { person: "Ada Byron", second: "Ada-Byron." }, "decision_invalid", "by"],
  ])("%s is refused, named, and not recorded", async (_name, changes, code, named) => {
    const before = await world.buyer.logHead();
    await expect(world.buyer.decide(input(changes))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(named),
      next: expect.stringMatching(/\S/),
    });
    expect(await world.buyer.logHead()).toEqual(before);
  });

  test("on a receipt that failed is recorded with that verdict: a person may turn an action down on it", async () => {
    const strict = await openDecisionWorld(1);
    try {
      const { receipt: bad } = { receipt: structuredClone(strict.receipts[0]!) };
      bad.later.push({
        at: bad.core.response.receivedAt,
        evidence: { kind: "contradiction", layer: "response", code: "found_since" },
      });
      await strict.buyer.importReceipt(bad);
      const { receipts } = await strict.buyer.decide(input({ receipts: [bad.id], outcome: "turned down" }));
      expect(receipts[0]?.verdict).toBe("failed");
    } finally {
      await strict.close();
    }
  });
});

test("a file of an earlier program takes decisions once it was opened, and is whole", async () => {
  const old = new Kysely<Tables>({ dialect: patientSqlite(new LibsqlDatabase(":memory:")) });
  await migrate(old, BEFORE_DECISIONS);
  const receipt = createReceipt(receiptCore("one"));
  await addEarlierReceipts(old, [receipt], appraisal());
  await migrate(old);
  expect(await auditLog(old)).toMatchObject({ ok: true, receipts: 1, decisions: 0 });
  const { id: _id, ...content } = await world.buyer.decide(input());
  const receipts = [{ ...content.receipts[0]!, id: receipt.id }];
  await immediate(old, (tx) => addDecision(tx, { ...content, receipts }));
  expect(await auditLog(old)).toMatchObject({ ok: true, receipts: 1, decisions: 1 });
  await old.destroy();
});

describe("the time of a decision", () => {
  test("is never before an earlier one's, whichever way the clock is turned, and the log stays whole", async () => {
    const turned = await openDecisionWorld(1);
    const receipts = [turned.receipts[0]!.id];
    turned.setTime(new Date("2090-01-05"));
    const first = await turned.buyer.decide(input({ receipts }));
    turned.setTime(new Date("2090-01-01"));
    expect((await turned.buyer.decide(input({ receipts }))).at).toBe(first.at);
    await turned.buyer.importReceipt(createReceipt(receiptCore("late")));
    expect(await turned.buyer.audit()).toMatchObject({ ok: true, decisions: 2, receipts: 2 });
    await turned.close();
  });

  test("is after its receipts': one from the future is refused, and one put before it in the log is found", async () => {
    const early = await openDecisionWorld(1);
    const core = receiptCore("tomorrow");
    core.response.receivedAt = "2091-01-01T00:00:00.000Z";
    const { id } = createReceipt(core);
    await early.buyer.importReceipt(createReceipt(core));
    await expect(early.buyer.decide(input({ receipts: [id] }))).rejects.toMatchObject({
      code: "decision_invalid",
      message: expect.stringContaining(id),
    });
    const { id: _id, ...content } = await early.buyer.decide(input({ receipts: [early.receipts[0]!.id] }));
    const opened = await openDatabase(early.database);
    await immediate(opened, (tx) => addDecision(tx, { ...content, receipts: [{ ...content.receipts[0]!, id }] }));
    await opened.destroy();
    expect(await early.buyer.audit()).toMatchObject({ ok: false, code: "decision_before_receipt" });
    await early.close();
  });
});

describe("an audit of decisions", () => {
  let db: Db;
  let made: Decision[];
  beforeEach(async () => {
    made = [await world.buyer.decide(input({ subject: "one" })), await world.buyer.decide(input({ subject: "two" }))];
    db = await openDatabase(await copyOf(world.database, join(world.folder, `${crypto.randomUUID()}.db`)));
    return () => db.destroy();
  });
  const run = (statement: string): Promise<unknown> => sql.raw(statement).execute(db);

  test("finds them whole and counts them", async () => {
    const { total } = (await sql<{ total: number }>`select count(*) as total from decisions`.execute(db)).rows[0]!;
    expect(await auditLog(db)).toMatchObject({ ok: true, decisions: total });
  });

  test.each([
    ["outcome altered", "update decisions set json = replace(json, 'approved', 'rejected')", "decision_altered"],
    ["verdict altered", "update decisions set json = replace(json, 'verified', 'pending')", "decision_altered"],
    ["purpose altered beside it", "update decisions set purpose = 'other'", "decision_altered"],
    ["time altered beside it", "update decisions set at = at + 1", "decision_altered"],
    ["places exchanged", "update decisions set seq = -seq", "decision_altered"],
    ["all deleted", "delete from decisions", "decision_missing"],
    ["an entry deleted", "delete from log where seq = (select min(seq) from log where kind = 'decision')", "log_gap"],
    ["the last entry deleted", "delete from log where seq = (select max(seq) from log)", "decision_not_logged"],
    [
      "the last one deleted with its entry",
      "delete from decisions where seq = (select max(seq) from log); delete from log where seq = (select max(seq) from log)",
      "log_truncated",
    ],
    ["entries of another kind", "update log set kind = 'hold' where kind = 'decision'", "log_entry_altered"],
  ])("names what was done to them: %s", async (_name, statement, code) => {
    for (const one of statement.split("; ")) await run(one);
    expect(await auditLog(db)).toMatchObject({ ok: false, code });
  });

  test("names the one decision that was altered, deleted, or put in without an entry", async () => {
    const [one, two] = made as [Decision, Decision];
    await run(`delete from decisions where id = '${two.id}'`);
    expect(await auditLog(db)).toMatchObject({ code: "decision_missing", receiptId: two.id });
    await run(`insert into decisions select '${two.id}', 0, at, purpose, json from decisions where id = '${one.id}'`);
    expect(await auditLog(db)).toMatchObject({ code: "decision_altered", receiptId: two.id });
    await run(`update decisions set id = 'dec_x', seq = 0 where id = '${two.id}'`);
    expect(await auditLog(db)).toMatchObject({ code: "decision_not_logged", receiptId: "dec_x" });
  });

  test("a reader is not shown an altered row as the decision that it was", async () => {
    await run("update decisions set json = replace(json, 'approved', 'rejected')");
    await expect(searchDecisions(db, { limit: 1 })).rejects.toMatchObject({ code: "receipt_store_damaged" });
  });
});
