import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inputOf } from "../../src/buyer/answer.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { paidAmount } from "../../src/receipts/paid.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { buyerOf, chatServer, requiredHeader, requirementOf } from "../support/chat-server.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";

let market: Market;
let buyer: Buyer;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  market = await openMarket({ chat: true });
  buyer = await market.buyer();
});
afterAll(async () => {
  await Promise.all(closing.map((close) => close()));
  await market.stop();
});

const HELLO = { messages: [{ role: "user", content: "hello" }] };
const buyChat = (input: Record<string, unknown>, by = buyer, options: object = {}): Promise<BuyResult> =>
  by.buy("devnet-chat", input, { assurance: "none", seller: "chat", ...options });
const layersOf = ({ appraisal }: BuyResult): Record<string, string> =>
  Object.fromEntries(Object.entries(appraisal.layers).map(([layer, { status, code }]) => [layer, `${status} ${code}`]));

describe("a chat is bought by x402", () => {
  test("from a seller that is listed like any other, and its receipt says what was not shown", async () => {
    const { models } = await buyer.listModels();
    const listed = models.find(({ name }) => name === "devnet-chat");
    expect(listed).toMatchObject({ inputs: [], assurance: "none", priceUsd: "0.01", seller: { id: "chat" } });
    expect(listed?.input["messages"]).toContain("role");
    const bought = await buyChat(HELLO);
    expect(bought.answer).toMatchObject({ text: "You said: hello", unsigned: { model: "devnet-chat" } });
    expect(bought).toMatchObject({ verdict: "unverified", paidNow: true });
    expect(inputOf(bought.receipt)).toEqual(HELLO);
    expect(layersOf(bought)).toMatchObject({
      request: "skip not_signed",
      response: "skip not_signed",
      payment: "pass ok",
    });
    const limits = bought.appraisal.notProven.join(" ");
    expect(limits).toContain("That the answer repeats the payment's hash");
    expect(limits).toContain("that the answer is what the seller produced");
  });

  test("with tools, as a stream, and as a completion", async () => {
    const tools = [{ type: "function", function: { name: "get_price", parameters: { type: "object" } } }];
    const called = await buyChat({ messages: [{ role: "user", content: 'get_price {"pair":"ETH"}' }], tools });
    expect(called.answer).toMatchObject({
      tool_calls: [{ function: { name: "get_price", arguments: '{"pair":"ETH"}' } }],
    });
    const streamed = await buyChat({ ...HELLO, stream: true });
    expect(streamed.answer).toMatchObject({ text: "You said: hello", unsigned: { usage: { total_tokens: 4 } } });
    const completed = await buyChat({ prompt: "hello" });
    expect(completed.answer).toMatchObject({ text: "You said: hello" });
    expect(completed.receipt.core.request.path).toBe("/v1/completions");
  });

  test("under upto, for the tokens that the seller counts", async () => {
    const key = generatePrivateKey();
    const { bank } = market.devnet;
    const { address } = privateKeyToAccount(key);
    await bank.fund(address);
    await bank.token.mint(address, 1_000_000n);
    const config = market.config((made) => {
      for (const asset of made.payment.assets) asset.methods = ["upto"];
    });
    const wallet = walletFromPrivateKey(key);
    const db = await openDatabase(config.database);
    closing.push(() => db.destroy());
    const asset = config.payment.assets[0]!;
    await approvePermit2({ db, chain: openChain(config.networks[0]!), wallet, asset, amount: 10_000n });
    const metered = await openBuyer({ config, wallet });
    closing.push(() => metered.close());
    const bought = await buyChat(HELLO, metered);
    expect(bought.receipt.core.payment.amount).toBe("10000");
    await eventually(async () => {
      const receipt = await metered.getReceipt(bought.receipt.id);
      expect(paidAmount(receipt)).toMatchObject({ amount: "80", state: "settled" });
    });
    expect(await bank.balanceOf(address)).toBe(999_920n);
    expect(bought.appraisal.notProven.join(" ")).toContain("the amount charged fits the work");
  });
});

test("offers on chains that are not held, and entries that cannot be read, hide none that is within the policy", async () => {
  const solana = {
    ...requirementOf(market),
    network: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    asset: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    payTo: "CKPKJWNdJEqa81x7CkZ14BVPiY6y16Sxs7owznqtWYp5",
    amount: "1",
    extra: { feePayer: "CKPKJWNdJEqa81x7CkZ14BVPiY6y16Sxs7owznqtWYp5" },
  };
  const other = { ...requirementOf(market), network: "eip155:8453", amount: "1" };
  const unread = [null, 7, "exact", { scheme: "exact" }, { ...requirementOf(market), amount: "-5" }];
  const accepts = [solana, ...unread, other, requirementOf(market), { ...solana, scheme: "upto" }];
  const server = await chatServer(market, {
    unpaid: () => new Response("{}", { status: 402, headers: { "payment-required": requiredHeader(accepts) } }),
  });
  closing.push(server.stop);
  const bought = await buyChat(HELLO, await buyerOf(market, server));
  expect(bought.receipt.core.payment).toMatchObject({ amount: "2500", network: `eip155:${market.devnet.chainId}` });
  expect(server.settled).toHaveLength(1);
});

