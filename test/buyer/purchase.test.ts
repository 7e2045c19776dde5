import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuyResult } from "../../src/buyer/types.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const key = (): string => crypto.randomUUID();
const bought = (result: Awaited<ReturnType<Awaited<ReturnType<Market["buyer"]>>["buy"]>>): BuyResult => {
  if ("needInput" in result) throw new Error("nobody should have been asked");
  return result;
};

describe("an attested purchase", () => {
  test("moves from pending to verified, and exactly the price leaves the wallet", async () => {
    const buyer = await market.buyer();
    const { payer } = await buyer.spending();
    const before = await market.devnet.balanceOf(payer ?? "");
    const steps: string[] = [];
    const result = bought(
      await buyer.buy(
        { model: "eth-risk", input: ETH_FEATURES, seller: "attested", idempotencyKey: key() },
        { onProgress: ({ step }) => steps.push(step) },
      ),
    );
    expect(result.appraisal.verdict).toBe("pending");
    expect(result.appraisal.assurance).toBe("attested");
    expect(result.appraisal.simulated).toBe(true);
    expect(result.answer["probabilities"]).toHaveLength(3);
    const receipt = await buyer.getReceipt(result.receipt.id, { waitSeconds: 20 });
    expect(newestAppraisal(receipt).verdict).toBe("verified");
    expect(steps).toEqual(["chosen", "attested", "quoted", "reserved", "paid", "answered", "verified"]);
    expect(before - (await market.devnet.balanceOf(payer ?? ""))).toBe(10_000n);
    const audit = await buyer.audit();
    expect(audit.ok).toBe(true);
  });
});
