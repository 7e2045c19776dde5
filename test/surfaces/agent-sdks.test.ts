import { Agent, run as runAgent, RunContext, type FunctionTool } from "@openai/agents";
import { generateText, stepCountIs, streamText, tool, wrapLanguageModel, type Tool } from "ai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import * as ai from "../../src/ai/index.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { notDone } from "../../src/guard/not-done.ts";
import type { GuardOptions } from "../../src/guard/requirement.ts";
import * as openai from "../../src/openai-agents/index.ts";
import { scripted as agentModel } from "../support/agent-model.ts";
import { scripted as aiModel } from "../support/ai-model.ts";
import { buyWith } from "../support/buy.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };

let market: Market;
let buyer: Buyer;
let receiptId: string;
beforeAll(async () => {
  market = await openMarket();
  buyer = await market.buyer();
  const bought = await buyWith(buyer, { ...purchase, wait: "verified", idempotencyKey: crypto.randomUUID() });
  receiptId = bought.receipt.id;
});
afterAll(() => market.stop());

let ran: unknown[];
let kinds = 0;
let options: GuardOptions;
beforeEach(() => {
  ran = [];
  kinds += 1;
  // Each test has places of its own on the one purchase.
  const spends = { kind: `test-${kinds}`, times: 2 };
  options = { buyer, assurance: "attested", maxAge: 3600, allowSimulated: true, bind: () => true, spends };
});
const inputSchema = z.object({ side: z.string() });
const stopWhen = stepCountIs(4);
const paid = async (): Promise<number> => (await buyer.spending()).purchases;

