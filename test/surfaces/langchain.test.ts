import type { ToolMessage } from "@langchain/core/messages";
import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { Command, MemorySaver } from "@langchain/langgraph";
import { AIMessage, createAgent, createMiddleware, fakeModel, type HITLRequest, type HITLResponse } from "langchain";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Buyer } from "../../src/buyer/types.ts";
import { createProof402Tools, guardTool } from "../../src/langchain/index.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
let buyer: Buyer;
beforeAll(async () => {
  market = await openMarket();
  buyer = await market.buyer();
});
afterAll(() => market.stop());

const calling = (name: string, args: Record<string, unknown>, id: string = crypto.randomUUID()): AIMessage =>
  new AIMessage({ content: "", tool_calls: [{ name, args, id, type: "tool_call" }] });
const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };
const named = (messages: readonly unknown[], name: string): ToolMessage[] =>
  (messages as ToolMessage[]).filter((m) => m.name === name);

async function verifiedReceipt(one: Buyer = buyer): Promise<string> {
  const result = await buyWith(one, { ...purchase, wait: "verified", idempotencyKey: crypto.randomUUID() });
  expect(result.appraisal.verdict).toBe("verified");
  return result.receipt.id;
}

describe("an agent", () => {
  test("gets text for the model and the structured result as artifact", async () => {
    const model = fakeModel().respond(calling("buy_inference", purchase)).respond(new AIMessage("done"));
    const agent = createAgent({ model, tools: createProof402Tools({ buyer }) });
    const { messages } = await agent.invoke({ messages: [{ role: "user", content: "buy" }] });
    const [message] = named(messages, "buy_inference");
    expect(message?.status).not.toBe("error");
    expect(message?.text).toContain("p402_");
    expect(message?.artifact).toMatchObject({ status: "ok", data: { paidNow: true } });
  });

  test("reads a refusal as an error message and goes on, also with middleware around its tools", async () => {
    const passing = createMiddleware({ name: "passing", wrapToolCall: (request, handler) => handler(request) });
    const model = fakeModel()
      .respond(calling("buy_inference", { ...purchase, seller: "nobody" }))
      .respond(new AIMessage("understood"));
    const agent = createAgent({ model, tools: createProof402Tools({ buyer }), middleware: [passing] });
    const { messages } = await agent.invoke({ messages: [{ role: "user", content: "buy" }] });
    const [message] = named(messages, "buy_inference");
    expect(message?.status).toBe("error");
    expect(message?.artifact).toMatchObject({
      status: "error",
      error: { code: "seller_not_found", money: "not-moved" },
    });
    expect(messages.at(-1)?.text).toBe("understood");
  });

  test("writes its arguments as hosts do and gets what they mean, for one payment a call", async () => {
    const optional = { assurance: null, max_usd: "0.05", wait: "", idempotency_key: null };
    const args = { ...purchase, ...optional, input: JSON.stringify(ETH_FEATURES), reason: "the user asked" };
    const buy = createProof402Tools({ buyer })[1];
    const call = (given: Record<string, unknown>) =>
      buy.invoke(
        { type: "tool_call", id: "call_host", name: "buy_inference", args: given },
        { configurable: { thread_id: "host" } },
      ) as Promise<ToolMessage>;
    expect((await call(args)).artifact).toMatchObject({ status: "ok", data: { paidNow: true } });
    // Another remark is no other call.
    expect((await call({ ...args, reason: "once more" })).artifact).toMatchObject({ data: { paidNow: false } });
  });

  test.each([{ model: 7 }, { ...purchase, maxUsd: 0.01 }])(
    "gets arguments that do not fit back with code and money, also with middleware: %j",
    async (args) => {
      const passing = createMiddleware({ name: "passing", wrapToolCall: (request, handler) => handler(request) });
      for (const middleware of [[], [passing]]) {
        const before = (await buyer.spending()).callsLastHour;
        const model = fakeModel()
          .respond(calling("buy_inference", args, "c1"))
          .respond(new AIMessage("understood"));
        const agent = createAgent({ model, tools: createProof402Tools({ buyer }), middleware });
        const { messages } = await agent.invoke({ messages: [{ role: "user", content: "buy" }] });
        const [message] = named(messages, "buy_inference");
        expect(message).toMatchObject({
          status: "error",
          tool_call_id: "c1",
          artifact: { status: "error", error: { code: "invalid_input", money: "not-moved" } },
        });
        expect(message?.text).toContain("No money moved");
        expect(messages.at(-1)?.text).toBe("understood");
        expect((await buyer.spending()).callsLastHour).toBe(before);
      }
    },
  );

  test("that calls again with the same thread, call id and arguments does not pay again", async () => {
    const tools = createProof402Tools({ buyer });
    const buy = tools.find((one) => one.name === "buy_inference");
    const call = { type: "tool_call" as const, id: "call_1", name: "buy_inference", args: purchase };
    const config = { configurable: { thread_id: crypto.randomUUID() } };
    const first = (await buy?.invoke(call, config)) as ToolMessage;
    const second = (await buy?.invoke(call, config)) as ToolMessage;
    const other = (await buy?.invoke(call, { configurable: { thread_id: crypto.randomUUID() } })) as ToolMessage;
    expect(first.artifact).toMatchObject({ data: { paidNow: true } });
    expect(second.artifact).toMatchObject({ data: { paidNow: false } });
    expect(second.text).toMatch(
      /Nothing was paid in this call: it gives the stored result of the earlier one with the key \S+\./,
    );
    expect(other.artifact).toMatchObject({ data: { paidNow: true } });
  });
});

