import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createActions } from "../../src/buyer/actions.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { Proof402Error } from "../../src/errors.ts";
import type { ActionCall } from "../../src/guard/guard.ts";
import { guard, type Action } from "../../src/guard/function.ts";
import { notDone } from "../../src/guard/not-done.ts";
import type { GuardOptions } from "../../src/guard/requirement.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { databasePlace } from "../support/database-place.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { writtenConfig } from "../support/written-config.ts";

const verified = appraisal({ verdict: "verified", assurance: "attested", simulated: false });
const ANSWER = { side: "sell", most: "5" };
let folder: string;
let database: string;
let config: string;
let db: Db;
/** Real claims over a real file. That its receipts are judged well is what other tests are about. */
let buyer: Buyer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-guard-"));
  database = await databasePlace(join(folder, "buyer.db"));
  config = join(folder, "config.json");
  await writeFile(config, JSON.stringify({ ...writtenConfig(), database }));
  db = await openDatabase(database);
  const context = { db, clock: () => new Date(), config: { database } } as unknown as BuyerContext;
  const known = new Map<string, Receipt>();
  buyer = {
    actions: createActions(context).actions,
    getReceipt(id: string) {
      const found = known.get(id);
      if (found === undefined) throw new Proof402Error("receipt_not_found", "There is none.", { next: "Buy." });
      return Promise.resolve(found);
    },
    verify: () => Promise.resolve(verified),
    inputOf: () => ({}),
    answerOf: () => ANSWER,
    known,
  } as unknown as Buyer;
});
afterAll(async () => {
  const audited = await auditLog(db);
  await db.destroy();
  await rm(folder, { recursive: true });
  if (!audited.ok) throw new Error(audited.message);
});

let made = 0;
/** A receipt of a purchase of its own. */
async function bought(): Promise<string> {
  const core = receiptCore(`guarded ${(made += 1)}`);
  core.payment.nonce = `0x${made.toString(16).padStart(64, "0")}`;
  const receipt = createReceipt(core);
  await immediate(db, (tx) => addReceipt(tx, receipt, verified, new Date()));
  (buyer as unknown as { known: Map<string, Receipt> }).known.set(receipt.id, receipt);
  return receipt.id;
}

type Order = { side: string; amount: unknown };
let ran: { args: unknown; call: ActionCall }[];
beforeEach(() => {
  ran = [];
});
const BOUND = {
  rules: [
    { check: { argument: "/side" }, equals: { answer: "/side" } },
    { check: { argument: "/amount" }, atMost: { answer: "/most" } },
    { check: { argument: "/amount" }, atLeast: { value: 0 } },
  ],
};
const optionsOf = (changes: Partial<GuardOptions> = {}): GuardOptions => ({
  buyer,
  assurance: "attested",
  maxAge: 1e9,
  bind: BOUND,
  allowImported: true,
  ...changes,
});
const trading = (changes: Partial<GuardOptions> = {}, more: Partial<Action<Order, string>> = {}) =>
  guard<Order, string>(
    { name: "trade", run: (args, call) => (ran.push({ args, call }), "traded"), ...more },
    optionsOf(changes),
  );
const ORDER = { side: "sell", amount: "2.5" };
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "ran",
    (error: unknown) => (Proof402Error.isInstance(error) ? error.code : error),
  );
const recordOf = async (receiptId: string) =>
  (await buyer.actions.list({ limit: 1000 })).filter((one) => one.receiptId === receiptId);