describe("the AI SDK", () => {
  const call = (args: object) => ({ toolName: "trade", input: JSON.stringify(args) });
  const given = { toolCallId: "c1", messages: [] };
  const guarding = (inner: Tool): Tool => ai.guardTool("trade", inner, options);

  test("gives the model a refusal as the tool's error, and goes on", async () => {
    const trade = guarding(tool({ inputSchema, execute: (args) => ran.push(args) }));
    const model = aiModel(
      [call({ side: "sell", receipt_id: "p402_none" })],
      [call({ side: 5, receipt_id: receiptId })],
    );
    const { steps, text } = await generateText({ model, prompt: "trade", tools: { trade }, stopWhen });
    const errors = steps
      .flatMap(({ content }) => content)
      .flatMap((one) => (one.type === "tool-error" ? [one.error] : []));
    expect(errors).toEqual([
      expect.objectContaining({ code: "receipt_not_found", money: "not-moved" }),
      expect.objectContaining({ code: "invalid_input", message: expect.stringContaining("side") as unknown }),
    ]);
    expect(String(model.doGenerateCalls[1]?.prompt.map((one) => JSON.stringify(one)).join(" "))).toContain(
      "trade was not run",
    );
    expect([text, ran]).toEqual(["done", []]);
  });

  test("says of a failure that it may have happened, and keeps what was thrown", async () => {
    const cause = new Error("socket hang up");
    const trade = guarding(tool({ inputSchema, execute: (): string => Promise.reject(cause) as never }));
    const failed = trade.execute?.({ side: "sell", receipt_id: receiptId }, given) as Promise<unknown>;
    await expect(failed).rejects.toMatchObject({
      message: expect.stringMatching(/socket hang up.*not known.*or a new one/) as unknown,
      cause,
    });
  });

  test("streams the output of a function that streams, and writes its end down if the reader leaves", async () => {
    const inner = tool({
      inputSchema,
      async *execute({ side }: { side: string }, given_) {
        yield `begins as ${ai.actionCall(given_).idempotencyKey.length > 10}`;
        yield await Promise.resolve(`did ${side}`);
        ran.push(side);
      },
    });
    const trade = guarding(inner);
    const model = aiModel([call({ side: "sell", receipt_id: receiptId })]);
    const seen: unknown[] = [];
    for await (const part of streamText({ model, prompt: "trade", tools: { trade }, stopWhen }).fullStream)
      if (part.type === "tool-result") seen.push([part.preliminary === true, part.output]);
    expect(seen).toEqual([
      [true, "begins as true"],
      [true, "did sell"],
      [false, "did sell"],
    ]);
    for await (const _part of trade.execute!({ side: "buy", receipt_id: receiptId }, given) as AsyncIterable<unknown>)
      break;
    await expect.poll(async () => (await buyer.actions.list({ tool: "trade", limit: 1 }))[0]?.outcome).toBe("did buy");
    expect(ran).toEqual(["sell", "buy"]);
  });

  test("asks for approval with the arguments as the schema means them, and without the receipt", async () => {
    const asked: unknown[] = [];
    const amount = z.object({ amount: z.coerce.number() });
    const trade = guarding(
      tool({
        inputSchema: amount,
        needsApproval: (args) => asked.push(args) > 0,
        execute: (args) => ran.push(args),
      }) as Tool,
    );
    const model = aiModel([call({ amount: "5", receipt_id: receiptId })]);
    const { content } = await generateText({ model, prompt: "trade", tools: { trade }, stopWhen });
    expect(content.map(({ type }) => type)).toContain("tool-approval-request");
    expect([asked, ran]).toEqual([[{ amount: 5 }], []]);
  });

  test("keeps what a tool says of itself, and shows its output by its own words", async () => {
    const trade = guarding(
      tool({
        title: "Trade",
        description: "Trades.",
        strict: true,
        inputSchema,
        inputExamples: [{ input: { side: "sell" } }],
        execute: () => ({ at: 1 }),
        toModelOutput: ({ input, output }) => ({ type: "text", value: JSON.stringify([input, output]) }),
      }) as Tool,
    );
    expect(trade).toMatchObject({
      title: "Trade",
      strict: true,
      inputExamples: [{ input: { side: "sell", receipt_id: "p402_..." } }],
    });
    expect(trade.description).toMatch(/^Trades\. Needs receipt_id: .*assurance attested/);
    const model = aiModel([call({ side: "sell", receipt_id: receiptId })]);
    await generateText({ model, prompt: "trade", tools: { trade }, stopWhen });
    expect(JSON.stringify(model.doGenerateCalls[1]?.prompt)).toContain(JSON.stringify('[{"side":"sell"},{"at":1}]'));
  });

  test.each<[string, () => unknown, string]>([
    ["its provider runs", () => ({ type: "provider", id: "a.b", args: {}, inputSchema }), "guard_tool"],
    ["its client runs", () => tool({ inputSchema }), "guard_tool"],
    [
      "hooks act before a receipt is judged",
      () => tool({ inputSchema, execute: () => 1, onInputAvailable: () => undefined }),
      "guard_tool",
    ],
    [
      "has a receipt_id",
      () => tool({ inputSchema: z.object({ receipt_id: z.string() }), execute: () => 1 }),
      "guard_schema",
    ],
    ["takes no object", () => tool({ inputSchema: z.string() as never, execute: () => 1 }), "guard_schema"],
  ])("does not guard a tool that %s", (_name, make, code) => {
    expect(() => guarding(make() as Tool)).toThrow(expect.objectContaining({ code }));
  });

  test("buys within a budget, also at the same time, and gives failures as outputs", async () => {
    const tools = ai.proof402Tools({ buyer, maxUsd: 0.025 });
    const before = await paid();
    const buy = (id: string): Promise<unknown> =>
      Promise.resolve(
        tools.buy_inference?.execute?.({ ...purchase, max_usd: Number(id) }, { ...given, toolCallId: id }) as unknown,
      );
    const outcomes = await Promise.all(["0.1", "0.2", "0.3", "0.4"].map(buy));
    expect(outcomes.filter((one) => (one as { status: string }).status === "ok")).toHaveLength(2);
    expect(outcomes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          error: expect.objectContaining({ code: "over_budget", money: "not-moved" }) as unknown,
        }),
      ]),
    );
    expect(await paid()).toBe(before + 2);
    // A call of the same id and arguments is the same call.
    const bought = ["0.1", "0.2", "0.3", "0.4"][
      outcomes.findIndex((one) => (one as { status: string }).status === "ok")
    ]!;
    expect(await buy(bought).then((one) => (one as { data: { paidNow: boolean } }).data.paidNow)).toBe(false);
  });

  test("asks a person within the budget, and a no gives the money back to it", async () => {
    const careful = await market.buyer((own) => own.payment.assets.forEach((asset) => (asset.approveAbove = "5000")));
    const answers = ["declined", "approved", "approved"] as const;
    let asked = 0;
    const approve = () => Promise.resolve(answers[asked++] ?? "declined");
    const tools = ai.proof402Tools({ buyer: careful, maxUsd: 0.015, approve });
    const buy = (id: string) =>
      Promise.resolve(
        tools.buy_inference?.execute?.({ ...purchase, max_usd: Number(id) }, { ...given, toolCallId: id }) as unknown,
      );
    const outcomes = [await buy("0.5"), await buy("0.6"), await buy("0.7")];
    expect(outcomes).toMatchObject([
      { error: { code: "approval_declined", money: "not-moved" } },
      { status: "ok" },
      { error: { code: "over_budget", money: "not-moved" } },
    ]);
    // A person is not asked about what does not fit.
    expect(asked).toBe(2);
  });

  test("tells a model how guarded tools are called, where it offers them", async () => {
    const trade = guarding(tool({ inputSchema, execute: () => "traded" }) as Tool);
    const inner = aiModel([]);
    const model = wrapLanguageModel({ model: inner, middleware: ai.proof402Middleware() });
    const all = { ...ai.proof402Tools({ buyer }), trade };
    await generateText({ model, system: "You trade.", prompt: "trade", tools: all });
    await generateText({ model, prompt: "trade", tools: { trade } });
    const [steered, plain] = inner.doGenerateCalls.map(({ prompt }) => prompt[0]);
    expect(steered).toEqual({ role: "system", content: `You trade.\n\n${ai.GUARDED_TOOLS}` });
    expect(plain?.role).toBe("user");
  });
});

