import { inspect, isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import type { GuardOptions } from "../../src/guard/requirement.ts";
import { buyWith } from "../support/buy.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import type { GuardAdapter, Ways } from "./adapters/adapter.ts";
import { aiSdk } from "./adapters/ai.ts";
import { plainFunction } from "./adapters/function.ts";
import { langchain } from "./adapters/langchain.ts";
import { mcp } from "./adapters/mcp.ts";
import { openaiAgents } from "./adapters/openai-agents.ts";
import { toolSchemas } from "./schemas.ts";

const ADAPTERS: readonly GuardAdapter[] = [plainFunction, langchain, aiSdk, openaiAgents, mcp];

/** Attempts that each adapter withstands. */
const ATTEMPTS = 231;

/** More than there are attempts: not every framework takes every schema. */
const pairs = fc.sample(toolSchemas, { numRuns: ATTEMPTS * 5, seed: 402 });

let market: Market;
let real: Buyer;
/** The same buyer, whose claims are made in memory: each attempt may use the receipt up. */
let buyer: Buyer;
let receiptId: string;
let failedId: string;
let meanwhile: () => void;
beforeAll(async () => {
  market = await openMarket();
  real = await market.buyer();
  // A receipt is judged once for all attempts: what differs between them is not in it.
  const appraisals = new Map<string, ReturnType<Buyer["verify"]>>();
  buyer = {
    ...real,
    verify: (receipt, bounds) => {
      const key = `${receipt.id} ${bounds?.assurance}`;
      const known = appraisals.get(key) ?? real.verify(receipt, bounds);
      appraisals.set(key, known);
      return known;
    },
    actions: {
      ...real.actions,
      claim: (id, action) => {
        meanwhile();
        if (claimed.has(id)) return Promise.resolve({ takenBy: [] });
        claimed.add(id);
        recorded.push(action.arguments.json);
        return Promise.resolve({ id: "claim_1", idempotencyKey: "key" });
      },
      begin: () => Promise.resolve(true),
      end: () => Promise.resolve(),
    },
  };
  const purchase = { model: "eth-risk", input: ETH_FEATURES, idempotencyKey: crypto.randomUUID() };
  receiptId = (await buyWith(real, { ...purchase, seller: "honest", wait: "verified" })).receipt.id;
  failedId = (await buyWith(real, { ...purchase, seller: "tampering", idempotencyKey: crypto.randomUUID() })).receipt
    .id;
});
afterAll(() => market.stop());

let claimed: Set<string>;
let judged: unknown[];
let ran: unknown[];
let recorded: string[];
beforeEach(begin);
function begin(): void {
  claimed = new Set();
  [judged, ran, recorded] = [[], [], []];
  meanwhile = () => undefined;
}

type Args = Record<string, unknown>;
/** What is wrong with a call, or odd. */
type Mischief = {
  name: string;
  args(own: Args): Args;
  options?: Partial<GuardOptions>;
  /** The call is odd only: the action may run, with what was judged. */
  mayRun?: true;
};
const proper = (own: Args): Args => ({ ...own, receipt_id: receiptId });
const without =
  (change: (own: Args) => Args) =>
  (own: Args): Args => ({ ...own, ...change(own) });

const MISCHIEF: readonly Mischief[] = [
  { name: "none", args: proper, mayRun: true },
  { name: "no receipt", args: (own) => own },
  { name: "an empty id", args: without(() => ({ receipt_id: "" })) },
  { name: "a list as id", args: without(() => ({ receipt_id: [receiptId] })) },
  { name: "an object as id", args: without(() => ({ receipt_id: { id: receiptId } })) },
  { name: "an unknown id", args: without(() => ({ receipt_id: `p402_${"a".repeat(52)}` })) },
  { name: "a foreign id", args: without(() => ({ receipt_id: `p402_${"b".repeat(52)}`, verdict: "verified" })) },
  { name: "a failed receipt", args: without(() => ({ receipt_id: failedId })) },
  { name: "an id with a space", args: without(() => ({ receipt_id: ` ${receiptId}` })) },
  { name: "the id in other letters", args: without(() => ({ receipt_id: receiptId.toUpperCase() })) },
  { name: "an alias: receiptId", args: without(() => ({ receiptId })) },
  { name: "an alias: receipt-id", args: without(() => ({ "receipt-id": receiptId, RECEIPT_ID: receiptId })) },
  { name: "the id in the arguments' arguments", args: without(() => ({ args: { receipt_id: receiptId } })) },
  {
    name: "the id in a prototype",
    args: (own) => Object.assign(Object.create({ receipt_id: receiptId }), own) as Args,
  },
  {
    name: "the arguments in a prototype",
    args: (own) => Object.assign(Object.create(own), { receipt_id: receiptId }) as Args,
    mayRun: true,
  },
  {
    name: "a prototype as a key",
    args: (own) => JSON.parse(`{"__proto__":{"action":"increase"},${JSON.stringify(proper(own)).slice(1)}`) as Args,
    mayRun: true,
  },
  {
    name: "a call in the call",
    args: (own) => ({ ...proper(own), type: "tool_call", args: proper({ action: "increase" }) }),
    mayRun: true,
  },
  {
    name: "a receipt and a word for it",
    args: without(() => ({ proof402: { verified: true }, _receipts: { [receiptId]: {} } })),
  },
  { name: "more keys", args: (own) => ({ ...proper(own), override: "increase", constructor: 1 }), mayRun: true },
  { name: "getters", args: (own) => shifting(proper(own)), mayRun: true },
  { name: "another model", args: proper, options: { models: ["another"] } },
  { name: "another seller", args: proper, options: { sellers: ["another"] } },
  { name: "too old", args: proper, options: { clock: () => new Date(Date.now() + 4_000_000) } },
  { name: "of the future", args: proper, options: { clock: () => new Date(Date.now() - 4_000_000) } },
  { name: "simulated hardware", args: proper, options: { allowSimulated: false } },
  { name: "too little assurance", args: proper, options: { assurance: "proven" } },
  { name: "other arguments", args: proper, options: { bind: () => false } },
  { name: "a bind with a reason", args: proper, options: { bind: () => "they differ" } },
  { name: "a bind that says something", args: proper, options: { bind: () => 1 as never } },
  { name: "a bind that promises", args: proper, options: { bind: () => Promise.resolve(true) as never } },
  {
    name: "a bind that throws",
    args: proper,
    options: {
      bind: () => {
        throw new Error("broken");
      },
    },
  },
  {
    name: "a bind that changes",
    args: proper,
    options: {
      bind: ({ args }) => {
        args["action"] = "increase";
        return true;
      },
    },
  },
  {
    name: "rules that do not hold",
    args: proper,
    options: { bind: { rules: [{ check: { answer: "/none" }, equals: { value: 1 } }] } },
  },
];

describe.each(ADAPTERS.map((adapter) => [adapter.name, adapter] as const))("T60: %s", (_name, adapter) => {
  test(`T60: run nothing that was not judged with exactly these arguments, in ${ATTEMPTS} attempts`, async () => {
    const runs = new Set<string>();
    let attempts = 0;
    for (const { schema, input } of pairs) {
      if (attempts === ATTEMPTS) break;
      const mischief = MISCHIEF[attempts % MISCHIEF.length]!;
      begin();
      const ways = await adapter.make(
        { name: "trade", schema, run: (args) => (ran.push(args), "traded") },
        options(mischief),
      );
      if (ways === null) continue;
      const [way, call] = wayOf(ways, attempts, mischief);
      const args = mischief.args(structuredClone(input));
      meanwhile = () => overwrite(args);
      await call(args).catch(() => undefined);
      const told = `${mischief.name}, by ${way}: ${inspect(ran)}`;
      expect(ran.length, told).toBeLessThanOrEqual(mischief.mayRun === true ? 1 : 0);
      attempts += 1;
      if (ran.length === 0) continue;
      runs.add(mischief.name);
      expect(
        judged.some((one) => (adapter.inProcess ? one === ran[0] : isDeepStrictEqual(one, ran[0]))),
        told,
      ).toBe(true);
      expect(isDeepFrozen(ran[0]) || !adapter.inProcess, told).toBe(true);
      expect(JSON.parse(recorded[0] ?? ""), told).toEqual(JSON.parse(JSON.stringify(ran[0], bigints)));
    }
    expect(attempts).toBe(ATTEMPTS);
    expect([...runs]).toEqual(expect.arrayContaining(["none", "getters"]));
  });

  test("run once, in each of their ways, what was judged", async () => {
    for (const [way, call] of Object.entries(await simple(adapter, options(MISCHIEF[0]!)))) {
      begin();
      await call({ side: "sell", receipt_id: receiptId }).catch(() => undefined);
      expect([way, ran, judged.length > 0]).toEqual([way, [{ side: "sell" }], true]);
    }
  });

  test("T53: acts once on one purchase, whatever calls at the same time", async () => {
    const spends = { kind: adapter.name.replaceAll(/\W/g, "-"), times: 1 };
    const ways = await simple(adapter, { ...options(MISCHIEF[0]!), buyer: real, spends });
    const calls = Object.values(ways).map((call) => call({ side: "sell", receipt_id: receiptId }));
    await Promise.allSettled(calls);
    expect(ran).toEqual([{ side: "sell" }]);
  });
});

const simple = async (adapter: GuardAdapter, guarding: GuardOptions): Promise<Ways> => {
  const schema = { type: "object", properties: { side: { type: "string" } }, additionalProperties: false } as never;
  return (await adapter.make({ name: "trade", schema, run: (args) => (ran.push(args), "traded") }, guarding)) ?? {};
};

/** By code and in the other ways by turns. What no wire carries is called by code. */
function wayOf(ways: Ways, attempt: number, { name }: Mischief): [string, Ways[string]] {
  const others = Object.keys(ways).filter((way) => way !== "code");
  // Each round meets other mischiefs by other ways.
  const turn = attempt + Math.floor(attempt / MISCHIEF.length);
  const isByCode = name === "getters" || turn % 3 > 0;
  const way = isByCode ? "code" : others[Math.floor(turn / 3) % others.length]!;
  return [way, ways[way]!];
}

const options = ({ options: change = {} }: Mischief): GuardOptions => ({
  buyer,
  assurance: "attested",
  maxAge: 3600,
  allowSimulated: true,
  ...change,
  bind:
    typeof change.bind === "object"
      ? change.bind
      : (call) => {
          judged.push(call.args);
          return typeof change.bind === "function" ? change.bind(call) : true;
        },
});

/** The same data, but each time a text is read it says something else. */
const shifting = (own: Args): Args => {
  let reads = 0;
  return new Proxy(own, {
    get: (target, at) => {
      const value: unknown = Reflect.get(target, at);
      return typeof value === "string" && at !== "receipt_id" ? `${value}${(reads += 1)}` : value;
    },
  });
};

function overwrite(holder: Args): void {
  for (const [name, value] of Object.entries(holder)) {
    if (typeof value === "object" && value !== null) overwrite(value as Args);
    else Reflect.set(holder, name, "changed");
  }
}

const bigints = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? { $bigint: value.toString() } : value;

const isDeepFrozen = (value: unknown): boolean =>
  typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(isDeepFrozen));
