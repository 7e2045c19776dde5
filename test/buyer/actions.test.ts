import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ActionRequest, Actions, Spends } from "../../src/buyer/action-types.ts";
import { createActions } from "../../src/buyer/actions.ts";
import { createClaims } from "../../src/buyer/claims.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import { endStop, orderStop } from "../../src/buyer/guard-stop.ts";
import { isDead } from "../../src/buyer/lease-owner.ts";
import { isRunning, thisProcess } from "../../src/buyer/process-owner.ts";
import { sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt, appendAppraisal } from "../../src/receipts/store.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { allowWrites, refuseWrites } from "../support/both-databases.ts";

const receipt = createReceipt(receiptCore());
let folder: string;
let database: string;
let db: Db;
let now: number;
let actions: Actions;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-actions-"));
  database = join(folder, "buyer.db");
  db = await openDatabase(database);
  now = Date.now();
  await immediate(db, (tx) => addReceipt(tx, receipt, appraisal(), new Date()));
  actions = createActions(context()).actions;
});
afterEach(async () => {
  const audited = await auditLog(db);
  await db.destroy();
  await rm(folder, { recursive: true });
  if (!audited.ok) throw new Error(audited.message);
});

const context = (of = db): BuyerContext =>
  ({ db: of, clock: () => new Date(now), config: { database } }) as unknown as BuyerContext;
const hashed = (json: string): { json: string; sha256: string } => ({ json, sha256: toHex(sha256(utf8(json))) });
const asking = (args = "{}", spends: Spends = "once", tool = "pay"): ActionRequest => ({
  tool,
  arguments: hashed(args),
  requirement: hashed('{"assurance":"attested"}'),
  spends,
  allowImported: true,
});
const rebalance = (times: number): Spends => ({ kind: "rebalance", times });
/** The place given to an action, or null. */
async function claimed(request: ActionRequest): Promise<{ id: string; idempotencyKey: string } | null> {
  const got = await actions.claim(receipt.id, request);
  return "id" in got ? got : null;
}
async function begun(request: ActionRequest): Promise<string> {
  const place = await claimed(request);
  expect(await actions.begin(place?.id ?? "")).toBe(true);
  return place?.id ?? "";
}
async function begunIn(owner: string): Promise<string> {
  actions = of(owner);
  const id = await begun(asking());
  actions = createActions(context()).actions;
  return id;
}
/** The actions of another process. */
const of = (owner: string): Actions => createActions(context(), Promise.resolve(owner), new Set()).actions;
let gone: string;
beforeEach(async () => {
  const child = spawn(process.execPath, ["--eval", ""]);
  const [host, , start] = (await thisProcess()).split(":");
  gone = `${host}:${child.pid}:${start}`;
  await once(child, "exit");
});

describe("one process with two buyers on a database", () => {
  test("sees from each what the other has under way: it is asked about by no settle, and decided by none", async () => {
    const other = createActions(context()).actions;
    const id = await begun(asking());
    expect(await other.list()).toMatchObject([{ id, state: "invoking", running: true }]);
    await expect(other.decide(id, { state: "failed", by: "settle", note: "" })).rejects.toMatchObject({
      code: "action_running",
    });
    await actions.end(id, { state: "done", outcome: "" });
    expect(await other.list()).toMatchObject([{ id, state: "done" }]);
  });

  test("and takes another thread's action for one that runs", async () => {
    const thread = `${(await thisProcess()).replace(/:\d+$/, "")}:7`;
    const id = await begunIn(thread);
    expect(await actions.list()).toMatchObject([{ id, state: "invoking", running: true }]);
  });
});

