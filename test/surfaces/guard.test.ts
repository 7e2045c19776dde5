import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { tool, type StructuredToolInterface, type ToolRuntime } from "@langchain/core/tools";
import type { ToolMessage } from "@langchain/core/messages";
import { AIMessage, createAgent, createMiddleware, fakeModel } from "langchain";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Buyer } from "../../src/buyer/types.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Config } from "../../src/config/schema.ts";
import { createProof402Tools, guardTool, type GuardOptions } from "../../src/langchain/index.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

const run = promisify(execFile);

let market: Market;
let buyer: Buyer;
let config: Config;
beforeAll(async () => {
  market = await openMarket();
  buyer = await market.buyer((own) => (config = own));
});
afterAll(() => market.stop());

const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };

async function verifiedReceipt(): Promise<string> {
  const result = await buyWith(buyer, { ...purchase, wait: "verified", idempotencyKey: crypto.randomUUID() });
  expect(result.appraisal.verdict).toBe("verified");
  return result.receipt.id;
}

let runs: unknown[];
beforeEach(() => {
  runs = [];
});

const options = (change: Partial<GuardOptions> = {}): GuardOptions => ({
  buyer,
  assurance: "attested",
  maxAge: 300,
  allowSimulated: true,
  bind: () => true,
  ...change,
});
const invoke = async (guarded: StructuredToolInterface, args: Record<string, unknown>): Promise<ToolMessage> =>
  (await guarded.invoke({ type: "tool_call", id: crypto.randomUUID(), name: guarded.name, args })) as ToolMessage;
const codeOf = (message: ToolMessage): unknown =>
  (message.artifact as { error?: { code: unknown } } | undefined)?.error?.code;

describe("what a guard compares is what the tool does", () => {
  test("a schema that changes values is applied once: bind and tool see the same arguments", async () => {
    const pay = tool(
      (args) => {
        runs.push(args);
        return "paid";
      },
      {
        name: "pay",
        description: "pays",
        schema: z.strictObject({ amount: z.number().transform((n) => n * 2), memo: z.string().default("none") }),
      },
    );
    const seen: unknown[] = [];
    const guarded = guardTool(pay, options({ bind: ({ args }) => seen.push(args) > 0 }));
    expect((await invoke(guarded, { amount: 5, receipt_id: await verifiedReceipt() })).text).toBe("paid");
    expect(runs).toEqual([{ amount: 10, memo: "none" }]);
    expect(seen).toEqual(runs);
  });

  test("tools with a JSON schema, such as those of an MCP server, are guarded too", async () => {
    const pay = tool(
      (args) => {
        runs.push(args);
        return "paid";
      },
      {
        name: "pay",
        description: "pays",
        schema: {
          type: "object",
          properties: { amount: { type: "number" } },
          required: ["amount"],
          additionalProperties: false,
        },
      },
    );
    const guarded = guardTool(pay, options({ bind: ({ args }) => args["amount"] === 7 }));
    const receipt = await verifiedReceipt();
    expect(codeOf(await invoke(guarded, { amount: 8, receipt_id: receipt }))).toBe("receipt_not_bound");
    const unnamed = (await guarded.invoke({ amount: 7 })) as ToolMessage;
    expect(unnamed).toMatchObject({
      status: "error",
      artifact: { error: { code: "invalid_input", money: "not-moved" } },
    });
    expect(unnamed.text).toContain("receipt_id");
    expect((await invoke(guarded, { amount: 7, receipt_id: receipt })).text).toBe("paid");
    expect(runs).toEqual([{ amount: 7 }]);
  });

  test("the tool keeps its state, writer and call id", async () => {
    const trade = tool(
      (_args: { side: string }, runtime: ToolRuntime) => {
        runs.push([
          runtime.toolCallId,
          (runtime.state as { messages: unknown[] }).messages.length > 0,
          typeof runtime.writer,
        ]);
        return "traded";
      },
      { name: "trade", description: "trades", schema: z.strictObject({ side: z.string() }) },
    );
    const args = { side: "buy", receipt_id: await verifiedReceipt() };
    const model = fakeModel()
      .respond(new AIMessage({ content: "", tool_calls: [{ name: "trade", args, id: "call_t", type: "tool_call" }] }))
      .respond(new AIMessage("done"));
    await createAgent({ model, tools: [guardTool(trade, options())] }).invoke({
      messages: [{ role: "user", content: "trade" }],
    });
    expect(runs).toEqual([["call_t", true, "function"]]);
  });
});

describe("a guard that cannot guard is not made", () => {
  const plain = (schema: z.ZodObject) => tool(() => "ran", { name: "trade", description: "trades", schema });

  test.each([
    ["no age limit", { maxAge: undefined }],
    ["an age limit that is no number", { maxAge: Number.NaN }],
    ["no assurance", { assurance: "none" }],
    ["a misspelt assurance", { assurance: "atested" }],
    ["no bind", { bind: undefined }],
  ])("with %s", (_name, change) => {
    expect(() => guardTool(plain(z.strictObject({})), options(change as unknown as Partial<GuardOptions>))).toThrow(
      expect.objectContaining({ code: "guard_options" }),
    );
  });

  test("around a tool that has a receipt_id of its own", () => {
    expect(() => guardTool(plain(z.strictObject({ receipt_id: z.string() })), options())).toThrow(
      expect.objectContaining({ code: "guard_schema" }),
    );
  });
});

