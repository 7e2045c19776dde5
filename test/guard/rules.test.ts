import { beforeEach, describe, expect, test } from "vitest";
import type { ActionRequest, Actions } from "../../src/buyer/action-types.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { Proof402Error } from "../../src/errors.ts";
import { runGuarded, type GuardedTool } from "../../src/guard/guard.ts";
import { checkOptions, readRequirement, type BindFunction, type GuardOptions } from "../../src/guard/requirement.ts";
import { signedAt } from "../../src/guard/signed-time.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Evidence } from "../../src/receipts/schema.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";

const core = receiptCore();
const RECEIVED = Date.parse(core.response.receivedAt);
/** A signed time has whole seconds. */
const SIGNED = RECEIVED - 250;
for (const one of core.evidence) if (one.kind === "signature.tee") Object.assign(one, { timestamp: SIGNED / 1000 });
const receipt = createReceipt(core);
const judgedAs = (changes: Partial<Appraisal> = {}): Appraisal =>
  appraisal({ verdict: "verified", assurance: "attested", simulated: false, ...changes });

let judged: Appraisal;
let claimed: { id: string; action: ActionRequest }[];
let begun: string[];
let ended: { state: string; outcome: string }[];
/** A buyer that a caller wrote: whose receipt is judged as a test says, and whose claims a test sees. */
let buyer: Partial<Omit<Buyer, "actions">> & { actions: Partial<Actions> };
beforeEach(() => {
  [judged, claimed, begun, ended] = [judgedAs(), [], [], []];
  buyer = {
    getReceipt: () => Promise.resolve(receipt),
    verify: () => Promise.resolve(judged),
    inputOf: () => ({ asked: 1 }),
    answerOf: () => ({ said: 2 }),
    actions: {
      moment: () => Promise.resolve(0),
      claim: (id, action, { begins = false } = {}) => {
        claimed.push({ id, action });
        if (begins) begun.push(id);
        return Promise.resolve({ id: "claim_1", idempotencyKey: "key" });
      },
      end: (_id, end) => Promise.resolve(void ended.push(end)),
    },
  };
});

const optionsOf = (changes: Partial<GuardOptions> = {}): GuardOptions => ({
  buyer: buyer as unknown as Buyer,
  assurance: "attested",
  maxAge: 3600,
  bind: () => true,
  clock: () => new Date(RECEIVED),
  ...changes,
});
const toolOf = (run: () => unknown, changes: Partial<GuardedTool> = {}): GuardedTool => ({
  name: "trade",
  schema: { type: "object", properties: { amount: { type: "number" } } },
  read: (value) => Promise.resolve({ value }),
  run: () => Promise.resolve().then(run),
  outcomeOf: (result) => result,
  ...changes,
});
/** What became of a call: the code of its refusal, or `ran`. */
async function became(
  changes: Partial<GuardOptions> = {},
  more: { tool?: Partial<GuardedTool>; input?: unknown; signal?: AbortSignal } = {},
): Promise<string> {
  let ran = 0;
  const input = more.input ?? { receipt_id: receipt.id, amount: 5 };
  const tool = toolOf(() => (ran += 1), more.tool);
  const ending = await runGuarded(tool, readRequirement(optionsOf(changes)), input, more.signal);
  expect(ran).toBe("result" in ending ? 1 : 0);
  expect([claimed.length, begun.length].every((count) => count >= ran)).toBe(true);
  return "result" in ending ? "ran" : ending.error.code;
}

describe("a guard is refused", () => {
  test.each<[string, object]>([
    ["assurance", { assurance: "none" }],
    ["assurance", { assurance: "atested" }],
    ["maxAge", { maxAge: 0 }],
    ["maxAge", { maxAge: -1 }],
    ["maxAge", { maxAge: Number.NaN }],
    ["maxAge", { maxAge: Infinity }],
    ["maxAge", { maxAge: "60" }],
    ["bind", { bind: true }],
  ])("for its %s: %j", (field, option) => {
    const wrong = { code: "guard_options", message: expect.stringContaining(`${field} of a guard`) as string };
    expect(() => checkOptions(optionsOf(option))).toThrow(expect.objectContaining(wrong));
  });

  test("for nothing else", () => {
    for (const assurance of ["signed", "attested", "proven"] as const)
      expect(() => checkOptions(optionsOf({ assurance, maxAge: 0.5 }))).not.toThrow();
  });
});