describe("a claim of a judged receipt", () => {
  const judged = async (holds = true) => ({ receipt, at: await actions.moment(), holds: () => holds });

  test("is made only if nothing about the receipt came after, other actions aside", async () => {
    const request = asking("{}", rebalance(3));
    const before = await judged();
    expect(await actions.claim(receipt.id, request, { begins: true, judged: before })).toMatchObject({
      id: expect.any(String) as string,
    });
    // The action before is no news of the receipt.
    expect(await actions.claim(receipt.id, request, { begins: true, judged: before })).toHaveProperty("id");
    await immediate(db, (tx) => appendAppraisal(tx, receipt.id, appraisal({ verdict: "failed" })));
    expect(await actions.claim(receipt.id, request, { begins: true, judged: before })).toEqual({ changed: true });
    expect(await actions.claim(receipt.id, request, { begins: true, judged: await judged() })).toHaveProperty("id");
  });

  test("is not made where the judgement does not hold any more", async () => {
    expect(await actions.claim(receipt.id, asking(), { begins: true, judged: await judged(false) })).toEqual({
      changed: true,
    });
    expect(await actions.list()).toEqual([]);
  });
});

describe("an action's place on a purchase", () => {
  test("is one in all, whatever tool, kind or arguments", async () => {
    expect(await claimed(asking())).not.toBeNull();
    for (const other of [asking(), asking('{"a":1}'), asking("{}", "once", "sell"), asking("{}", rebalance(5))])
      expect(await claimed(other)).toBeNull();
  });

  test("stands beside claims of a kind by none that wants all of it", async () => {
    expect(await claimed(asking("{}", rebalance(2)))).not.toBeNull();
    expect(await claimed(asking())).toBeNull();
    expect(await claimed(asking("{}", { kind: "report", times: 1 }))).not.toBeNull();
    expect(await claimed(asking("{}", rebalance(2)))).not.toBeNull();
    expect(await claimed(asking("{}", rebalance(2)))).toBeNull();
  });

  test("is bounded by the smallest limit that a guard of the kind has", async () => {
    expect(await claimed(asking("{}", rebalance(2)))).not.toBeNull();
    expect(await claimed(asking("{}", rebalance(9)))).not.toBeNull();
    expect(await claimed(asking("{}", rebalance(9)))).toBeNull();
  });

  test("has a key that the same action in the same place has again, and no other", async () => {
    const keys = [];
    for (const args of ["{}", "{}", '{"a":1}']) keys.push((await claimed(asking(args, rebalance(3))))?.idempotencyKey);
    expect(new Set(keys).size).toBe(3);
    expect(keys[0]).toMatch(/^p402-act-[0-9a-f]{64}$/);
  });

  test("is given exactly as often as a kind may have it, however many ask at once", async () => {
    const others = await Promise.all(Array.from({ length: 3 }, () => openDatabase(database)));
    const all = [actions, ...others.map((one) => createActions(context(one)).actions)];
    const asked = Array.from({ length: 24 }, (_one, at) =>
      (all[at % all.length] ?? actions).claim(receipt.id, asking("{}", rebalance(7))),
    );
    const got = await Promise.all(asked);
    expect(got.filter((one) => "id" in one)).toHaveLength(7);
    await Promise.all(others.map((one) => one.destroy()));
  });

  test("is not given where a program from before took the purchase, nor the other way round", async () => {
    const claims = createClaims(context());
    expect(await claims.claimReceipt(receipt.id, "guard")).toBe(true);
    expect(await claimed(asking())).toBeNull();
    expect(await claims.claimReceipt(receipt.id, "report")).toBe(true);
  });
});

describe("a claim that begins its action", () => {
  test("writes both states at once, each in the log, and cannot begin again", async () => {
    const place = await actions.claim(receipt.id, asking(), { begins: true });
    const id = "id" in place ? place.id : "";
    expect(await actions.list({ open: true })).toMatchObject([{ id, state: "invoking", running: true }]);
    const entries = await db.selectFrom("log").select("kind").where("kind", "=", "claim").execute();
    expect(entries).toHaveLength(2);
    expect(await actions.begin(id)).toBe(false);
    await actions.end(id, { state: "done", outcome: "sold" });
    expect(await claimed(asking())).toBeNull();
  });

  test("leaves nothing if its caller stopped waiting by then", async () => {
    const stop = new AbortController();
    const asked = actions.claim(receipt.id, asking(), { begins: true, signal: stop.signal });
    stop.abort(new Error("no more"));
    await expect(asked).rejects.toThrow("no more");
    expect(await actions.list()).toEqual([]);
  });

  test("is of a receipt that is stored", async () => {
    const none = actions.claim("p402_none", asking(), { begins: true });
    await expect(none).rejects.toMatchObject({ code: "receipt_not_found" });
    const foreign = actions.claim(receipt.id, { ...asking(), allowImported: false }, { begins: true });
    await expect(foreign).rejects.toMatchObject({ code: "receipt_imported" });
  });
});

