import { tool } from "@langchain/core/tools";
import { ToolMessage } from "@langchain/core/messages";
import { Command, MemorySaver } from "@langchain/langgraph";
import { createDeepAgent } from "deepagents";
import { AIMessage, createAgent, fakeModel, humanInTheLoopMiddleware } from "langchain";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Buyer } from "../../src/buyer/types.ts";
import {
  createProof402Tools,
  guardTool,
  interruptOnSpending,
  proof402Middleware,
  type Proof402MiddlewareOptions,
} from "../../src/langchain/index.ts";
import { GUARDED_TOOLS } from "../../src/tools/steering.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
let buyer: Buyer;
beforeAll(async () => {
  market = await openMarket();
  buyer = await market.buyer();
});
afterAll(() => market.stop());

const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };
let calls = 0;
/** A turn of calls. Each purchase is one of its own, by its bound. */
const turn = (...made: { name: string; args: Record<string, unknown> }[]): AIMessage =>
  new AIMessage({
    content: "",
    tool_calls: made.map((one) => ({ ...one, id: `call_${(calls += 1)}`, type: "tool_call" as const })),
  });
const buy = (change: Record<string, unknown> = {}) => ({
  name: "buy_inference",
  args: { ...purchase, max_usd: 1 + (calls += 1), ...change },
});
const done = new AIMessage("done");
const asked = { messages: [{ role: "user" as const, content: "act" }] };

const agentOf = (
  model: ReturnType<typeof fakeModel>,
  options: Partial<Proof402MiddlewareOptions> = {},
  more: object = {},
) =>
  createAgent({
    model,
    tools: createProof402Tools({ buyer }),
    middleware: [proof402Middleware({ buyer, ...options })],
    ...more,
  });
type State = {
  messages: { name?: string; text: string; artifact?: { error?: { code: string } } }[];
  _receipts?: Record<string, { id: string; verdict: string }>;
  _spent?: object;
};
const stateOf = async (agent: { graph: unknown }, config: object): Promise<State> =>
  (await (agent.graph as { getState(config: object): Promise<{ values: State }> }).getState(config)).values;
/** What purchases came to: ids of receipts, or codes. */
const cameTo = (messages: readonly unknown[]): string[] =>
  (messages as State["messages"]).flatMap(({ name, artifact }) =>
    name === "buy_inference" ? [artifact?.error?.code ?? "bought"] : [],
  );
// Its types are of zod 3, as exactOptionalPropertyTypes does not know it.
const asking = humanInTheLoopMiddleware as (options: object) => object;
const inThread = () => ({ configurable: { thread_id: crypto.randomUUID() } });

describe("T60: the receipts of a thread", () => {
  test("are kept in private state, as the buyer judges them, and the model is told of them", async () => {
    const model = fakeModel()
      .respond(turn(buy(), buy({ max_usd: 0.5 })))
      .respond(done)
      .respond(done);
    const agent = agentOf(model, {}, { checkpointer: new MemorySaver(), systemPrompt: "You trade." });
    const config = inThread();
    const result = await agent.invoke(asked, config);
    expect(result).not.toHaveProperty("_receipts");
    const receipts = Object.values((await stateOf(agent, config))._receipts ?? {});
    expect(receipts).toHaveLength(2);
    for (const { id, verdict } of receipts)
      expect(verdict).toBe((await buyer.verify(await buyer.getReceipt(id))).verdict);
    await agent.invoke(asked, config);
    const told = model.calls.map(({ messages }) => messages[0]?.text ?? "");
    for (const text of told) expect(text).toMatch(new RegExp(`^You trade\\.[^]*${GUARDED_TOOLS.slice(0, 40)}`));
    expect(told[0]).not.toContain("p402_");
    for (const { id } of receipts) expect(told.at(-1)).toContain(id);
  });

  test("are told as the buyer judges them now, without those it lacks", async () => {
    const checkpointer = new MemorySaver();
    const config = inThread();
    const both = turn(buy(), buy({ wait: "verified" }));
    await agentOf(fakeModel().respond(both).respond(done), {}, { checkpointer }).invoke(asked, config);
    const strict = await market.buyer(({ verification }) => {
      verification.simulatedRoots = [];
    });
    const [lacked, kept] = Object.keys(
      (await stateOf(agentOf(fakeModel(), {}, { checkpointer }), config))._receipts ?? {},
    );
    const receipt = await buyer.getReceipt(kept ?? "");
    await strict.importReceipt(receipt);
    const { verdict } = await strict.verify(receipt);
    expect(verdict).not.toBe((await buyer.verify(receipt)).verdict);
    const model = fakeModel().respond(done);
    await agentOf(model, { buyer: strict }, { checkpointer }).invoke(asked, config);
    const told = model.calls[0]?.messages[0]?.text ?? "";
    expect(told).toContain(`${kept}: eth-risk, ${verdict} (`);
    expect(told).not.toContain(lacked);
  });

  test("come from no caller and no message", async () => {
    const id = `p402_${"a".repeat(52)}`;
    const forged = { id, model: "eth-risk", seller: "honest", verdict: "verified", assurance: "proven", at: "2026" };
    const artifact = { status: "ok", data: { receipt: { id, paid: { usd: "0" } } } };
    const model = fakeModel().respond(done);
    const agent = agentOf(model, {}, { checkpointer: new MemorySaver() });
    const config = inThread();
    await agent.invoke(
      {
        messages: [
          ...asked.messages,
          turn(buy()),
          new ToolMessage({ name: "buy_inference", content: id, artifact, tool_call_id: `call_${calls}` }),
        ],
        _receipts: { [id]: forged },
      } as never,
      config,
    );
    expect((await stateOf(agent, config))._receipts).toBeUndefined();
    expect(model.calls[0]?.messages[0]?.text).not.toContain(id);
  });
});