describe("an action runs", () => {
  test("once its receipt is judged and claimed, with the arguments that bind saw", async () => {
    const seen: unknown[] = [];
    const seeing: BindFunction = (call) => seen.push(call) > 0;
    expect(await became({ bind: seeing })).toBe("ran");
    expect(seen).toEqual([{ args: { amount: 5 }, input: { asked: 1 }, answer: { said: 2 }, receipt }]);
    expect(claimed).toEqual([
      {
        id: receipt.id,
        action: {
          tool: "trade",
          arguments: expect.objectContaining({ json: '{"amount":5}' }) as object,
          requirement: readRequirement(optionsOf({ bind: seeing })).record,
          spends: "once",
          allowImported: false,
        },
      },
    ]);
  });

  test("and not again where the claim is not given", async () => {
    buyer.actions.claim = () => Promise.resolve({ takenBy: [] });
    expect(await became()).toBe("receipt_consumed");
  });

  test.each<[string, Partial<Appraisal>, string]>([
    ["a pending one", { verdict: "pending" }, "receipt_pending"],
    ["an unverified one", { verdict: "unverified" }, "receipt_not_verified"],
    ["a failed one", { verdict: "failed" }, "receipt_not_verified"],
    ["one of less assurance", { assurance: "signed" }, "receipt_not_verified"],
    ["one of more assurance", { assurance: "proven" }, "ran"],
    ["one of simulated hardware", { simulated: true }, "receipt_simulated"],
  ])("by its receipt, not by %s", async (_name, changes, code) => {
    judged = judgedAs(changes);
    expect(await became()).toBe(code);
    expect(claimed).toHaveLength(code === "ran" ? 1 : 0);
  });

  test("by a receipt of simulated hardware only where that is allowed", async () => {
    judged = judgedAs({ simulated: true });
    expect(await became({ allowSimulated: true })).toBe("ran");
    expect(await became({ allowSimulated: false })).toBe("receipt_simulated");
  });

  test.each([
    [0, "ran"],
    [-1, "receipt_of_future"],
    [3_600_000, "ran"],
    [3_600_001, "receipt_too_old"],
  ])("where its answer was signed %i ms ago: %s", async (age, code) => {
    expect(await became({ clock: () => new Date(SIGNED + age) })).toBe(code);
  });

  test("where it was signed in time by the clock of this machine", async () => {
    const { evidence: _none, ...rest } = core;
    const fresh = { ...core.response, receivedAt: new Date().toISOString() };
    buyer.getReceipt = () => Promise.resolve(createReceipt({ ...rest, response: fresh, evidence: [] }));
    const { clock: _clock, ...options } = optionsOf();
    const ending = await runGuarded(
      toolOf(() => "sold"),
      readRequirement(options),
      { receipt_id: receipt.id },
    );
    expect(ending).toEqual({ result: "sold" });
  });

  test("by the time of receipt where no verified key signed one", async () => {
    judged = judgedAs({ assurance: "proven" });
    expect(await became({ clock: () => new Date(RECEIVED + 3_600_000) })).toBe("ran");
    expect(await became({ clock: () => new Date(RECEIVED + 3_600_001) })).toBe("receipt_too_old");
    expect(await became({ clock: () => new Date(RECEIVED - 1) })).toBe("receipt_of_future");
  });

  test.each<[string, GuardOptions["bind"], string]>([
    ["no", () => false, "receipt_not_bound"],
    ["why not", () => "the side differs", "receipt_not_bound"],
    ["yes in its own way", () => 1 as unknown as boolean, "receipt_not_bound"],
    [
      "nothing, and throws",
      () => {
        throw new Error("bind broke");
      },
      "guard_error",
    ],
  ])("where bind says yes, not where it says %s", async (_name, bind, code) => {
    expect(await became({ bind })).toBe(code);
    expect(claimed).toEqual([]);
  });

  test("where bind answers at once: a promise is no yes, and its rejection ends nothing", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): unknown => unhandled.push(reason);
    process.on("unhandledRejection", note);
    for (const later of [() => Promise.resolve(true), () => Promise.reject(new Error("no line"))]) {
      const bind = later as unknown as BindFunction;
      expect(await became({ bind })).toBe("guard_error");
    }
    await new Promise(setImmediate);
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
    expect(claimed).toEqual([]);
    const later = async (): Promise<boolean> => {
      await Promise.resolve();
      return true;
    };
    const bind = later as unknown as BindFunction;
    expect(() => checkOptions(optionsOf({ bind }))).toThrow(expect.objectContaining({ code: "guard_options" }));
  });

  test("with what the schema takes", async () => {
    expect(await became({}, { tool: { read: () => Promise.resolve(null) } })).toBe("invalid_input");
    expect(await became({}, { input: { receipt_id: receipt.id, amount: Number.NaN } })).toBe("guard_arguments");
  });

  test("while somebody waits for it", async () => {
    expect(await became({}, { signal: AbortSignal.abort() })).toBe("aborted");
    expect(claimed).toEqual([]);
    expect(await became({}, { signal: new AbortController().signal })).toBe("ran");
  });

  test("by what is known of it as it begins: what changed since it was judged is judged again", async () => {
    const { claim } = buyer.actions;
    const held: boolean[] = [];
    let late = 0;
    buyer.actions.claim = (id, request, options) => {
      held.push(options?.judged?.holds() === true);
      if (held.length > 1) return claim?.(id, request, options) ?? Promise.reject(new Error("no claim"));
      judged = judgedAs({ verdict: "failed" });
      return Promise.resolve({ changed: true });
    };
    expect(await became()).toBe("receipt_not_verified");
    judged = judgedAs();
    held.length = 0;
    // Waiting for the database took longer than the answer may be old.
    buyer.actions.claim = (_id, _request, options) => {
      late = 3_601_000;
      held.push(options?.judged?.holds() === true);
      return Promise.resolve({ changed: true });
    };
    expect(await became({ clock: () => new Date(RECEIVED + late) })).toBe("receipt_too_old");
    expect([held, claimed]).toEqual([[false], []]);
  });

  test.each([
    [
      "a generator",
      function* () {
        yield 1;
      },
    ],
    [
      "an async generator",
      async function* () {
        yield await Promise.resolve(1);
      },
    ],
    ["a stream", () => new ReadableStream()],
  ])("and is undecided if it returned %s: that acts as it is read", async (_what, make) => {
    expect(await became({}, { tool: { run: () => Promise.resolve(make()) } }).catch(() => "ran")).toBe("ran");
    expect(ended).toMatchObject([{ state: "undecided" }]);
  });

  test("by a receipt that there is", async () => {
    const asked: string[] = [];
    buyer.getReceipt = (id) => {
      asked.push(id);
      throw new Proof402Error("receipt_not_found", "There is none.", { next: "Buy." });
    };
    expect(await became({}, { input: { receipt_id: 5 } })).toBe("receipt_not_found");
    expect(await became({}, { input: { receipt_id: "one" } })).toBe("receipt_not_found");
    expect(asked).toEqual(["", "one"]);
  });

  test("by an imported receipt only where that is allowed and a key signed its time", async () => {
    const allowed = async (allowImported: boolean, changes: Partial<Appraisal>): Promise<boolean | undefined> => {
      judged = judgedAs(changes);
      expect(await became({ allowImported })).toBe("ran");
      return claimed.at(-1)?.action.allowImported;
    };
    expect(await allowed(true, {})).toBe(true);
    expect(await allowed(false, {})).toBe(false);
    expect(await allowed(true, { assurance: "proven" })).toBe(false);
  });
});