describe("a guarded tool", () => {
  let runs: string[];
  let trade: StructuredToolInterface;
  const options = () => ({
    buyer,
    assurance: "attested" as const,
    maxAge: 300,
    allowSimulated: true,
    bind: ({ args, answer }: { args: Record<string, unknown>; answer: Record<string, unknown> }) =>
      (args["action"] === "hold") === (JSON.stringify(answer["class"]) === "[1]" || answer["class"] === 1) ||
      "class and action differ",
  });
  beforeEach(() => {
    runs = [];
    trade = tool(
      ({ action }: { action: string }) => {
        runs.push(action);
        return `traded ${action}`;
      },
      { name: "execute_trade", description: "trades", schema: z.strictObject({ action: z.string() }) },
    );
  });
  const invoke = async (guarded: StructuredToolInterface, args: Record<string, unknown>) =>
    (await guarded.invoke({ type: "tool_call", id: crypto.randomUUID(), name: guarded.name, args })) as ToolMessage;
  const codeOf = (message: ToolMessage): unknown =>
    (message.artifact as { error?: { code: unknown } } | undefined)?.error?.code;

  test("runs with a verified receipt that justifies its arguments, once", async () => {
    const guarded = guardTool(trade, options());
    const id = await verifiedReceipt();
    expect((await invoke(guarded, { action: "hold", receipt_id: id })).text).toBe("traded hold");
    expect(codeOf(await invoke(guarded, { action: "hold", receipt_id: id }))).toBe("receipt_consumed");
    expect(runs).toEqual(["hold"]);
  });

  test("judges and runs with the arguments as its schema means them, whatever form a host gave them", async () => {
    const judged: unknown[] = [];
    const ran: unknown[] = [];
    const order = tool(
      (args: unknown) => {
        ran.push(args);
        return "ordered";
      },
      {
        name: "order",
        description: "orders",
        schema: z.object({ amount: z.number(), at: z.object({ limit: z.number() }), note: z.string().optional() }),
      },
    );
    const bind = ({ args }: { args: Record<string, unknown> }): boolean => judged.push(args) > 0;
    const guarded = guardTool(order, { ...options(), bind });
    const given = { amount: "2", at: '{"limit":3}', note: null, receipt_id: await verifiedReceipt() };
    expect((await invoke(guarded, given)).text).toBe("ordered");
    expect(ran).toEqual([{ amount: 2, at: { limit: 3 } }]);
    expect(judged[0]).toBe(ran[0]);
  });

  test("gets arguments that do not fit back with code, money and field, and keeps its receipt", async () => {
    const guarded = guardTool(trade, options());
    const id = await verifiedReceipt();
    const refused = await invoke(guarded, { action: 5, receipt_id: id });
    expect(refused).toMatchObject({
      status: "error",
      artifact: { error: { code: "invalid_input", money: "not-moved" } },
    });
    expect(refused.text).toContain("action");
    expect(codeOf(await invoke(guarded, { action: "hold", sise: 5, receipt_id: id }))).toBe("invalid_input");
    expect(runs).toEqual([]);
    expect((await invoke(guarded, { action: "hold", receipt_id: id })).text).toBe("traded hold");
  });

  test("runs once for many parallel calls with one receipt", async () => {
    const guarded = guardTool(trade, options());
    const id = await verifiedReceipt();
    await Promise.all(Array.from({ length: 10 }, () => invoke(guarded, { action: "hold", receipt_id: id })));
    expect(runs).toEqual(["hold"]);
  });

  test("does not run for a receipt that failed, is unknown, is too old, is simulated, or does not justify the arguments", async () => {
    const cheated = await buyWith(buyer, { ...purchase, seller: "tampering", idempotencyKey: crypto.randomUUID() });
    const id = await verifiedReceipt();
    const later = (): Date => new Date(Date.now() + 400_000);
    const attempts: [Partial<Parameters<typeof guardTool>[1]>, string, string, string][] = [
      [{}, cheated.receipt.id, "hold", "receipt_not_verified"],
      [{}, `p402_${"a".repeat(52)}`, "hold", "receipt_not_found"],
      [{ clock: later }, id, "hold", "receipt_too_old"],
      [{ allowSimulated: false }, id, "hold", "receipt_simulated"],
      [{}, id, "sell everything", "receipt_not_bound"],
      [{ assurance: "proven" }, id, "hold", "receipt_not_verified"],
      [
        {
          bind: () => {
            throw new Error("broken");
          },
        },
        id,
        "hold",
        "guard_error",
      ],
    ];
    for (const [change, receipt, action, code] of attempts) {
      const message = await invoke(guardTool(trade, { ...options(), ...change }), { action, receipt_id: receipt });
      expect(message.status, code).toBe("error");
      expect(codeOf(message)).toBe(code);
    }
    expect(runs).toEqual([]);
    // None of those refusals used the receipt up.
    expect((await invoke(guardTool(trade, options()), { action: "hold", receipt_id: id })).text).toBe("traded hold");
  });

  test("demands the receipt in its schema", async () => {
    const guarded = guardTool(trade, options());
    const unnamed = (await guarded.invoke({ action: "hold" })) as ToolMessage;
    expect(unnamed).toMatchObject({
      status: "error",
      artifact: { error: { code: "invalid_input", money: "not-moved" } },
    });
    expect(unnamed.text).toContain("receipt_id");
    expect(runs).toEqual([]);
  });
});

