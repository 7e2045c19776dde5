import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { buyerFrom, stockSeller } from "./stock-seller.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

describe("our buyer", () => {
  test("pays a stock @x402/hono seller, and says that nothing about its answer is proven", async () => {
    const seller = await stockSeller(market);
    try {
      const buyer = await buyerFrom(market, seller);
      const { payer } = await buyer.spending();
      const before = await market.devnet.balanceOf(payer ?? "");
      const result = await buyer.buy({
        model: "echo",
        input: { x: [[1, 2]] },
        assurance: "none",
        idempotencyKey: crypto.randomUUID(),
      });
      if ("needInput" in result) throw new Error("nobody should have been asked");
      expect(result.answer).toEqual({ y: [1, 2] });
      expect(result.appraisal.verdict).toBe("unverified");
      const settled = await buyer.getReceipt(result.receipt.id, { waitSeconds: 10 });
      await expect
        .poll(async () => newestAppraisal(await buyer.getReceipt(settled.id)).layers.settlement.status, {
          timeout: 10_000,
        })
        .toBe("pass");
      expect(before - (await market.devnet.balanceOf(payer ?? ""))).toBe(2500n);
    } finally {
      await seller.stop();
    }
  });
});