describe("a guarded function", () => {
  test("runs once on its receipt, with its key, and its record names tool, arguments and rules", async () => {
    const receiptId = await bought();
    const trade = trading();
    expect(await trade(ORDER, { receiptId })).toBe("traded");
    expect(await codeOf(trade(ORDER, { receiptId }))).toBe("receipt_consumed");
    const [record, ...rest] = await recordOf(receiptId);
    expect(rest).toEqual([]);
    expect(record).toMatchObject({ state: "done", tool: "trade", outcome: "traded", spends: "once" });
    expect(record?.arguments?.json).toBe('{"amount":"2.5","side":"sell"}');
    const call = { idempotencyKey: record?.idempotencyKey, claimId: record?.id, receiptId };
    expect(ran).toEqual([{ args: ORDER, call }]);
    const kept = await buyer.actions.requirement(record?.requirement ?? "");
    expect(JSON.parse(kept ?? "")).toMatchObject({ assurance: "attested", bind: BOUND });
  });

  test("fails where its action says so: the same one may run again with the same key, once", async () => {
    const receiptId = await bought();
    const refused = notDone("the exchange refused it");
    const failing = trading(
      {},
      {
        run: (args, call) => {
          ran.push({ args, call });
          throw refused;
        },
      },
    );
    await expect(failing(ORDER, { receiptId })).rejects.toBe(refused);
    expect(await recordOf(receiptId)).toMatchObject([{ state: "failed" }]);
    expect(await codeOf(trading()({ ...ORDER, amount: 1 }, { receiptId }))).toBe("receipt_consumed");
    expect(await codeOf(trading()(ORDER, { receiptId }))).toBe("ran");
    expect(await codeOf(trading()(ORDER, { receiptId }))).toBe("receipt_consumed");
    expect(new Set(ran.map(({ call }) => call.idempotencyKey)).size).toBe(1);
  });

  test("says nothing of an action around it by its own failure", async () => {
    const [inner, outer] = [await bought(), await bought()];
    const failing = trading(
      {},
      {
        run: () => {
          throw notDone("the exchange refused it");
        },
      },
    );
    const around = trading({}, { name: "around", run: async (args) => failing(args, { receiptId: inner }) });
    expect(await codeOf(around(ORDER, { receiptId: outer }))).toBe("action_not_done");
    expect([await recordOf(inner), await recordOf(outer)]).toMatchObject([
      [{ state: "failed" }],
      [{ state: "undecided" }],
    ]);
  });

  const generators: [string, () => unknown][] = [
    [
      "generator",
      function* () {
        yield 1;
      },
    ],
    [
      "async generator",
      async function* () {
        yield await Promise.resolve(1);
      },
    ],
  ];
  test.each(generators)("is no %s, which does nothing as it is called", (_kind, run) => {
    const options = { buyer, assurance: "attested", maxAge: 60, bind: () => true } as const;
    expect(() => guard({ name: "later", run }, options)).toThrow(expect.objectContaining({ code: "guard_tool" }));
  });

  test("is settled by its own function, which is asked about what is undecided and about nothing else", async () => {
    const [undecided, done] = [await bought(), await bought()];
    const asked: unknown[] = [];
    const throwing = trading(
      {},
      {
        name: "settled",
        run: (args, call) => {
          ran.push({ args, call });
          throw new Error("the line broke");
        },
        settle: (question) => (asked.push(question), { state: "failed", note: "not in the books" }),
      },
    );
    expect(await codeOf(throwing(ORDER, { receiptId: undecided }))).toEqual(new Error("the line broke"));
    await trading({}, { name: "settled" })(ORDER, { receiptId: done });
    expect(await codeOf(throwing(ORDER, { receiptId: undecided }))).toBe("receipt_consumed");
    expect(await throwing.settle()).toMatchObject([
      { receiptId: undecided, state: "failed", note: "not in the books" },
    ]);
    expect(asked).toEqual([{ args: ORDER, ...ran[0]?.call, at: expect.any(String) as string }]);
    expect(await throwing.settle()).toEqual([]);
    expect(await codeOf(trading({}, { name: "settled" })(ORDER, { receiptId: undecided }))).toBe("ran");
  });

  test("takes answers of its models and sellers alone", async () => {
    const receiptId = await bought();
    const { core } = await buyer.getReceipt(receiptId);
    expect(await codeOf(trading({ models: ["other"] })(ORDER, { receiptId }))).toBe("receipt_other_model");
    expect(await codeOf(trading({ sellers: ["other"] })(ORDER, { receiptId }))).toBe("receipt_other_seller");
    const fitting = { models: ["other", core.request.model], sellers: [core.seller.id] };
    expect(await codeOf(trading(fitting)(ORDER, { receiptId }))).toBe("ran");
  });

  test("is not made without a name, a function or a requirement that guards", () => {
    const act = (): string => "";
    const made = (action: unknown, changes: object = {}): unknown =>
      guard(action as Action<Order, string>, optionsOf(changes as Partial<GuardOptions>));
    for (const nameless of [() => "", { name: "", run: act }, { name: "x" }])
      expect(() => made(nameless)).toThrow(expect.objectContaining({ code: "guard_tool" }));
    const wrong = [{ spends: "twice" }, { spends: { kind: "a b", times: 1 } }, { spends: { kind: "a", times: 0 } }];
    for (const changes of [...wrong, { models: [] }, { sellers: "honest" }, { allowSimulated: "no" }])
      expect(() => made(act, changes)).toThrow(expect.objectContaining({ code: "guard_options" }));
    expect(() => made(act, { bind: { rules: [] } })).toThrow(expect.objectContaining({ code: "guard_rules" }));
  });
});

