import { isDeepStrictEqual } from "node:util";
import { DynamicStructuredTool, tool, type StructuredToolInterface, type ToolRuntime } from "@langchain/core/tools";
import { AIMessage, type ToolMessage } from "@langchain/core/messages";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { z as z3 } from "zod/v3";
import type { Buyer } from "../../src/buyer/types.ts";
import { fix, recordOf } from "../../src/guard/arguments.ts";
import type { GuardOptions } from "../../src/guard/requirement.ts";
import { guardTool } from "../../src/langchain/index.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { toolSchemas } from "./schemas.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
let receiptId: string;
/** A real buyer with one verified receipt, that lets itself be claimed any number of times. */
let buyer: Buyer;
/** What happens while the receipt is claimed, between the check and the action. */
let meanwhile: () => void;
beforeAll(async () => {
  market = await openMarket();
  const real = await market.buyer();
  buyer = {
    ...real,
    actions: {
      ...real.actions,
      claim: (_id, action) => {
        recorded.push(action.arguments.json);
        meanwhile();
        return Promise.resolve({ id: "claim_1", idempotencyKey: "key" });
      },
      end: () => Promise.resolve(),
    },
  };
  const bought = await buyWith(real, {
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    wait: "verified",
    idempotencyKey: crypto.randomUUID(),
  });
  receiptId = bought.receipt.id;
});
afterAll(() => market.stop());

let seen: unknown[];
let ran: unknown[];
let recorded: string[];
beforeEach(() => {
  [seen, ran, recorded] = [[], [], []];
  meanwhile = () => undefined;
});

const guarding = (schema: StructuredToolInterface["schema"], change: Partial<GuardOptions> = {}) =>
  guardTool(
    tool((args: unknown) => (ran.push(args), "traded"), {
      name: "trade",
      description: "trades",
      schema,
    } as never) as unknown as StructuredToolInterface,
    {
      buyer,
      assurance: "attested",
      maxAge: 3600,
      allowSimulated: true,
      bind: ({ args }) => seen.push(args) > 0,
      ...change,
    },
  );
const call = async (guarded: StructuredToolInterface, args: Record<string, unknown>): Promise<ToolMessage> =>
  (await guarded.invoke({ type: "tool_call", id: "c1", name: "trade", args })) as ToolMessage;
const codeOf = (message: ToolMessage): unknown =>
  (message.artifact as { error?: { code: unknown } } | undefined)?.error?.code;

const isDeepFrozen = (value: unknown): boolean =>
  typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(isDeepFrozen));

/** The same data, but each time it is read a key says something else. */
const shifting = (input: Record<string, unknown>, name: string): Record<string, unknown> => {
  let reads = 0;
  return new Proxy(input, {
    get: (target, at) => {
      const value: unknown = Reflect.get(target, at);
      return at === name && typeof value === "string" ? `${value}${(reads += 1)}` : value;
    },
  });
};

