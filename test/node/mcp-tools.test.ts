import { readFile } from "node:fs/promises";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OlderClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OlderTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { x402Client } from "@x402/core/client";
import type { PaymentRequired } from "@x402/core/types";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { sellerSchema } from "../../src/market/types.ts";
import { newKey } from "../support/mcp-payer.ts";
import { eventually } from "../support/eventually.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
const clients: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  market = await openMarket();
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await market.stop();
});

type Result = {
  content: { text: string }[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
  _meta?: Record<string, unknown>;
};
type Call = (params: Record<string, unknown>) => Promise<Result>;

/** A stock client of each era, connected to the honest node. */
async function stock(era: "2026" | "2025"): Promise<{ call: Call; tools: () => Promise<Record<string, unknown>[]> }> {
  const url = new URL("/mcp", market.devnet.sellers.honest.origin);
  const client =
    era === "2026"
      ? new Client({ name: "stock", version: "1" }, { versionNegotiation: { mode: "auto" } })
      : new OlderClient({ name: "stock", version: "1" });
  await client.connect(era === "2026" ? new StreamableHTTPClientTransport(url) : new OlderTransport(url));
  clients.push(client);
  return {
    call: async (params) => (await client.callTool(params as never)) as Result,
    tools: async () => (await client.listTools()).tools,
  };
}

/** A buyer whose only seller is the honest node's tools, under the pins that it has over HTTP. */
const buyer = (): Promise<Buyer> =>
  market.buyer((config) => {
    config.sellers = config.sellers
      .filter(({ id }) => id === "honest")
      .map((seller) => ({ ...seller, provider: "mcp-tool" as const }));
  });

test("our buyer gets the assurance over MCP that it gets over HTTP, and its receipt says what was signed", async () => {
  const one = await buyer();
  const [overMcp, overHttp] = await Promise.all([
    one.buy("eth-risk", ETH_FEATURES, { assurance: "attested", wait: "verified" }),
    (await market.buyer()).buy("eth-risk", ETH_FEATURES, { assurance: "attested", seller: "honest", wait: "verified" }),
  ]);
  expect(overMcp).toMatchObject({ verdict: "verified", appraisal: { assurance: "attested", simulated: true } });
  expect(overMcp.answer).toEqual(overHttp.answer);
  expect(overMcp.receipt.core.request.path).toBe("/mcp");
  const { models } = await one.listModels();
  const listed = models.find(({ name }) => name === "eth-risk");
  expect(listed).toMatchObject({ input: { features: expect.stringContaining("FP32") }, priceUsd: "0.01" });
  await eventually(async () => {
    const { appraisals } = await one.getReceipt(overMcp.receipt.id);
    expect(appraisals.at(-1)!.layers).toMatchObject({ settlement: { status: "pass" }, inclusion: { status: "pass" } });
  });
});

describe.each(["2026", "2025"] as const)("a stock client of %s", (era) => {
  test("is told the price, pays by x402's own client, and gets the answer once more for the same payment", async () => {
    const { call, tools } = await stock(era);
    const tool = (await tools()).find(({ name }) => name === "eth-risk");
    expect(tool).toMatchObject({
      inputSchema: { required: ["features"] },
      _meta: { "proof402/model": { price: { amount: "10000" } } },
    });
    const asked = { name: "eth-risk", arguments: { features: [ETH_FEATURES.features] } };
    const unpaid = await call(asked);
    expect(unpaid.isError).toBe(true);
    expect(JSON.parse(unpaid.content[0]!.text)).toEqual(unpaid.structuredContent);
    const required = unpaid.structuredContent as unknown as PaymentRequired;
    expect(required.accepts[0]).toMatchObject({ scheme: "exact", amount: "10000" });

    const key = await newKey(market);
    const payer = new x402Client().register(required.accepts[0]!.network, new ExactEvmScheme(privateKeyToAccount(key)));
    payer.setSpendControls({ allowedAssets: true });
    const payment = await payer.createPaymentPayload({ ...required, accepts: required.accepts.slice(0, 1) });
    const paid = { ...asked, _meta: { "x402/payment": payment } };
    const answer = await call(paid);
    expect(answer.isError).toBeUndefined();
    expect(answer.structuredContent).toEqual(JSON.parse(answer.content[0]!.text));
    expect(answer._meta?.["x402/payment-response"]).toMatchObject({
      success: true,
      transaction: expect.stringMatching(/^0x/),
    });
    expect(answer._meta?.["proof402/signature"]).toMatchObject({
      "x-tee-id": expect.stringMatching(/^0x[0-9a-f]{64}$/),
    });

    const again = await call(paid);
    expect([again.structuredContent, again._meta?.["proof402/signature"]]).toEqual([
      answer.structuredContent,
      answer._meta?.["proof402/signature"],
    ]);
    expect(await market.devnet.balanceOf(privateKeyToAccount(key).address)).toBe(990_000n);

    // A payment buys one call, and nothing leaves for another one.
    const other = await call({ ...paid, arguments: { features: [ETH_FEATURES.features.map(() => 0)] } });
    expect(other).toMatchObject({ isError: true });
    expect(other.structuredContent?.["output"]).toBeUndefined();
  });
});

test("the page on paid tools shows an entry that is valid", async () => {
  const page = await readFile(new URL("../../docs/paid-mcp.md", import.meta.url), "utf8");
  const [, shown = ""] = /^```json\n([\s\S]*?)^```/m.exec(page) ?? [];
  expect(sellerSchema.safeParse(JSON.parse(shown)).error).toBeUndefined();
});

test("nothing is answered for a payment that cannot settle, and a call that can only fail asks for no money", async () => {
  const { call } = await stock("2026");
  const arguments_ = { features: [ETH_FEATURES.features] };
  const unpaid = await call({ name: "eth-risk", arguments: {} });
  const required = unpaid.structuredContent as unknown as PaymentRequired;
  const key = await newKey(market, 0n);
  const payer = new x402Client().register(required.accepts[0]!.network, new ExactEvmScheme(privateKeyToAccount(key)));
  payer.setSpendControls({ allowedAssets: true });
  const payment = await payer.createPaymentPayload({ ...required, accepts: required.accepts.slice(0, 1) });
  const refused = await call({ name: "eth-risk", arguments: arguments_, _meta: { "x402/payment": payment } });
  expect(refused).toMatchObject({ isError: true, structuredContent: { x402Version: 2, accepts: expect.any(Array) } });
  expect(refused.content[0]!.text).not.toContain("output");
  for (const asked of [{ features: [[1]] }, { features: "x" }, { features: arguments_.features, more: 1 }]) {
    const failed = await call({ name: "eth-risk", arguments: asked });
    expect([failed.isError, failed.structuredContent]).toEqual([true, undefined]);
  }
});