describe("attempts to get past the guard", () => {
  /** Makes arguments of an order: some as they should be, most as they should not. */
  const KINDS: Record<string, (order: Record<string, unknown>) => unknown> = {
    exact: (order) => order,
    "the most": (order) => ({ ...order, amount: 5 }),
    "a little more": (order) => ({ ...order, amount: "5.000000000000000001" }),
    "more than a double holds": (order) => ({ ...order, amount: 5000000000000000000001n }),
    "less than nothing": (order) => ({ ...order, amount: -1 }),
    "another side": (order) => ({ ...order, side: "buy" }),
    "a side in other letters": (order) => ({ ...order, side: "Sell" }),
    "a side with more": (order) => ({ ...order, side: "sell " }),
    "a list for a side": (order) => ({ ...order, side: ["sell"] }),
    "no amount": ({ amount: _none, ...order }) => order,
    "null for an amount": (order) => ({ ...order, amount: null }),
    "not a number": (order) => ({ ...order, amount: Number.NaN }),
    "a number of another script": (order) => ({ ...order, amount: "٢" }),
    "one key more": (order) => ({ ...order, leverage: 100 }),
    "a pointer for a key": (order) => ({ ...order, "/amount": 100 }),
    "a key that looks the same": (order) => ({ ...order, "\u0430mount": 100 }),
    "an own prototype": (order) =>
      JSON.parse(`{"__proto__":{"amount":100},"side":${JSON.stringify(order["side"])}}`) as unknown,
    "inherited keys": (order) => Object.create(order) as unknown,
    "a getter that changes": (order) => {
      let reads = 0;
      return {
        ...order,
        get amount() {
          return (reads += 1) === 1 ? "2.5" : 100;
        },
      };
    },
    "a proxy that changes": (order) => {
      let reads = 0;
      const get = (of: object, key: string | symbol): unknown =>
        key === "amount" && (reads += 1) > 1 ? 100 : (Reflect.get(of, key) as unknown);
      return new Proxy({ ...order }, { get });
    },
    "a form of its own in JSON": (order) => ({ ...order, toJSON: () => ({ ...order, amount: 100 }) }),
    "an object with a value": (order) => ({ ...order, amount: { valueOf: () => 1 } }),
    "a date": (order) => ({ ...order, amount: new Date(1) }),
  };
  const NESTINGS: Record<string, (args: unknown) => unknown> = {
    plain: (args) => args,
    "within args": (args) => ({ args }),
    "within a call": (args) => ({ type: "tool_call", args, ...(args as object) }),
    "as text": (args) =>
      JSON.stringify(args, (_key, value: unknown) => (typeof value === "bigint" ? `${value}` : value)),
    "in a list": (args) => [args],
  };
  const receipts = (id: string): unknown[] => [id, `${id} `, "", null, [id], { toString: () => id }];
  const allowed = (args: unknown): boolean => {
    const { side, amount, ...rest } = args as Record<string, unknown>;
    return side === "sell" && ["2.5", 5].includes(amount as never) && Object.keys(rest).length === 0;
  };

  test("run nothing but what was judged, once a purchase, however they come", async () => {
    const trade = trading() as (args: unknown, call: unknown) => Promise<string>;
    let [attempts, runs] = [0, 0];
    for (const [kind, spoil] of Object.entries(KINDS)) {
      for (const [nesting, nest] of Object.entries(NESTINGS)) {
        const id = await bought();
        ran = [];
        const work: Promise<unknown>[] = [];
        for (const receiptId of receipts(id)) {
          for (let copy = 0; copy < 2; copy += 1) {
            const order: Record<string, unknown> = { ...ORDER };
            work.push(codeOf(trade(nest(spoil(order)), { receiptId })));
            // Whoever holds the arguments changes them while they are judged.
            order["amount"] = 100;
            attempts += 1;
          }
        }
        await Promise.all(work);
        const where = `${kind}, ${nesting}`;
        expect(ran.length, where).toBeLessThanOrEqual(1);
        expect(
          ran.every(({ args }) => allowed(args)),
          where,
        ).toBe(true);
        runs += ran.length;
      }
    }
    expect(attempts).toBeGreaterThan(200);
    expect(runs).toBeGreaterThan(0);
  });

  test("run exactly as many of a kind as one purchase may have", async () => {
    const receiptId = await bought();
    const trade = trading({ spends: { kind: "trades", times: 3 } });
    const work = Array.from({ length: 12 }, () => codeOf(trade(ORDER, { receiptId })));
    expect((await Promise.all(work)).filter((code) => code === "ran")).toHaveLength(3);
    expect(ran).toHaveLength(3);
  });

  test("end at once when the owner stops all actions, also between check and call", async () => {
    const [first, second] = [await bought(), await bought()];
    const stop = (): Promise<unknown> => runCli(["--config", config, "guard", "stop", "--reason", "odd prices"]);
    const slow = {
      ...buyer,
      actions: {
        ...buyer.actions,
        claim: async (...given: Parameters<Buyer["actions"]["claim"]>) => (await stop(), buyer.actions.claim(...given)),
      },
    };
    expect(await codeOf(trading({ buyer: slow })(ORDER, { receiptId: first }))).toBe("guard_stopped");
    expect(await recordOf(first)).toEqual([]);
    expect(await codeOf(trading()(ORDER, { receiptId: second }))).toBe("guard_stopped");
    expect(ran).toEqual([]);
    const { stdout } = await runCli(["--config", config, "guard", "list"]);
    expect(stdout).toMatch(/^STOPPED since .* \("odd prices"\)/);
    expect((await runCli(["--config", config, "doctor"])).stdout).toContain("STOPPED since");
    expect((await runCli(["--config", config, "guard", "start"])).code).toBe(0);
    expect(await codeOf(trading()(ORDER, { receiptId: second }))).toBe("ran");
    expect(await codeOf(trading()(ORDER, { receiptId: first }))).toBe("ran");
  });
});