describe("the end of an action", () => {
  test("that failed gives its place to the same action, with the same key, and to no other", async () => {
    const id = await begun(asking('{"a":1}'));
    const [first] = await actions.list();
    await actions.end(id, { state: "failed", outcome: "refused" });
    expect(await claimed(asking('{"a":2}'))).toBeNull();
    expect(await claimed(asking('{"a":1}', "once", "sell"))).toBeNull();
    const again = await claimed(asking('{"a":1}'));
    expect(again?.idempotencyKey).toBe(first?.idempotencyKey);
    expect(again?.id).not.toBe(id);
    expect(await claimed(asking('{"a":1}'))).toBeNull();
  });

  test("of a kind that was given back is free again, and the places after it stay taken", async () => {
    const places = [];
    for (const args of ['{"a":1}', '{"a":2}', '{"a":3}']) places.push(await claimed(asking(args, rebalance(4))));
    await actions.end(places[0]?.id ?? "", { state: "failed", outcome: "given back" });
    for (const args of ['{"a":4}', '{"a":5}']) expect(await claimed(asking(args, rebalance(4)))).not.toBeNull();
    expect(await claimed(asking('{"a":6}', rebalance(4)))).toBeNull();
  });

  test("of a kind that failed is counted until the same action takes its place", async () => {
    const id = await begun(asking('{"a":1}', rebalance(2)));
    await actions.end(id, { state: "failed", outcome: "refused" });
    expect(await claimed(asking('{"a":2}', rebalance(2)))).not.toBeNull();
    expect(await claimed(asking('{"a":3}', rebalance(2)))).toBeNull();
    expect(await claimed(asking('{"a":1}', rebalance(2)))).not.toBeNull();
  });

  test.each(["done", "undecided"] as const)("that is %s keeps its place", async (state) => {
    await actions.end(await begun(asking()), { state, outcome: "sold" });
    expect(await claimed(asking())).toBeNull();
    expect(await actions.list()).toMatchObject([{ state, outcome: "sold", tool: "pay", arguments: hashed("{}") }]);
  });

  test("before its beginning gives the place to any action", async () => {
    const place = await claimed(asking());
    await actions.end(place?.id ?? "", { state: "failed", outcome: "given back" });
    expect(await actions.begin(place?.id ?? "")).toBe(false);
    expect(await claimed(asking('{"a":2}', rebalance(1), "sell"))).not.toBeNull();
  });
});