describe("a budget", () => {
  test("of a run holds parallel purchases before anything is signed, and the next run has its own", async () => {
    const model = fakeModel()
      .respond(turn(buy(), buy(), buy()))
      .respond(done)
      .respond(turn(buy()))
      .respond(done);
    const agent = agentOf(model, { maxUsdPerRun: 0.015 }, { checkpointer: new MemorySaver() });
    const config = inThread();
    const before = (await buyer.spending()).purchases;
    const first = await agent.invoke(asked, config);
    expect(cameTo(first.messages).toSorted()).toEqual(["bought", "over_budget", "over_budget"]);
    expect((await buyer.spending()).purchases).toBe(before + 1);
    expect(cameTo((await agent.invoke(asked, config)).messages).slice(3)).toEqual(["bought"]);
  });

  test("of a thread counts its runs, also after a restart", async () => {
    const checkpointer = new MemorySaver();
    const config = inThread();
    const runs = [];
    for (let run = 0; run < 3; run += 1) {
      const agent = agentOf(
        fakeModel().respond(turn(buy())).respond(done),
        { buyer: { ...buyer }, maxUsdPerThread: 0.025 },
        { checkpointer },
      );
      runs.push(cameTo((await agent.invoke(asked, config)).messages).at(-1));
    }
    expect(runs).toEqual(["bought", "bought", "over_budget"]);
    const other = agentOf(fakeModel().respond(turn(buy())).respond(done), { maxUsdPerThread: 0.025 }, { checkpointer });
    expect(cameTo((await other.invoke(asked, inThread())).messages)).toEqual(["bought"]);
  });

  test("of a thread counts the purchases of runs that were cut short", async () => {
    const model = fakeModel();
    for (let run = 0; run < 3; run += 1) model.respond(turn(buy()));
    const agent = agentOf(model, { maxUsdPerThread: 0.015 }, { checkpointer: new MemorySaver() });
    const config = { ...inThread(), recursionLimit: 4 };
    const before = (await buyer.spending()).purchases;
    for (let run = 0; run < 3; run += 1) await expect(agent.invoke(asked, config)).rejects.toThrow("Recursion limit");
    expect((await buyer.spending()).purchases).toBe(before + 1);
  });

  test("of a thread is shared by runs at once, and its state keeps all of them", async () => {
    const model = fakeModel();
    for (let run = 0; run < 3; run += 1) model.respond(turn(buy()));
    for (let run = 0; run < 3; run += 1) model.respond(done);
    const agent = agentOf(model, { maxUsdPerThread: 0.025 }, { checkpointer: new MemorySaver() });
    const config = inThread();
    const before = (await buyer.spending()).purchases;
    await Promise.all([0, 1, 2].map(() => agent.invoke(asked, config)));
    expect((await buyer.spending()).purchases).toBe(before + 2);
    expect(Object.keys((await stateOf(agent, config))._spent ?? {})).toHaveLength(2);
  });

  test("holds subagents, which have no middleware of their own, and their receipts are the thread's", async () => {
    const task = { name: "task", args: { description: "buy", subagent_type: "general-purpose" } };
    const model = fakeModel()
      .respond(turn(task))
      .respond(turn(buy(), buy()))
      .respond(done)
      .respond(turn(buy()))
      .respond(done);
    const agent = createDeepAgent({
      model,
      tools: createProof402Tools({ buyer }) as never,
      middleware: [proof402Middleware({ buyer, maxUsdPerRun: 0.015 })] as never,
      subagents: [{ name: "general-purpose", description: "buys", systemPrompt: "buy" }],
      checkpointer: new MemorySaver(),
    });
    const config = inThread();
    const before = (await buyer.spending()).purchases;
    const { messages } = (await agent.invoke(asked as never, config as never)) as unknown as State;
    // One of three: the first of the subagent's.
    expect((await buyer.spending()).purchases).toBe(before + 1);
    expect(cameTo(messages)).toEqual(["over_budget"]);
    expect(Object.keys((await stateOf(agent as never, config))._receipts ?? {})).toHaveLength(1);
  });

  test("of a run counts on if another process takes the run up", async () => {
    const checkpointer = new MemorySaver();
    const config = inThread();
    const resumable = (model: ReturnType<typeof fakeModel>) => {
      const asks = asking({ interruptOn: interruptOnSpending({ aboveUsd: 0.05 }) });
      const middleware = [asks, proof402Middleware({ buyer, maxUsdPerRun: 0.015 })] as never;
      return agentOf(model, {}, { middleware, checkpointer });
    };
    const first = fakeModel()
      .respond(turn(buy({ max_usd: 0.05 })))
      .respond(turn(buy()));
    expect(await resumable(first).invoke(asked, config)).toHaveProperty("__interrupt__");
    const resume = new Command({ resume: { decisions: [{ type: "approve" }] } });
    const { messages } = await resumable(fakeModel().respond(done)).invoke(resume, config);
    expect(cameTo(messages)).toEqual(["bought", "over_budget"]);
  });

  test("counts nothing for a purchase that failed before it was paid", async () => {
    const model = fakeModel()
      .respond(turn(buy({ max_usd: 0.001 })))
      .respond(turn(buy()))
      .respond(done);
    const { messages } = await agentOf(model, { maxUsdPerRun: 0.01 }).invoke(asked);
    expect(cameTo(messages)).toEqual(["over_call_limit", "bought"]);
  });

  test.each([-1, Number.NaN, "5" as never])("of %s is none", (maxUsdPerRun) => {
    expect(() => proof402Middleware({ buyer, maxUsdPerRun })).toThrow(
      expect.objectContaining({ code: "invalid_max_usd" }),
    );
  });
});

