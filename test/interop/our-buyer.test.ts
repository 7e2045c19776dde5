import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { openChain } from "../../src/chain/chain.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { buyerFrom, stockSeller } from "./stock-seller.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** Lets Permit2 move so much of the buyer's wallet, base units. */
async function allow(amount: bigint): Promise<Wallet> {
  const { networks, payment } = market.config();
  const [network, asset] = [networks[0], payment.assets[0]];
  if (network === undefined || asset === undefined) throw new Error("the devnet has a network and an asset");
  const wallet = walletFromPrivateKey(market.devnet.privateKey);
  const db = await openDatabase(":memory:");
  await approvePermit2({ db, chain: openChain(network), wallet, asset, amount });
  await db.destroy();
  return wallet;
}

describe("our buyer", () => {
  test("pays a stock @x402/hono seller, and says that nothing about its answer is proven", async () => {
    const seller = await stockSeller(market);
    try {
      const buyer = await buyerFrom(market, seller);
      const { payer } = await buyer.spending();
      const before = await market.devnet.balanceOf(payer ?? "");
      const result = await buyWith(buyer, {
        model: "echo",
        input: { x: [[1, 2]] },
        assurance: "none",
        idempotencyKey: crypto.randomUUID(),
      });
      expect(result.answer).toEqual({ y: [1, 2] });
      expect(result.appraisal.verdict).toBe("unverified");
      const settled = await buyer.getReceipt(result.receipt.id, { waitSeconds: 120 });
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

  test.each([
    ["permit2", { scheme: "exact" }, 2500n],
    ["upto", { scheme: "upto", settles: "700" }, 700n],
    ["upto", { scheme: "upto", settles: "2500" }, 2500n],
  ] as const)("pays it by %s, %j", async (method, permit2, moved) => {
    const seller = await stockSeller(market, { permit2 });
    try {
      const buyer = await buyerFrom(market, seller, [method]);
      const wallet = await allow(2500n);
      const before = await market.devnet.balanceOf(wallet.address);
      const result = await buyWith(buyer, {
        model: "echo",
        input: { x: [[1, 2]] },
        assurance: "none",
        idempotencyKey: crypto.randomUUID(),
      });
      expect(result.answer).toEqual({ y: [1, 2] });
      await expect
        .poll(async () => newestAppraisal(await buyer.getReceipt(result.receipt.id)).layers.settlement.status, {
          timeout: 10_000,
        })
        .toBe("pass");
      expect(before - (await market.devnet.balanceOf(wallet.address))).toBe(moved);
      expect((await buyer.spending()).assets[0]).toMatchObject({ spent: String(moved), reserved: "0" });
    } finally {
      await seller.stop();
    }
  });

  test("gives nothing to a stock seller that wants to settle more than was signed", async () => {
    const seller = await stockSeller(market, { permit2: { scheme: "upto", settles: "2501" } });
    try {
      const buyer = await buyerFrom(market, seller, ["upto"]);
      const wallet = await allow(1_000_000n);
      const before = await market.devnet.balanceOf(wallet.address);
      const bought = buyWith(buyer, {
        model: "echo",
        input: { x: [[1, 2]] },
        assurance: "none",
        idempotencyKey: crypto.randomUUID(),
      });
      await expect(bought).rejects.toMatchObject({ code: "payment_rejected", money: "may-move" });
      expect(await market.devnet.balanceOf(wallet.address)).toBe(before);
      expect((await buyer.spending()).assets[0]).toMatchObject({ spent: "0", reserved: "2500" });
    } finally {
      await seller.stop();
    }
  });
});