describe("the OpenAI Agents SDK", () => {
  const call = (args: object) => ({ name: "trade", arguments: JSON.stringify(args) });
  const guarding = (change: object = {}): FunctionTool =>
    openai.guardTool(
      {
        name: "trade",
        description: "Trades.",
        parameters: inputSchema,
        execute: (args: object) => `traded ${ran.push(args)}`,
        ...change,
      } as openai.Definition,
      options,
    );
  const agentOf = (tools: FunctionTool[], ...turns: Parameters<typeof agentModel>): Agent =>
    new Agent({ name: "trader", model: agentModel(...turns), tools });
  const outputs = (result: { newItems: { rawItem?: unknown }[] }): unknown[] =>
    result.newItems.flatMap(({ rawItem }) => {
      const item = rawItem as { type?: string; output?: { text?: string } } | undefined;
      return item?.type === "function_call_result" ? [item.output?.text] : [];
    });

  test("gives the model a refusal as the tool's output, and goes on", async () => {
    const agent = agentOf(
      [guarding()],
      [call({ side: "sell", receipt_id: "p402_none" })],
      [call({ side: 5, receipt_id: receiptId })],
    );
    const result = await runAgent(agent, "trade");
    expect(outputs(result)).toEqual([
      expect.stringMatching(/receipt_not_found.*trade was not run/),
      expect.stringMatching(/invalid_input.*side/),
    ]);
    expect([result.finalOutput, ran]).toEqual(["done", []]);
  });

  test("stays strict, with optional fields as the SDK reads them, and a schema that OpenAI takes", async () => {
    const parameters = z.object({ side: z.string(), memo: z.string().nullable().optional() });
    const trade = guarding({ parameters });
    expect(trade).toMatchObject({
      strict: true,
      parameters: {
        additionalProperties: false,
        required: expect.arrayContaining(["side", "memo", "receipt_id"]) as unknown,
      },
    });
    expect(trade.parameters.properties["receipt_id"]).not.toHaveProperty("minLength");
    expect(
      await trade.invoke(new RunContext(), JSON.stringify({ side: "sell", memo: null, receipt_id: receiptId })),
    ).toBe("traded 1");
    const plain = await readBySdk(parameters, { side: "sell", memo: null });
    expect(ran).toEqual([plain]);
  });

  test("tells calls that came at the same time apart", async () => {
    const trade = guarding();
    const sides = ["a", "b"];
    await Promise.all(
      sides.map((side) => trade.invoke(new RunContext(), JSON.stringify({ side, receipt_id: receiptId }))),
    );
    expect(ran.map((one) => (one as { side: string }).side).toSorted()).toEqual(sides);
  });

  test("says of a failure that it may have happened, of one that did not that it did not, and asks a tool's own words", async () => {
    const failing = (thrown: () => Error, change: object = {}) =>
      guarding({
        execute: () => {
          throw thrown();
        },
        ...change,
      }).invoke(new RunContext(), JSON.stringify({ side: "sell", receipt_id: receiptId }));
    expect(await failing(() => new Error("broken"))).toMatch(/broken.*not known.*do not call it again/);
    expect(await failing(() => notDone("Closed."))).toMatch(/action_not_done.*Closed\..*was not run/);
    expect(await failing(() => notDone("Closed."), { errorFunction: () => "own words" })).toBe("own words");
  });

  test("says of what took too long that it may have happened, and so of what a tool within it was refused", async () => {
    const args = JSON.stringify({ side: "sell", receipt_id: receiptId });
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const slow = guarding({ timeoutMs: 20, execute: () => ended });
    const [timedOut] = outputs(await runAgent(agentOf([slow], [{ name: "trade", arguments: args }]), "trade"));
    expect(timedOut).toMatch(/longer than its time.*not known.*do not call it again/);
    end();
    const inner = guarding({ errorFunction: null });
    const refused = JSON.stringify({ side: "sell", receipt_id: "p402_none" });
    const outer = guarding({ execute: () => (ran.push("outer"), inner.invoke(new RunContext(), refused)) });
    expect(await outer.invoke(new RunContext(), args)).toMatch(/^The tool failed: .*not known/);
    expect(ran).toEqual(["outer"]);
  });

  test("asks for approval with the arguments alone", async () => {
    const asked: unknown[] = [];
    const trade = guarding({
      needsApproval: (_context: unknown, args: unknown) => Promise.resolve(asked.push(args) > 0),
    });
    const result = await runAgent(agentOf([trade], [call({ side: "sell", receipt_id: receiptId })]), "trade");
    expect(result.interruptions).toHaveLength(1);
    expect([asked, ran]).toEqual([[{ side: "sell" }], []]);
  });

  test("stops a run at a refused call by its guardrail, and lets a good one through", async () => {
    const inputGuardrails = [openai.receiptGuardrail({ parameters: inputSchema }, options)];
    const trade = guarding({ inputGuardrails });
    const bad = agentOf([trade], [call({ side: "sell", receipt_id: "p402_none" })]);
    await expect(runAgent(bad, "trade")).rejects.toMatchObject({
      error: { name: "ToolInputGuardrailTripwireTriggered" },
    });
    expect(ran).toEqual([]);
    await runAgent(agentOf([trade], [call({ side: "sell", receipt_id: receiptId })]), "trade");
    expect(ran).toEqual([{ side: "sell" }]);
  });

  test.each<[string, () => unknown, string]>([
    ["was made already", () => guarding(), "guard_tool"],
    [
      "has a receipt_id",
      () => ({ name: "t", description: "", parameters: z.object({ receipt_id: z.string() }), execute: () => "" }),
      "guard_schema",
    ],
  ])("does not guard a tool that %s", (_name, make, code) => {
    const given = make() as openai.Definition;
    expect(() => openai.guardTool(given, options)).toThrow(expect.objectContaining({ code }));
  });

  test("buys by its tools, with the data beside the text, within a budget", async () => {
    const tools = openai.proof402Tools({ buyer, maxUsd: 0.015 });
    const buys = (max_usd: number) => ({ name: "buy_inference", arguments: JSON.stringify({ ...purchase, max_usd }) });
    const result = await runAgent(agentOf(tools, [buys(0.5), buys(0.6)]), "buy");
    const texts = outputs(result).map(String);
    expect(texts.filter((text) => text.includes("Receipt p402_"))).toHaveLength(1);
    expect(texts.filter((text) => text.includes("over_budget"))).toHaveLength(1);
    const kept = result.newItems.flatMap((item) => ("customData" in item ? [item.customData] : []));
    expect(kept).toEqual(
      expect.arrayContaining([expect.objectContaining({ status: "ok" }), expect.objectContaining({ status: "error" })]),
    );
  });
});

async function readBySdk(parameters: z.ZodObject, args: object): Promise<unknown> {
  let read: unknown;
  const { tool: make } = await import("@openai/agents");
  const plain = make({ name: "t", description: "", parameters, execute: (given) => ((read = given), "") });
  await plain.invoke(new RunContext(), JSON.stringify(args));
  return read;
}
