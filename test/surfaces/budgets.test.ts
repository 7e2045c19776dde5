import { RunContext, type FunctionTool } from "@openai/agents";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import * as ai from "../../src/ai/index.ts";
import type { ApprovalDecision, Buyer } from "../../src/buyer/types.ts";
import type { Served } from "../../src/devnet/index.ts";
import * as openai from "../../src/openai-agents/index.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { openSeller, type OwnSeller } from "../support/selling.ts";

/** A shop with two prices: for the dear one it takes a payment, serves nothing, and offers the cheap one. */
let market: Market;
let dear: OwnSeller;
let cheap: OwnSeller;
let shop: Served;
let buyer: Buyer;
let turnsDown: boolean;
let answer: ApprovalDecision;
beforeAll(async () => {
  market = await openMarket();
  dear = await openSeller(market);
  const { payTo } = dear;
  cheap = await openSeller(market, { models: [{ name: "eth-risk", price: "9990" }], payment: { payTo } });
  const ask = async (path: string, request: Request, headers: Headers): Promise<Response> => {
    for (const name of ["host", "connection", "content-length"]) headers.delete(name);
    const body = await request.arrayBuffer();
    const answered = await fetch(`${cheap.origin}${path}`, { method: "POST", headers, body });
    const kept = new Headers(answered.headers);
    for (const name of ["content-encoding", "content-length", "connection", "transfer-encoding"]) kept.delete(name);
    return new Response(await answered.arrayBuffer(), { status: answered.status, headers: kept });
  };
  shop = await infront(dear.origin, (path, request) => {
    const payment = request.headers.get("payment-signature");
    if (request.method !== "POST" || payment === null) return Promise.resolve(null);
    const { accepted } = JSON.parse(Buffer.from(payment, "base64").toString()) as { accepted: { amount: string } };
    const headers = new Headers(request.headers);
    if (accepted.amount === "9990") return ask(path, request, headers);
    if (!turnsDown) return Promise.resolve(null);
    headers.delete("payment-signature");
    return ask(path, request, headers);
  });
});
afterAll(async () => {
  await Promise.all([shop.stop(), dear.stop(), cheap.stop()]);
  await market.stop();
});

beforeEach(async () => {
  turnsDown = false;
  answer = "approved";
  buyer = await market.buyer((config) => {
    const own = config.sellers.filter(({ id }) => id === "unattested");
    config.sellers = own.map(
      (one) => ({ ...one, origin: shop.origin, payTo: [dear.payTo, dear.payTo.toLowerCase()] }) as typeof one,
    );
    // Asks a person about what one call may cost by two payments, and about no single one.
    for (const asset of config.payment.assets) if (asset.decimals === 6) asset.approveAbove = "15000";
  });
});

type Outcome = { status: string; error?: { code: string; message: string }; data?: { paidNow: boolean } };
type Tools = ReturnType<typeof ai.proof402Tools>;
let calls = 0;
const buyBy = async (tools: Tools, args: object = {}, toolCallId = `call_${(calls += 1)}`): Promise<Outcome> =>
  (await tools.buy_inference?.execute?.(
    { model: "eth-risk", input: ETH_FEATURES, assurance: "none", ...args },
    { toolCallId, messages: [] },
  )) as Outcome;
const setOf = (maxUsd: number, on = buyer): Tools =>
  ai.proof402Tools({ buyer: on, maxUsd, approve: () => Promise.resolve(answer) });
/** What the caps count: moved, or still able to move. */
const atStake = async (): Promise<bigint> =>
  (await buyer.spending()).assets.reduce((sum, { spent, reserved }) => sum + BigInt(spent) + BigInt(reserved), 0n);

test("a budget counts a payment that its seller turned down, beside the one that it served", async () => {
  const tools = setOf(0.03);
  expect(await buyBy(tools)).toMatchObject({ status: "ok" });
  turnsDown = true;
  expect(await buyBy(tools)).toMatchObject({ status: "ok", data: { paidNow: true } });
  expect(await atStake()).toBe(29_990n);
  const refused = await buyBy(tools);
  expect(refused.error).toMatchObject({ code: "over_budget" });
  expect(refused.error?.message).toContain("$0.02999 of $0.03 is used");
  expect(await atStake()).toBe(29_990n);
});

test("a budget counts a payment that is out while a person is asked about the next one of its call", async () => {
  const tools = setOf(0.03);
  await buyBy(tools);
  turnsDown = true;
  answer = "ask_later";
  await expect(buyBy(tools)).rejects.toMatchObject({ code: "approval_pending", money: "may-move" });
  expect(await atStake()).toBe(20_000n);
  turnsDown = false;
  // An equal call takes that one up.
  expect(await buyBy(tools)).toMatchObject({ status: "ok", data: { paidNow: false } });
  expect(await buyBy(tools)).toMatchObject({ status: "ok", data: { paidNow: true } });
  expect((await buyBy(tools)).error).toMatchObject({ code: "over_budget" });
});

test("a refusal names the price, and the earlier payments of the call beside it", async () => {
  const tools = setOf(0.025);
  await buyBy(tools);
  turnsDown = true;
  const refused = await buyBy(tools);
  expect(refused.error).toMatchObject({ code: "over_budget", money: "may-move" });
  expect(refused.error?.message).toContain("$0.00999 and the $0.01 of this call's earlier payments do not fit");
  const other = await buyBy(tools, { max_usd: 0.5 });
  expect(other.error?.message).toMatch(/^The price of \$0\.0\d+ does not fit in .*: \$0\.02 of \$0\.025 is used/);
});

test("ids of tool calls that repeat name a call of one set of tools alone", async () => {
  const [first, second] = [setOf(0.015), setOf(0.015)];
  expect(await buyBy(first, {}, "call_0")).toMatchObject({ data: { paidNow: true } });
  expect(await buyBy(first, {}, "call_0")).toMatchObject({ data: { paidNow: false } });
  expect(await buyBy(second, {}, "call_0")).toMatchObject({ data: { paidNow: true } });
  const invoke = (set: FunctionTool[]): Promise<unknown> =>
    set
      .find(({ name }) => name === "buy_inference")!
      .invoke(new RunContext(), JSON.stringify({ model: "eth-risk", input: ETH_FEATURES, assurance: "none" }), {
        toolCall: { type: "function_call", callId: "call_0", name: "buy_inference", arguments: "" },
      });
  const [one, other] = [openai.proof402Tools({ buyer }), openai.proof402Tools({ buyer })];
  for (const [set, paid] of [
    [one, "in this call"],
    [one, "Nothing was paid"],
    [other, "in this call"],
  ] as const)
    expect(await invoke(set)).toContain(paid);
});
