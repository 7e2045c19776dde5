import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

const ROUTE = { features: [1.2, 0.33, 0.8, 0.3, 0.4, 0.2, 0.9] };
const PAYROLL = { features: [1.02, 0.1, 0.98, 0.9, 0.02, 0.8, 1, 1.01] };

let market: Market;
beforeAll(async () => {
  market = await openMarket({ proving: true });
});
afterAll(() => market.stop());

async function buy(buyer: Buyer, request: Partial<Parameters<Buyer["buy"]>[0]> = {}): Promise<BuyResult> {
  const result = await buyer.buy({
    model: "eth-risk",
    input: ETH_FEATURES,
    assurance: "proven",
    idempotencyKey: crypto.randomUUID(),
    ...request,
  });
  if ("needInput" in result) throw new Error("nobody should have been asked");
  return result;
}
const proofsIn = ({ later }: Receipt): number => later.filter(({ evidence }) => evidence.kind === "zk.groth16").length;

describe("an answer bought with assurance proven", () => {
  test.each([
    ["eth-risk", ETH_FEATURES],
    ["payroll-check", PAYROLL],
    ["supply-route", ROUTE],
  ])("%s: is pending at once and verified when its proof lands, once", async (model, input) => {
    const buyer = await market.buyer();
    const bought = await buy(buyer, { model, input, seller: "proving" });
    expect(bought.appraisal).toMatchObject({ verdict: "pending", layers: { computation: { status: "pending" } } });
    const receipt = await buyer.getReceipt(bought.receipt.id, { waitSeconds: 30 });
    const appraisal = newestAppraisal(receipt);
    expect(appraisal).toMatchObject({
      verdict: "verified",
      assurance: "proven",
      layers: { computation: { status: "pass", code: "development_proof" } },
    });
    expect(appraisal.notProven.join(" ")).toContain("Development setup");
    expect(proofsIn(receipt)).toBe(1);
  });

  test("wait verified comes back with the proof", async () => {
    const buyer = await market.buyer();
    const bought = await buy(buyer, { seller: "proving", wait: "verified" });
    expect(bought.appraisal).toMatchObject({ verdict: "verified", assurance: "proven" });
  });

  test("a proof of another model's computation fails, and its seller is on hold", async () => {
    const buyer = await market.buyer();
    // The cheapest that claims to prove is the one that lies.
    const first = await buy(buyer, { wait: "verified" });
    expect(first.receipt.core.seller.id).toBe("forging");
    expect(first.appraisal).toMatchObject({ verdict: "failed", layers: { computation: { status: "fail" } } });
    expect((await buyer.sellers()).find(({ id }) => id === "forging")).toMatchObject({ hold: expect.anything() });
    const second = await buy(buyer, { wait: "verified" });
    expect(second.receipt.core.seller.id).toBe("proving");
    expect(second.appraisal.verdict).toBe("verified");
  });

  test("a development setup counts only where the policy says so", async () => {
    const buyer = await market.buyer((config) => {
      config.verification.developmentSetups = false;
    });
    const bought = await buy(buyer, { seller: "proving" });
    await vi.waitFor(async () => expect(proofsIn(await buyer.getReceipt(bought.receipt.id))).toBe(1), {
      timeout: 20_000,
    });
    expect(newestAppraisal(await buyer.getReceipt(bought.receipt.id))).toMatchObject({
      verdict: "unverified",
      assurance: "attested",
      layers: { computation: { status: "skip", code: "development_setup" } },
    });
  });

  test("a request of several rows is not proved, and says so", async () => {
    const buyer = await market.buyer();
    const bought = await buy(buyer, {
      seller: "proving",
      input: { features: [ETH_FEATURES.features, ETH_FEATURES.features] },
      wait: "verified",
    });
    expect(bought.appraisal).toMatchObject({
      verdict: "unverified",
      layers: { computation: { status: "skip", code: "proof_not_delivered" } },
    });
  });
});