describe("an action whose process ended", () => {
  test("is undecided if it had begun, and runs again by nothing", async () => {
    const id = await begunIn(gone);
    expect(await actions.list({ open: true })).toMatchObject([{ id, state: "undecided", running: false }]);
    expect(await claimed(asking())).toBeNull();
    expect(await actions.decide(id, { state: "failed", by: "settle", note: "no such order" })).toMatchObject({
      state: "failed",
      decidedBy: "settle",
      note: "no such order",
    });
    expect(await claimed(asking('{"a":1}'))).toBeNull();
    expect(await claimed(asking())).not.toBeNull();
  });

  test("is under way while its process runs, and nobody decides it but a person who knows better", async () => {
    const id = await begun(asking());
    expect(await actions.list({ open: true })).toMatchObject([{ id, state: "invoking", running: true }]);
    const decision = { state: "failed", by: "person", note: "I looked" } as const;
    await expect(actions.decide(id, decision)).rejects.toMatchObject({ code: "action_running" });
    expect(await actions.decide(id, { ...decision, notRunning: true })).toMatchObject({ state: "failed" });
    // What ends after all changes nothing about that, and stands beside it.
    await actions.end(id, { state: "done", outcome: "late" });
    await actions.end(id, { state: "failed", outcome: "later" });
    const late = { state: "done", outcome: "late", at: new Date(now).toISOString(), contradicts: true };
    expect(await actions.list()).toMatchObject([{ state: "failed", outcome: null, note: "I looked", lateEnd: late }]);
    expect(await auditLog(db)).toMatchObject({ ok: true, contradicted: [id] });
    // It happened, whatever was decided: the same action has no place any more.
    expect(await claimed(asking())).toBeNull();
    await sql`update receipt_claims set late_state = null, late_outcome = null, late_at = null`.execute(db);
    expect(await auditLog(db)).toMatchObject({ ok: false, code: "claim_altered" });
    await sql`update receipt_claims set late_state = 'done', late_outcome = 'late', late_at = ${now}`.execute(db);
  });

  test("and ends as was decided, or throws, contradicts nobody", async () => {
    for (const [at, [state, late]] of (
      [
        ["failed", "undecided"],
        ["done", "done"],
      ] as const
    ).entries()) {
      const id = await begun(asking(`{"a":${at}}`, rebalance(9)));
      await actions.decide(id, { state, by: "person", note: "I looked", notRunning: true });
      await actions.end(id, { state: late, outcome: "late" });
      expect(await actions.list({ id })).toMatchObject([{ state, lateEnd: { state: late, contradicts: false } }]);
    }
    expect(await claimed(asking('{"a":0}', rebalance(9)))).not.toBeNull();
    expect(await auditLog(db)).toMatchObject({ ok: true, contradicted: [] });
  });

  test("gives its place back if it had not begun, and cannot begin after that", async () => {
    const place = await of(gone).claim(receipt.id, asking());
    expect(await claimed(asking('{"a":1}'))).not.toBeNull();
    expect(await of(gone).begin("id" in place ? place.id : "")).toBe(false);
  });

  test("does not begin a minute after its receipt was judged, though nobody else took its place", async () => {
    const place = await claimed(asking());
    now += 60_001;
    expect(await actions.begin(place?.id ?? "")).toBe(false);
  });

  test("gives it back also where nobody can see the process, once it is long overdue", async () => {
    await claimed(asking());
    now += 60_000;
    expect(await claimed(asking())).toBeNull();
    now += 1;
    expect(await claimed(asking())).not.toBeNull();
  });

  test("on another machine is for a person to decide, and for no function", async () => {
    const id = await begunIn("elsewhere:1:1");
    expect(await actions.list()).toMatchObject([{ state: "undecided", running: null }]);
    const decide = (by: "settle" | "person", notRunning: boolean): Promise<unknown> =>
      actions.decide(id, { state: "done", by, note: "", notRunning });
    for (const notRunning of [false, true])
      await expect(decide("settle", notRunning)).rejects.toMatchObject({ code: "action_running" });
    await expect(decide("person", false)).rejects.toMatchObject({ code: "action_running" });
    expect(await decide("person", true)).toMatchObject({ state: "done" });
    await expect(decide("person", true)).rejects.toMatchObject({ code: "action_decided" });
  });

  test("is not taken for dead by its number in a container of the same host name, or before the machine started", async () => {
    const [place = "", id, start] = gone.split(":");
    const [host, boot, ids] = place.split("/");
    for (const other of [`${host}/${boot}/${ids}1`, `${host}/another-start/${ids}`, `${host}`])
      expect(await isRunning(`${other}:${id}:${start}`)).toBeNull();
    expect(isDead(`${host}/${boot}/${ids}1:${id}:lease`)).toBe(false);
  });

  test("is undecided where its end could not be written, though the process goes on", async () => {
    const id = await begun(asking());
    await refuseWrites(db, "update on receipt_claims", "full");
    await expect(actions.end(id, { state: "done", outcome: "sold" })).rejects.toThrow("full");
    await allowWrites(db, "receipt_claims");
    expect(await actions.list()).toMatchObject([{ id, state: "undecided", running: false }]);
    expect(await actions.decide(id, { state: "done", by: "settle", note: "it is in the books" })).toMatchObject({
      state: "done",
    });
  });

  test("is told from a later process of the same number", async () => {
    const self = await thisProcess();
    const [host, id, start] = self.split(":");
    expect(await isRunning(self)).toBe(true);
    expect(await isRunning(`${host}:${id}:`)).toBe(true);
    // Where the system does not say when a process began, its number has to do.
    expect(await isRunning(`${host}:${id}:${start === "" ? "" : Number(start) + 1}`)).toBe(start === "");
    expect(await isRunning(gone)).toBe(false);
  });
});