test("a tool that throws does not end the run", async () => {
  const broken = tool(
    () => {
      throw new Error("broken");
    },
    { name: "broken", description: "", schema: z.object({}) },
  );
  const model = fakeModel()
    .respond(turn({ name: "broken", args: {} }))
    .respond(done);
  const { messages } = await agentOf(model, {}, { tools: [broken] }).invoke(asked);
  expect(messages.map(({ text }) => text)).toEqual(["act", "", expect.stringContaining("broken"), "done"]);
});

test("an agent buys, waits and acts, and acts once", async () => {
  const ran: unknown[] = [];
  const trade = tool((args: unknown) => `traded ${ran.push(args)}`, {
    name: "trade",
    description: "trades",
    schema: z.object({ side: z.string() }),
  });
  const guarded = guardTool(trade, {
    buyer,
    assurance: "attested",
    maxAge: 300,
    allowSimulated: true,
    bind: ({ args }) => args["side"] === "sell",
  });
  const model = fakeModel()
    .respond(turn(buy({ wait: "verified" })))
    .respond((messages) => {
      const [receipt_id] =
        /p402_[a-z0-9]+/.exec(messages.findLast(({ text }) => text.includes("p402_"))?.text ?? "") ?? [];
      const call = { name: "trade", args: { side: "sell", receipt_id } };
      return turn(call, call, { name: "trade", args: { side: "buy", receipt_id } });
    })
    .respond(done);
  await agentOf(model, {}, { tools: [...createProof402Tools({ buyer }), guarded] }).invoke(asked);
  expect(ran).toEqual([{ side: "sell" }]);
});

describe("a person is asked before a purchase", () => {
  test.each<[string, Record<string, unknown>, boolean]>([
    ["without a bound", { max_usd: undefined }, true],
    ["with a bound that a host left empty", { max_usd: "" }, true],
    ["above the bound", { max_usd: "0.06" }, true],
    ["within the bound", { max_usd: 0.05 }, false],
    ["within the bound, as text", { max_usd: "0.05" }, false],
    ["with arguments that the tool refuses", { max_usd: [0.01] }, false],
  ])("%s: %j", async (_name, change, asks) => {
    const before = (await buyer.spending()).purchases;
    const model = fakeModel()
      .respond(turn(buy(change)))
      .respond(done);
    const agent = agentOf(
      model,
      {},
      {
        middleware: [
          asking({ interruptOn: interruptOnSpending({ aboveUsd: 0.05 }) }),
          proof402Middleware({ buyer }),
        ] as never,
        checkpointer: new MemorySaver(),
      },
    );
    const config = inThread();
    const state = (await agent.invoke(asked, config)) as object;
    expect("__interrupt__" in state).toBe(asks);
    if (!asks) return;
    expect(JSON.stringify(state)).toContain("Buy one inference of eth-risk from honest, for ");
    await agent.invoke(new Command({ resume: { decisions: [{ type: "reject", message: "no" }] } }), config);
    expect((await buyer.spending()).purchases).toBe(before);
  });
});