describe("kill -9", () => {
  /** A process that trades on a receipt, and is killed when it comes to a moment. Each trade is a line of a file. */
  const dying = async (receiptId: string, moment: string, effects: string): Promise<unknown[]> => {
    const script = `
      import { appendFileSync } from "node:fs";
      const [, built, database, receipt, moment, effects] = process.argv;
      const { openDatabase } = await import(built + "storage/database.js");
      const { createActions } = await import(built + "buyer/actions.js");
      const { guard } = await import(built + "guard/function.js");
      const die = (when) => when === moment && process.kill(process.pid, "SIGKILL");
      const db = await openDatabase(database);
      const { actions } = createActions({ db, clock: () => new Date(), config: { database } });
      const dies = (name) => async (...given) => {
        die("before " + name);
        const result = await actions[name](...given);
        die("after " + name);
        return result;
      };
      const buyer = {
        actions: { ...actions, claim: dies("claim"), end: dies("end") },
        getReceipt: async () => JSON.parse(receipt),
        verify: async () => (${JSON.stringify(verified)}),
        inputOf: () => ({}),
        answerOf: () => ({}),
      };
      const act = { name: "trade", run: () => (appendFileSync(effects, "traded\\n"), die("acting"), "traded") };
      const bind = () => true;
      const trade = guard(act, { buyer, assurance: "attested", maxAge: 1e9, bind, allowImported: true });
      await trade({}, { receiptId: JSON.parse(receipt).id }).catch(() => undefined);
      await db.destroy();
    `;
    const built = new URL("../../dist/src/", import.meta.url).href;
    const receipt = JSON.stringify(await buyer.getReceipt(receiptId));
    const args = ["--input-type=module", "--eval", script, built, database, receipt, moment, effects];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
    return (await once(child, "exit")) as unknown[];
  };
  const traded = async (effects: string): Promise<number> =>
    (await readFile(effects, "utf8").catch(() => "")).split("\n").length - 1;

  test("at each moment runs nothing twice, and leaves a record that can be decided", async () => {
    const moments = ["before claim", "after claim", "acting", "before end", "after end"];
    await Promise.all(
      moments.map(async (moment, at) => {
        const receiptId = await bought();
        const effects = join(folder, `effects-${at}`);
        expect(await dying(receiptId, moment, effects), moment).toEqual([null, "SIGKILL"]);
        const [record] = await recordOf(receiptId);
        const left = { "before claim": undefined, "after end": "done" };
        expect(record?.state, moment).toBe(moment in left ? left[moment as keyof typeof left] : "undecided");
        const before = await traded(effects);
        // The next process tries the same.
        expect(await dying(receiptId, "never", effects)).toEqual([0, null]);
        expect(await traded(effects), moment).toBe(record === undefined ? 1 : before);
        expect(await traded(effects)).toBeLessThanOrEqual(1);
        if (record?.state !== "undecided") return;
        const { code, stdout } = await runCli(
          [
            "--config",
            config,
            "--json",
            "guard",
            "settle",
            record.id,
            before === 0 ? "failed" : "done",
            "--note",
            "looked",
          ],
          { apart: true },
        );
        expect([code, JSON.parse(stdout)]).toMatchObject([0, { action: { decidedBy: "person", note: "looked" } }]);
        await dying(receiptId, "never", effects);
        expect(await traded(effects), moment).toBe(1);
      }),
    );
  });

  test("or not: of processes that race for one receipt one acts", async () => {
    const receiptId = await bought();
    const effects = join(folder, "effects-race");
    await Promise.all([1, 2, 3].map(() => dying(receiptId, "never", effects)));
    expect(await traded(effects)).toBe(1);
  });
});