describe("T60: a guarded tool's function gets the very value that was judged", () => {
  test("T60: over every kind of schema, however the arguments come and whatever changes meanwhile", async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(toolSchemas, fc.boolean(), fc.boolean(), async ({ schema, input }, asCall, shifts) => {
        [seen, ran, recorded] = [[], [], []];
        const guarded = guarding(schema);
        const own = { ...structuredClone(input), receipt_id: receiptId };
        meanwhile = () => overwrite(own);
        const args = shifts ? shifting(own, Object.keys(input)[0] ?? "") : own;
        const work = asCall ? call(guarded, args) : guarded.invoke(args);
        // LangChain itself refuses some: what must not be is an action that was not judged.
        await work.catch(() => undefined);
        expect(ran.length).toBeLessThanOrEqual(1);
        if (ran.length === 0) return;
        runs += 1;
        expect(seen).toHaveLength(1);
        expect(ran[0]).toBe(seen[0]);
        expect(isDeepFrozen(ran[0])).toBe(true);
        expect(recorded).toHaveLength(1);
        expect(JSON.parse(recorded[0] ?? "")).toEqual(JSON.parse(JSON.stringify(ran[0], bigints)));
      }),
      { numRuns: 400 },
    );
    expect(runs).toBeGreaterThan(200);
  });

  const action = z.enum(["increase", "hold"]);
  const enumerated = { type: "string", enum: ["increase", "hold"] };
  const listing = { type: "object", properties: { action: enumerated }, required: ["action"] };
  const kinds: [string, StructuredToolInterface["schema"]][] = [
    ["z.object", z.object({ action })],
    ["z.looseObject", z.looseObject({ action })],
    ["a transformed object", z.looseObject({ action }).transform((read) => read)],
    ["a union", z.union([z.looseObject({ action }), z.looseObject({ other: z.string() })]) as never],
    ["an intersection", z.intersection(z.looseObject({ action }), z.looseObject({})) as never],
    ["zod 3 passthrough", z3.object({ action: z3.enum(["increase", "hold"]) }).passthrough() as never],
    ["JSON Schema", listing as never],
    ["JSON Schema by reference", { type: "object", allOf: [{ $ref: "#/$defs/a" }], $defs: { a: listing } } as never],
    ["JSON Schema, combined", { type: "object", allOf: [listing, { not: { required: ["never"] } }] } as never],
  ];

  test.each(kinds)("T60: keys that the schema does not name reach neither: %s", async (_name, schema) => {
    const message = await call(guarding(schema), {
      action: "hold",
      override: "increase",
      args: { action: "increase" },
      receipt_id: receiptId,
    });
    expect(message.text).toBe("traded");
    expect([seen, ran]).toEqual([[{ action: "hold" }], [{ action: "hold" }]]);
  });

  test("T60: nor nested ones", async () => {
    const order = { type: "object", properties: { side: { type: "string" }, legs: { type: "array", items: listing } } };
    await call(guarding({ type: "object", properties: { order } } as never), {
      order: { side: "buy", override: 1, legs: [{ action: "hold", override: 2 }] },
      receipt_id: receiptId,
    });
    expect(ran).toEqual([{ order: { side: "buy", legs: [{ action: "hold" }] } }]);
  });

  test("keys of records and of free data stay, and so do those of the alternative that takes them", async () => {
    const free = { any: { thing: [1, { of: "any" }] } };
    const schemas = [
      z.object({ value: z.record(z.string(), z.any()) }),
      z.object({ value: z.any() }),
      z.object({ value: z.union([z.object({ side: z.string() }), z.any()]) }),
      z3.object({ value: z3.record(z3.any()) }),
      { type: "object", properties: { value: { type: "object" } } },
      { type: "object", properties: { value: { type: "object", patternProperties: { "^a": {} } } } },
      { type: "object", properties: { value: { type: "object", additionalProperties: { type: "object" } } } },
    ];
    for (const schema of schemas) await call(guarding(schema as never), { value: free, receipt_id: receiptId });
    expect(ran).toEqual(schemas.map(() => ({ value: free })));
  });

  test("T60: a call nested in the arguments is refused, in a graph and out of one", async () => {
    for (const [, schema] of kinds) {
      const guarded = guarding(schema);
      const nested = { receipt_id: receiptId, action: "hold", type: "tool_call", args: { action: "increase" } };
      const evil = { type: "tool_call", args: nested };
      const message = new AIMessage({
        content: "",
        tool_calls: [{ name: "trade", args: evil, id: "c1", type: "tool_call" }],
      });
      const out = (await new ToolNode([guarded]).invoke({ messages: [message] })) as { messages: ToolMessage[] };
      expect(out.messages.at(-1)?.status).toBe("error");
      expect(codeOf(await call(guarded, evil))).toBe("invalid_input");
    }
    expect(ran).toEqual([]);
  });

  test("T60: fields of the tool's own by the names of a call are the tool's", async () => {
    const schema = z.object({ nested: z.object({ type: z.string(), args: z.object({ action }) }) });
    const flat = z.string().transform(() => ({ type: "tool_call", id: "other", args: { action: "increase" } }));
    await call(guarding(schema), { nested: { type: "tool_call", args: { action: "hold" } }, receipt_id: receiptId });
    const message = await call(guarding(z.object({ a: flat }).transform(({ a }) => a)), {
      a: "x",
      receipt_id: receiptId,
    });
    expect(message.tool_call_id).toBe("c1");
    expect(ran).toEqual([
      { nested: { type: "tool_call", args: { action: "hold" } } },
      { type: "tool_call", id: "other", args: { action: "increase" } },
    ]);
    expect(seen).toEqual(ran);
  });

  test("T60: what the schema's code keeps hold of and changes later", async () => {
    const kept = { side: "hold" };
    meanwhile = () => (kept.side = "increase");
    const schema = z.object({ id: z.string().transform(() => kept) });
    await call(guarding(schema), { id: "o1", receipt_id: receiptId });
    expect(ran).toEqual([{ id: { side: "hold" } }]);
  });

  test("T60: a bind that would change them cannot", async () => {
    const change = ({ args }: { args: Record<string, unknown> }): boolean => {
      args["action"] = "increase";
      return true;
    };
    expect(
      codeOf(await call(guarding(z.object({ action }), { bind: change }), { action: "hold", receipt_id: receiptId })),
    ).toBe("guard_error");
    expect(ran).toEqual([]);
  });

  test.each([
    ["a date", z.string().transform((at) => new Date(at))],
    ["a map", z.string().transform(() => new Map([["a", 1]]))],
    ["a class instance", z.string().transform((at) => new URL(`https://a.example/${at}`))],
    ["a function", z.string().transform((at) => () => at)],
    ["no number", z.string().transform(() => Number.NaN)],
    ["a hole", z.string().transform(() => [undefined])],
    ["a ring", z.string().transform(() => ring())],
    ["a prototype", z.string().transform(() => JSON.parse(`{"__proto__":{"side":"increase"}}`) as unknown)],
    ["a lone surrogate", z.string().transform(() => "\ud800")],
    ["too much", z.string().transform(() => "a".repeat(1_000_001))],
    ["too many", z.string().transform(() => Array.from({ length: 100_001 }, () => 1))],
  ])("what cannot be held fixed is refused, and uses nothing up: %s", async (_name, at) => {
    const message = await call(guarding(z.object({ at })), { at: "2026", receipt_id: receiptId });
    expect(codeOf(message)).toBe("guard_arguments");
    expect([seen, ran, recorded]).toEqual([[], [], []]);
  });

  test("what a caller gives that is no plain data is refused before the schema's code sees it", async () => {
    let looks = 0;
    const schema = z.object({ at: z.any().transform(() => (looks += 1)) });
    expect(codeOf(await call(guarding(schema), { at: new Date(), receipt_id: receiptId }))).toBe("guard_arguments");
    expect([looks, ran]).toEqual([0, []]);
  });
});