describe("a decision", () => {
  test("is final, is on the record, and is of an action that there is", async () => {
    const id = await begun(asking());
    await actions.end(id, { state: "undecided", outcome: "hung up" });
    await actions.decide(id, { state: "done", by: "person", note: "the bank shows it" });
    expect(await actions.list()).toMatchObject([
      { state: "done", outcome: "hung up", decidedBy: "person", note: "the bank shows it" },
    ]);
    const again = actions.decide(id, { state: "failed", by: "person", note: "" });
    await expect(again).rejects.toMatchObject({ code: "action_decided" });
    const none = actions.decide("claim_none", { state: "failed", by: "person", note: "" });
    await expect(none).rejects.toMatchObject({ code: "action_not_found" });
  });

  test("that it was done is not taken of an action that never began", async () => {
    const place = await claimed(asking());
    const decide = (state: "done" | "failed"): Promise<unknown> =>
      actions.decide(place?.id ?? "", { state, by: "person", note: "gone", notRunning: true });
    await expect(decide("done")).rejects.toMatchObject({ code: "action_decided" });
    expect(await decide("failed")).toMatchObject({ state: "failed" });
    expect(await claimed(asking('{"a":1}'))).not.toBeNull();
  });
});

describe("an emergency stop", () => {
  const order = (): Promise<unknown> => orderStop(db, database, { reason: "prices are odd", at: new Date(now) });
  const file = (): string => `${database}.guard-stop`;

  test("refuses claims and beginnings in every process, and lets what has begun end", async () => {
    const running = await begun(asking("{}", rebalance(3)));
    const place = await claimed(asking("{}", rebalance(3)));
    await order();
    const other = await openDatabase(database);
    const there = createActions(context(other)).actions;
    const stopped = { code: "guard_stopped", message: expect.stringContaining("prices are odd") as string };
    await expect(there.claim(receipt.id, asking("{}", rebalance(3)))).rejects.toMatchObject(stopped);
    await expect(there.begin(place?.id ?? "")).rejects.toMatchObject(stopped);
    await expect(createClaims(context()).claimReceipt(receipt.id, "report")).rejects.toMatchObject(stopped);
    await actions.end(running, { state: "done", outcome: "sold" });
    expect(await actions.stop()).toMatchObject({ reason: "prices are odd", file: file() });
    expect(await endStop(db, database, new Date(now))).toMatchObject({ reason: "prices are odd" });
    expect(await there.begin(place?.id ?? "")).toBe(true);
    await other.destroy();
  });

  test("is in force by the row alone, and by the file alone", async () => {
    await order();
    await rm(file());
    await expect(claimed(asking())).rejects.toMatchObject({ code: "guard_stopped" });
    await endStop(db, database, new Date(now));
    await writeFile(file(), "");
    await expect(claimed(asking())).rejects.toMatchObject({ code: "guard_stopped" });
    expect(await endStop(db, database, new Date(now))).toMatchObject({ reason: null, file: file() });
    expect(await claimed(asking())).not.toBeNull();
    await expect(endStop(db, database, new Date(now))).rejects.toMatchObject({ code: "guard_not_stopped" });
  });

  test("is one however often it is ordered, and its order and end are in the log", async () => {
    await order();
    await order();
    expect(await db.selectFrom("guard_stops").selectAll().execute()).toHaveLength(1);
    await endStop(db, database, new Date(now));
    for (const change of ["update guard_stops set ended_at = null", "update guard_stops set reason = 'none'"]) {
      const [row] = await db.selectFrom("guard_stops").selectAll().execute();
      await sql.raw(change).execute(db);
      expect(await auditLog(db)).toMatchObject({ ok: false, code: "stop_altered" });
      await db
        .updateTable("guard_stops")
        .set(row ?? {})
        .execute();
    }
    const rows = await db.selectFrom("guard_stops").selectAll().execute();
    await db.deleteFrom("guard_stops").execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, code: "stop_altered" });
    await db.insertInto("guard_stops").values(rows).execute();
  });
});