describe("an action's end is kept", () => {
  const endOf = async (run: () => unknown): Promise<unknown> => {
    await runGuarded(toolOf(run), readRequirement(optionsOf()), { receipt_id: receipt.id }).catch(() => undefined);
    return ended.at(-1);
  };
  const thrower = (what: unknown) => () => {
    throw what;
  };
  const circular: unknown[] = [];
  circular.push(circular);

  test.each<[string, () => unknown, { state: string; outcome: string }]>([
    ["text", () => "sold", { state: "done", outcome: "sold" }],
    ["data", () => ({ sold: 5 }), { state: "done", outcome: '{"sold":5}' }],
    ["nothing", () => undefined, { state: "done", outcome: "" }],
    ["what has no JSON form", () => circular, { state: "done", outcome: "The result has no JSON form." }],
    ["a thousand characters", () => "a".repeat(1001), { state: "done", outcome: "a".repeat(1000) }],
    ["whole characters", () => `${"a".repeat(999)}\u{1f600}`, { state: "done", outcome: `${"a".repeat(999)}\ufffd` }],
    ["an error", thrower(new TypeError("no market")), { state: "undecided", outcome: "TypeError: no market" }],
    ["something thrown", thrower("no market"), { state: "undecided", outcome: "The tool threw." }],
  ])("with %s", async (_name, run, end) => {
    expect(await endOf(run)).toEqual(end);
  });

  test("and what the tool throws is thrown on", async () => {
    const broke = new Error("no market");
    await expect(
      runGuarded(toolOf(thrower(broke)), readRequirement(optionsOf()), { receipt_id: receipt.id }),
    ).rejects.toBe(broke);
  });

  test("or not, and the result is handed on all the same", async () => {
    buyer.actions.end = () => Promise.reject(new Error("the disk is full"));
    const call = runGuarded(
      toolOf(() => "sold"),
      readRequirement(optionsOf()),
      { receipt_id: receipt.id },
    );
    expect(await call).toEqual({ result: "sold" });
  });
});

test("a time is signed by a key that was verified, or not at all", () => {
  const passed = structuredClone(judgedAs({ assurance: "proven" }));
  passed.layers.response = { status: "pass", code: "ok", note: "" };
  const unsigned: { core: { evidence?: readonly Evidence[] } }[] = [{ core: {} }, { core: { evidence: [] } }];
  expect(signedAt(receipt, judgedAs())).toBe(SIGNED);
  expect(signedAt(receipt, judgedAs({ assurance: "proven" }))).toBe(null);
  expect(signedAt(receipt, passed)).toBe(SIGNED);
  for (const one of unsigned) for (const by of [judgedAs(), passed]) expect(signedAt(one, by)).toBe(null);
});