describe("one receipt, one action", () => {
  const trade = (name: string) =>
    tool(
      () => {
        runs.push(name);
        return "traded";
      },
      { name, description: "trades", schema: z.strictObject({}) },
    );

  test("whatever tool takes it", async () => {
    const id = await verifiedReceipt();
    expect((await invoke(guardTool(trade("sell"), options()), { receipt_id: id })).status).not.toBe("error");
    expect(codeOf(await invoke(guardTool(trade("approve_payroll"), options()), { receipt_id: id }))).toBe(
      "receipt_consumed",
    );
    expect(runs).toEqual(["sell"]);
  });

  test("also after a restart, and in another process", async () => {
    const id = await verifiedReceipt();
    await invoke(guardTool(trade("sell"), options()), { receipt_id: id });
    const reopened = await openBuyer({ config, wallet: walletFromPrivateKey(market.devnet.privateKey) });
    expect(codeOf(await invoke(guardTool(trade("sell"), options({ buyer: reopened })), { receipt_id: id }))).toBe(
      "receipt_consumed",
    );
    await reopened.close();
    expect(runs).toEqual(["sell"]);
  });

  test("however many processes hold it", async () => {
    const id = await verifiedReceipt();
    const script = `
      const { openBuyer } = await import(process.argv[1]);
      const buyer = await openBuyer({ config: JSON.parse(process.argv[2]), wallet: null });
      console.log(await buyer.claimReceipt(process.argv[3], "guard"));
      await buyer.close();
    `;
    const built = new URL("../../dist/src/index.js", import.meta.url).href;
    const claim = async (): Promise<string> =>
      (
        await run(process.execPath, ["--input-type=module", "--eval", script, built, JSON.stringify(config), id])
      ).stdout.trim();
    const claims = await Promise.all([claim(), claim(), claim(), claim()]);
    expect(claims.toSorted()).toEqual(["false", "false", "false", "true"]);
    expect(codeOf(await invoke(guardTool(trade("sell"), options()), { receipt_id: id }))).toBe("receipt_consumed");
    expect(runs).toEqual([]);
  });
});

describe("an agent that means harm", () => {
  test("is stopped in parallel calls, with middleware around its tools, and a pending receipt is not enough", async () => {
    // A chain that cannot be reached: the settlement cannot be seen, so the verdict stays open.
    const waiting = await market.buyer((own) =>
      own.networks.forEach((network) => (network.rpcUrl = "http://127.0.0.1:1")),
    );
    const sell = tool(
      () => {
        runs.push("sold");
        return "sold";
      },
      { name: "sell", description: "sells", schema: z.strictObject({}) },
    );
    const bought = await buyWith(waiting, { ...purchase, idempotencyKey: crypto.randomUUID() });
    const call = (id: string) => ({
      name: "sell",
      args: { receipt_id: bought.receipt.id },
      id,
      type: "tool_call" as const,
    });
    const passing = createMiddleware({ name: "passing", wrapToolCall: (request, handler) => handler(request) });
    const model = fakeModel()
      .respond(new AIMessage({ content: "", tool_calls: [call("a"), call("b"), call("c")] }))
      .respond(new AIMessage("stopped"));
    const agent = createAgent({
      model,
      tools: [...createProof402Tools({ buyer: waiting }), guardTool(sell, options({ buyer: waiting }))],
      middleware: [passing],
    });
    const { messages } = await agent.invoke({ messages: [{ role: "user", content: "sell" }] });
    const refused = messages.filter((m) => m.name === "sell") as ToolMessage[];
    expect(refused.map(codeOf)).toEqual(["receipt_pending", "receipt_pending", "receipt_pending"]);
    expect(refused[0]?.text).toContain("wait_seconds");
    expect(runs).toEqual([]);
  });
});

describe("a tool called without an agent", () => {
  test("is the one its place in the list says", () => {
    const [listModels, buyInference, getReceipt, verifyReceipt, spending, ...more] = createProof402Tools({ buyer });
    expect([listModels, buyInference, getReceipt, verifyReceipt, spending].map((one) => one.name)).toEqual([
      "list_models",
      "buy_inference",
      "get_receipt",
      "verify_receipt",
      "spending",
    ]);
    expect(more).toEqual([]);
  });

  test("by a tool call: a failure is an error message", async () => {
    const buy = createProof402Tools({ buyer }).find((one) => one.name === "buy_inference");
    const message = (await buy?.invoke({
      type: "tool_call",
      id: "c1",
      name: "buy_inference",
      args: { ...purchase, seller: "nobody" },
    })) as ToolMessage;
    expect(message.status).toBe("error");
    expect(message.tool_call_id).toBe("c1");
  });

  test("with approvals by interrupt but no graph to interrupt: refused, nothing is signed", async () => {
    const careful = await market.buyer((own) => own.payment.assets.forEach((asset) => (asset.approveAbove = "5000")));
    const buy = createProof402Tools({ buyer: careful, approval: "interrupt" }).find(
      (one) => one.name === "buy_inference",
    );
    const message = (await buy?.invoke({
      type: "tool_call",
      id: "c2",
      name: "buy_inference",
      args: purchase,
    })) as ToolMessage;
    expect(message.artifact).toMatchObject({ error: { code: "approval_required", money: "not-moved" } });
    expect((await careful.spending()).recent).toEqual([]);
  });
});