describe("a payment above the approval threshold", () => {
  const asking = () =>
    market.buyer((config) => config.payment.assets.forEach((asset) => (asset.approveAbove = "5000")));

  /** An agent that calls once and then hears the answers of a person, each after its question. */
  async function answering(careful: Buyer, answersTo: (question: Asked) => unknown[]) {
    const model = fakeModel()
      .respond(calling("buy_inference", purchase, "call_a"))
      .respond(new AIMessage("done"));
    const tools = createProof402Tools({ buyer: careful, approval: "interrupt" });
    const agent = createAgent({ model, tools, checkpointer: new MemorySaver() });
    const config = { configurable: { thread_id: crypto.randomUUID() } };
    let state: unknown = await agent.invoke({ messages: [{ role: "user", content: "buy" }] }, config);
    const question = questionIn(state);
    if (question === undefined) throw new Error("nothing was asked");
    for (const resume of answersTo(question)) state = await agent.invoke(new Command({ resume }), config);
    const [message] = named((state as { messages: unknown[] }).messages, "buy_inference");
    return { question, again: questionIn(state), message, recent: (await careful.spending()).recent };
  }
  type Asked = HITLRequest & { digest: string; amount: string; payTo: string };
  const questionIn = (state: unknown): Asked | undefined =>
    (state as { __interrupt__?: { value: Asked }[] }).__interrupt__?.[0]?.value;
  const approve: HITLResponse = { decisions: [{ type: "approve" }] };
  const reject: HITLResponse = { decisions: [{ type: "reject", message: "Too dear." }] };
  const edited = (args: Record<string, unknown>): HITLResponse => ({
    decisions: [{ type: "edit", editedAction: { name: "buy_inference", args } }],
  });

  test("waits for its owner where no person can be asked, with and without interrupts", async () => {
    const careful = await asking();
    const call = { type: "tool_call" as const, id: "c", name: "buy_inference", args: purchase };
    for (const options of [{}, { approval: "interrupt" as const }]) {
      const message = (await createProof402Tools({ buyer: careful, ...options })[1].invoke(call)) as ToolMessage;
      expect(message.artifact).toMatchObject({ error: { code: "approval_required", money: "not-moved" } });
      expect(message.text).toMatch(/waits as approval [0-9a-f]{8} .*`proof402 approvals`/);
    }
    expect((await careful.spending()).recent).toEqual([]);
  });

  const ok = { status: "ok" };
  const declined = { error: { code: "approval_declined", money: "not-moved" } };
  const key: unknown = expect.stringMatching(/^lc-/);
  const unreadable = { error: { code: "approval_unreadable", money: "not-moved", idempotencyKey: key } };
  test.each<[string, object, number, (question: Asked) => unknown]>([
    ["LangChain's yes", ok, 1, () => approve],
    ["LangChain's edit that changes nothing", ok, 1, () => edited(purchase)],
    ["a yes that names the question", ok, 1, ({ digest }) => ({ decision: "approve", digest })],
    ["LangChain's no", declined, 0, () => reject],
    ["a no that names the question", declined, 0, ({ digest }) => ({ decision: "decline", digest })],
    ["an edit", unreadable, 0, () => edited({ ...purchase, seller: "tampering" })],
    ["two decisions", unreadable, 0, () => ({ decisions: [...approve.decisions, ...approve.decisions] })],
    ["a bare yes", unreadable, 0, () => true],
  ])("T105: asks by interrupt before anything is signed: %s", async (name, expected, payments, answer) => {
    const careful = await asking();
    const { question, message, recent } = await answering(careful, (asked) => [answer(asked)]);
    expect(question).toMatchObject({
      amount: "10000",
      payTo: market.devnet.sellers.honest.payTo,
      actionRequests: [{ name: "buy_inference", args: purchase, description: expect.stringContaining("$0.01") }],
      reviewConfigs: [{ actionName: "buy_inference", allowedDecisions: ["approve", "reject"] }],
    });
    expect(message?.artifact).toMatchObject(expected);
    expect(message?.text.includes("The person wrote: Too dear.")).toBe(name === "LangChain's no");
    expect(recent).toHaveLength(payments);
  });

  test("T105: an answer to another question is none: the person is asked again", async () => {
    const other = { decision: "approve", digest: "00".repeat(32) };
    const { again, recent } = await answering(await asking(), () => [other]);
    expect(again).toBeDefined();
    expect(recent).toEqual([]);
  });

  test("T105: a yes that names no question is one to what was shown, also where a second question follows", async () => {
    const careful = await asking();
    let shown = 0;
    // The price that is shown first is another one when the answer comes.
    const keepQuestion: Buyer["keepQuestion"] = (place, request) =>
      careful.keepQuestion(place, (shown += 1) === 1 ? { ...request, amount: "1" } : request);
    const { message, recent } = await answering({ ...careful, keepQuestion }, () => [approve, reject]);
    expect(shown).toBe(2);
    expect(message?.artifact).toMatchObject({ error: { code: "approval_declined" } });
    expect(recent).toEqual([]);
  });
});