describe("the tool behind a guard", () => {
  test("finds the judged call in its runtime, and no other", async () => {
    const calls: unknown[] = [];
    const inner = tool((_args: unknown, runtime: ToolRuntime) => void calls.push(runtime.toolCall), {
      name: "trade",
      description: "trades",
      schema: z.object({ action: z.string() }),
    });
    const guarded = guardTool(inner, {
      buyer,
      assurance: "attested",
      maxAge: 3600,
      allowSimulated: true,
      bind: () => true,
    });
    await call(guarded, { action: "hold", other: 1, receipt_id: receiptId });
    expect(calls).toEqual([{ type: "tool_call", id: "c1", name: "trade", args: { action: "hold" } }]);
  });

  test("keeps callbacks, artifacts and private state", async () => {
    class Counter extends DynamicStructuredTool {
      readonly #count = { value: 0 };
      protected override _call(): Promise<[string, number]> {
        this.#count.value += 1;
        return Promise.resolve(["counted", this.#count.value]);
      }
    }
    const started: unknown[] = [];
    const inner = new Counter({
      name: "trade",
      description: "counts",
      schema: z.object({ action: z.string() }),
      responseFormat: "content_and_artifact",
      func: () => Promise.resolve(["never", 0]),
      callbacks: [{ handleToolStart: (_tool: unknown, input: unknown) => void started.push(input) }],
    });
    const guarded = guardTool(inner, {
      buyer,
      assurance: "attested",
      maxAge: 3600,
      allowSimulated: true,
      bind: () => true,
    });
    const message = await call(guarded, { action: "hold", receipt_id: receiptId });
    expect([message.text, message.artifact, message.tool_call_id]).toEqual(["counted", 1, "c1"]);
    expect(started).toEqual([JSON.stringify({ action: "hold" })]);
  });

  test("may have a schema that holds itself", async () => {
    type Tree = { side: string; legs: Tree[] };
    const tree: z.ZodType<Tree> = z.object({ side: z.string(), legs: z.lazy(() => z.array(tree)) });
    const args = { side: "buy", legs: [{ side: "sell", legs: [], override: 1 }] };
    await call(guarding(tree as never), { ...args, receipt_id: receiptId });
    expect(ran).toEqual([{ side: "buy", legs: [{ side: "sell", legs: [] }] }]);
  });

  test("has to be one whose function can be called", () => {
    const wrapped = { name: "w", description: "", schema: z.object({}), invoke: () => "ran" };
    expect(() => guardTool(wrapped as never, { buyer, assurance: "attested", maxAge: 1, bind: () => true })).toThrow(
      expect.objectContaining({ code: "guard_tool" }),
    );
  });
});

function overwrite(holder: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(holder)) {
    if (typeof value === "object" && value !== null) overwrite(value as Record<string, unknown>);
    else holder[name] = "changed";
  }
}

test("T60: no two arguments share a record: a bigint and an object that is written like one", () => {
  const part = fc.oneof(fc.bigInt(), fc.string(), fc.constant(null));
  const key = fc.constantFrom("$bigint", "$$bigint", "bigint", "$x");
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: "small" }, part, fc.dictionary(key, tie("value"), { maxKeys: 2 })),
  }));
  fc.assert(
    fc.property(value, value, (one, other) => {
      const same = isDeepStrictEqual(fix(one), fix(other));
      expect(recordOf(fix(one)).sha256 === recordOf(fix(other)).sha256).toBe(same);
    }),
    {
      numRuns: 1000,
      examples: [
        [5n, { $bigint: "5" }],
        [{ $bigint: "5" }, { $$bigint: "5" }],
        [{ $bigint: 5n }, { $$bigint: { $bigint: "5" } }],
      ],
    },
  );
});

const bigints = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? { $bigint: value.toString() } : value;

function ring(): unknown {
  const one: Record<string, unknown> = {};
  one["self"] = one;
  return one;
}
