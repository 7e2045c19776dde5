import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { callTool } from "../../src/tools/call.ts";
import { tools } from "../../src/tools/index.ts";
import { paidText, summarize } from "../../src/tools/summary.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

let market: Market;
let buyer: Buyer;
beforeAll(async () => {
  market = await openMarket();
  // Five sellers: the devnet's three, and two more names for the honest one.
  buyer = await market.buyer(({ sellers }) => {
    const honest = sellers.find(({ id }) => id === "honest");
    if (honest !== undefined) for (const id of ["prover", "forger"]) sellers.push({ ...honest, id });
  });
});
afterAll(() => market.stop());

type Result = { text: string; data: Record<string, unknown> };

async function resultOf(name: string, args: Record<string, unknown>): Promise<Result> {
  const tool = tools.find((one) => one.name === name);
  if (tool === undefined) throw new Error(`no tool ${name}`);
  const outcome = await callTool(tool, { buyer }, args);
  if (outcome.status === "error") throw new Error(outcome.text);
  return { text: outcome.text, data: outcome.data as Record<string, unknown> };
}

/** Characters / 4 of what a model may be shown of a result: its text, or its data. */
const tokensOf = ({ text, data }: Result): number[] => [text.length / 4, JSON.stringify(data).length / 4];
const withinTokens = (result: Result, most: number): void => {
  for (const tokens of tokensOf(result)) expect(tokens, result.text).toBeLessThanOrEqual(most);
};

/** What the results of a purchase name as the next step, and a verification in its place. */
const NEXT: Readonly<Record<string, string[]>> = {
  verified: ["verify_receipt checks it again.", "Act within what notProven says."],
  failed: ["Find another seller: list_models."],
  unverified: ["Treat as unproven: its layers say why."],
};

describe("a result is short", () => {
  test("list_models: at most 700 tokens for 3 models at 5 sellers, by model, in dollars", async () => {
    const result = await resultOf("list_models", {});
    withinTokens(result, 700);
    const models = result.data["models"] as { model: string; sellers: { seller: string; priceUsd?: string }[] }[];
    expect(models.map(({ model }) => model)).toEqual(["eth-risk", "payroll-check", "supply-route"]);
    for (const { sellers } of models) {
      expect(sellers).toHaveLength(5);
      for (const { priceUsd } of sellers) expect(Number(priceUsd)).toBeGreaterThan(0);
    }
    expect(result.text.match(/Judge the short-term risk/g)).toHaveLength(1);
    expect(result.text).toContain("honest: 0.01 USDC ($0.01)");
    expect(result.data["tokens"]).toEqual([{ symbol: "USDC", decimals: 6, network: "eip155:31337" }]);
  });

  test.each([
    ["verified", { seller: "honest", wait: "verified" }],
    ["failed", { seller: "tampering" }],
    ["unverified", { seller: "unattested", assurance: "none" }],
  ])("buy_inference and get_receipt: at most 400 tokens of a purchase that is %s", async (verdict, how) => {
    const bought = await resultOf("buy_inference", { model: "eth-risk", input: ETH_FEATURES, ...how });
    expect(bought.data).toMatchObject({ receipt: { verdict }, paidNow: true });
    withinTokens(bought, 400);
    const { id } = bought.data["receipt"] as { id: string };
    const got = await resultOf("get_receipt", { id });
    withinTokens(got, 400);
    expect(got.data).toMatchObject({ exchange: { input: ETH_FEATURES, answer: bought.data["answer"] } });
    expect(got.text).toContain(JSON.stringify(bought.data["answer"]));
    const verified = await resultOf("verify_receipt", { id });
    expect(verified.data["exchange"]).toEqual(got.data["exchange"]);
    const { amount, ...paid } = (got.data["receipt"] as { paid: Record<string, unknown> }).paid;
    expect(paid).toMatchObject({ symbol: "USDC", decimals: 6, usd: String(Number(amount) / 1e6) });
    const spent = await resultOf("spending", {});
    expect((spent.data["recent"] as unknown[])[0]).toMatchObject({ symbol: "USDC", decimals: 6, receiptId: id });
    const [toDo, left = toDo] = NEXT[verdict] ?? [];
    expect([bought, got, verified].map(({ data }) => data["next"])).toEqual([toDo, toDo, left]);
    for (const { text, data } of [bought, got, verified]) {
      expect(text.endsWith(`\n${String(data["next"])}`)).toBe(true);
      expect(text).toContain(`${String(paid["usd"])} USDC ($${String(paid["usd"])}) on eip155:31337`);
      expect(text).not.toMatch(/0x[0-9a-f]{40}\b/);
    }
  });
});

test("of a token that the reader's policy names, a receipt's own decimals count for nothing; an unknown one goes by its address", async () => {
  const { receipt, policy, evaluateAt } = await makeFixture();
  receipt.core.offer.decimals = 2;
  const { network, asset } = receipt.core.payment;
  const appraisal = await appraise({ receipt, policy, now: evaluateAt, evaluateAt });
  const textWith = (tokens: Buyer["tokens"]): string => paidText(summarize(receipt, appraisal, tokens).paid);
  const known = { network, asset, symbol: "USDC", decimals: 6, usdStable: true };
  expect(textWith([known])).toContain("Paid: 0.01 USDC ($0.01) on eip155:31337.");
  expect(textWith([{ ...known, usdStable: false }])).toContain("Paid: 0.01 USDC on eip155:31337.");
  expect(textWith([{ ...known, network: "eip155:1" }])).toContain(
    `Paid: 100 of the unknown token ${asset} on eip155:31337.`,
  );
});

describe("what a receipt says was asked and answered", () => {
  const verifyFile = (file: Uint8Array): Promise<Result> =>
    resultOf("verify_receipt", { content: new TextDecoder().decode(file) });

  test("is the seller's words in part: without what hides text, and cut", async () => {
    const outputs = [
      { name: "label", datatype: "BYTES", shape: [2], data: ["Ignore\u202Ethis\u0000", "x".repeat(5000)] },
    ];
    const { receipt } = await makeFixture({
      response: (id) => JSON.stringify({ model_name: "eth-risk", id, outputs }),
    });
    const { text, data } = await verifyFile(serializeReceipt(receipt));
    const { answer, note } = data["exchange"] as { answer: Record<string, unknown>; note: string };
    expect(JSON.stringify(answer)).toContain("Ignore this ");
    expect(JSON.stringify(answer).length).toBeLessThan(500);
    expect(note).toMatch(/Answer: Shown with changes: .*hidden characters.*long data is cut/);
    for (const shown of [text, JSON.stringify(data)]) expect(shown).not.toMatch(/\p{Cf}|\0/u);
    expect(text).toContain("Answer (seller's data): ");
  });

  test("is missing from a redacted receipt, and the result says so", async () => {
    const { receipt } = await makeFixture();
    const file = serializeReceipt(redactReceipt(receipt, { request: true, response: true }));
    const { data, text } = await verifyFile(file);
    expect(data["exchange"]).toMatchObject({ input: null, answer: null, note: expect.stringContaining("redacted") });
    expect(text).toContain("Input: not shown");
    expect(data["receipt"]).toMatchObject({ id: receipt.id });
  });
});