describe("an offer in the body of a 402", () => {
  const v1 = (change: object = {}): object => {
    const { amount, ...rest } = requirementOf(market);
    const said = { resource: "http://x", description: "", mimeType: "application/json", ...change };
    return { ...rest, maxAmountRequired: amount, ...said };
  };

  test.each([
    [
      "of x402 v2 is paid in its header",
      () => ({ x402Version: 2, accepts: [requirementOf(market)] }),
      "payment-signature",
      2,
    ],
    ["of x402 v1 is paid in that one's header", () => ({ x402Version: 1, error: "", accepts: [v1()] }), "x-payment", 1],
  ])("%s", async (_what, body, name, version) => {
    const server = await chatServer(market, { unpaid: () => Response.json(body(), { status: 402 }) });
    closing.push(server.stop);
    const bought = await buyChat(HELLO, await buyerOf(market, server));
    expect(bought.answer).toMatchObject({ text: "You said: hello" });
    expect(server.settled.map((one) => one.name)).toEqual([name]);
    expect(layersOf(bought)["payment"]).toBe("pass ok");
    const { payment } = server.settled[0]!;
    expect(payment["x402Version"]).toBe(version);
  });

  test("is held to the same policy, and counts for nothing beside a header", async () => {
    const stranger = `0x${"66".repeat(20)}`;
    for (const body of [
      { x402Version: 1, accepts: [v1({ payTo: stranger })] },
      { x402Version: 2, accepts: [{ ...requirementOf(market), payTo: stranger }] },
    ]) {
      const server = await chatServer(market, { unpaid: () => Response.json(body, { status: 402 }) });
      closing.push(server.stop);
      await expect(buyChat(HELLO, await buyerOf(market, server))).rejects.toMatchObject({ code: "payee_not_allowed" });
      expect(server.settled).toEqual([]);
    }
    const header = { "payment-required": requiredHeader([requirementOf(market)]) };
    const two = await chatServer(market, {
      unpaid: () =>
        Response.json(
          { x402Version: 1, accepts: [v1({ payTo: stranger, maxAmountRequired: "1" })] },
          { status: 402, headers: header },
        ),
    });
    closing.push(two.stop);
    const bought = await buyChat(HELLO, await buyerOf(market, two));
    expect(bought.receipt.core.payment).toMatchObject({ amount: "2500", payTo: market.devnet.sellers.chat!.payTo });
    for (const body of [
      "",
      "[]",
      '{"x402Version":3,"accepts":[]}',
      '{"x402Version":1,"x402Version":2,"accepts":[{}]}',
    ]) {
      const none = await chatServer(market, { unpaid: () => new Response(body, { status: 402 }) });
      closing.push(none.stop);
      await expect(buyChat(HELLO, await buyerOf(market, none))).rejects.toMatchObject({ code: "malformed_offer" });
    }
  });
});

describe("the model that served", () => {
  const from = async (change: (answer: Record<string, unknown>) => object, headers: Record<string, string> = {}) => {
    const server = await chatServer(market, {
      paid: () =>
        Response.json(
          change({ model: "devnet-chat", choices: [{ index: 0, message: { role: "assistant", content: "hi" } }] }),
          { headers },
        ),
    });
    closing.push(server.stop);
    return buyChat(HELLO, await buyerOf(market, server));
  };

  test.each<[string, string, Record<string, string>, string]>([
    ["another model in the answer", "devnet-chat-mini", {}, "model_name_mismatch"],
    ["a fallback in the headers", "devnet-chat", { "x-fallback-used": "true" }, "fallback_served"],
    ["another model in the headers", "devnet-chat", { "x-fallback-model": "tiny" }, "fallback_served"],
  ])("fails the receipt if it is another than was asked for: %s", async (_what, model, headers, code) => {
    const bought = await from((answer) => ({ ...answer, model }), headers);
    expect(layersOf(bought)).toMatchObject({ model: `fail ${code}`, response: `fail ${code}` });
    expect(bought.verdict).toBe("failed");
    const kept = bought.receipt.core.evidence.filter(({ kind }) => kind === "served.fallback");
    expect(kept).toHaveLength(Object.keys(headers).length);
  });

  test("is the one asked for by a dated alias, and where the headers deny another", async () => {
    const headers = { "x-fallback-used": "false", "x-fallback-model": "" };
    const bought = await from((answer) => ({ ...answer, model: "devnet-chat-2026-01-15" }), headers);
    expect(bought.verdict).toBe("unverified");
    expect(layersOf(bought)["model"]).toMatch(/^skip/);
    expect(bought.appraisal.layers.model.note).toContain("by a dated alias: devnet-chat-2026-01-15.");
    expect(bought.receipt.core.evidence).toContainEqual({ kind: "served.fallback", used: "false", model: "" });
  });
});