describe("the command line", () => {
  test("lists and shows actions with the rules that let them run, in words", async () => {
    const receiptId = await bought();
    await trading()(ORDER, { receiptId });
    const [record] = await recordOf(receiptId);
    const listed = await runCli(["--config", config, "guard", "list", "--limit", "1"]);
    expect(listed.stdout).toContain(`${record?.id}  done: "trade"`);
    const shown = await runCli(["--config", config, "guard", "show", record?.id ?? ""]);
    expect(shown.stdout).toContain('argument "/amount" is at most answer "/most".');
    expect(shown.stdout).toContain("with assurance attested or more");
    const json = await runCli(["--config", config, "--json", "guard", "show", record?.id ?? ""]);
    expect(JSON.parse(json.stdout)).toMatchObject({ action: { id: record?.id }, requirement: { bind: BOUND } });
  });

  test("tells of an end that contradicts a decision, and lets no text steer the terminal", async () => {
    const receiptId = await bought();
    const steering = "\u009b2J\u202eold";
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const run = async (): Promise<string> => (await finished, `sold ${steering}`);
    const slow = guard({ name: `slow ${steering}`, run }, optionsOf({ bind: () => true }));
    const call = slow({ memo: steering }, { receiptId });
    await eventually(async () => expect(await recordOf(receiptId)).toMatchObject([{ state: "invoking" }]));
    const [record] = await recordOf(receiptId);
    const id = record?.id ?? "";
    const cli = (...words: string[]) => runCli(["--config", config, "guard", ...words]);
    await cli("settle", id, "failed", "--note", `looked ${steering}`, "--not-running");
    finish();
    expect(await call).toContain("sold");
    const shown = await cli("show", id);
    expect(shown.stdout).toContain("this CONTRADICTS it");
    const listed = await cli("list", "--limit", "1");
    expect(listed.stdout).toContain("(CONTRADICTED: it ended done after that was decided)");
    for (const { stdout } of [shown, listed]) {
      expect(stdout).toContain(String.raw`\u009b2J\u202eold`);
      expect(stdout).not.toMatch(/[\u0080-\u009f\u202e]/);
    }
    expect((await runCli(["--config", config, "audit"])).stdout).toContain(`Action ${id} ended otherwise`);
  });

  test("says why it decides nothing", async () => {
    const receiptId = await bought();
    await trading()(ORDER, { receiptId });
    const [record] = await recordOf(receiptId);
    const settle = (id: string, state: string): Promise<{ code: number | null; stdout: string }> =>
      runCli(["--config", config, "--json", "guard", "settle", id, state, "--note", "x"]);
    const results = [
      await settle(record?.id ?? "", "failed"),
      await settle("claim_none", "failed"),
      await settle(record?.id ?? "", "perhaps"),
      await runCli(["--config", config, "--json", "guard", "show", "claim_none"]),
      await runCli(["--config", config, "--json", "guard", "start"]),
    ].map(({ stdout }) => (JSON.parse(stdout) as { error: { code: string } }).error.code);
    expect(results).toEqual(["action_decided", "action_not_found", "usage", "action_not_found", "guard_not_stopped"]);
  });
});
