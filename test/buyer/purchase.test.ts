import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuyResult } from "../../src/buyer/types.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Config } from "../../src/config/schema.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { settlementsOf } from "../support/later.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const key = (): string => crypto.randomUUID();
const bought = (result: Awaited<ReturnType<Awaited<ReturnType<Market["buyer"]>>["buy"]>>): BuyResult => {
  return result;
};

describe("an attested purchase", () => {
  test("moves from pending to verified, and exactly the price leaves the wallet", async () => {
    const buyer = await market.buyer();
    const { payer } = await buyer.spending();
    const before = await market.devnet.balanceOf(payer ?? "");
    const steps: string[] = [];
    const result = bought(
      await buyWith(
        buyer,
        { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: key() },
        { onProgress: ({ step }) => steps.push(step) },
      ),
    );
    expect(result.appraisal.verdict).toBe("pending");
    expect(result.appraisal.assurance).toBe("attested");
    expect(result.appraisal.simulated).toBe(true);
    expect(result.answer).toMatchObject({
      probabilities: [expect.any(Number), expect.any(Number), expect.any(Number)],
    });
    const receipt = await buyer.getReceipt(result.receipt.id, { waitSeconds: 120 });
    expect(newestAppraisal(receipt).verdict).toBe("verified");
    expect(steps).toEqual(["chosen", "attested", "quoted", "reserved", "paid", "answered", "checked"]);
    expect(before - (await market.devnet.balanceOf(payer ?? ""))).toBe(10_000n);
    const audit = await buyer.audit();
    expect(audit.ok).toBe(true);
  });
});

describe("waiting for the verdict", () => {
  test("is told of each piece of evidence as it comes, and of the verdict with the last", async () => {
    const buyer = await market.buyer();
    const heard: string[] = [];
    const { appraisal, receipt } = bought(
      await buyWith(
        buyer,
        { model: "eth-risk", input: ETH_FEATURES, seller: "honest", wait: "verified", idempotencyKey: key() },
        { onProgress: ({ step, message }) => void (step === "landed" && heard.push(message)) },
      ),
    );
    expect(appraisal.verdict).toBe("verified");
    expect(heard).toHaveLength(receipt.later.length);
    expect(heard.at(-1)).toMatch(/^background checks: the verdict is verified \(settlement pass, /);
  });
});

describe("a seller that changes answers after signing them", () => {
  test("never yields verified, and is on hold afterwards, also after a restart", async () => {
    let database = "";
    const buyer = await market.buyer((config) => (database = config.database));
    const result = bought(
      await buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, seller: "tampering", idempotencyKey: key() }),
    );
    expect(result.appraisal.verdict).toBe("failed");
    expect(result.appraisal.layers.response).toMatchObject({ status: "fail", code: "output_hash_mismatch" });
    const settled = await buyer.getReceipt(result.receipt.id, { waitSeconds: 120 });
    expect(newestAppraisal(settled).verdict).toBe("failed");
    await expect(
      buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, seller: "tampering", idempotencyKey: key() }),
    ).rejects.toMatchObject({
      code: "seller_on_hold",
      money: "not-moved",
    });
    await buyer.close();

    const restarted = await market.buyer((config) => (config.database = database));
    const { models } = await restarted.listModels();
    const tampering = models.find((model) => model.seller.id === "tampering");
    expect(tampering?.seller.state).toBe("on_hold");
    expect(tampering?.seller.reason).toContain("output_hash_mismatch");
    // Without a seller named, the next call goes to the attested one although it costs more.
    const next = bought(await buyWith(restarted, { model: "eth-risk", input: ETH_FEATURES, idempotencyKey: key() }));
    expect(next.receipt.core.seller.id).toBe("honest");
  });
});

describe("a seller without evidence", () => {
  test("is bought from only if the call asks for assurance none, and is then unverified", async () => {
    const buyer = await market.buyer();
    for (const assurance of [undefined, "signed", "attested", "proven"] as const) {
      const request = {
        model: "eth-risk",
        input: ETH_FEATURES,
        seller: "unattested",
        idempotencyKey: key(),
        ...(assurance === undefined ? {} : { assurance }),
      };
      await expect(buyWith(buyer, request)).rejects.toMatchObject({
        code: "no_seller_for_assurance",
        money: "not-moved",
      });
    }
    const result = bought(
      await buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, assurance: "none", idempotencyKey: key() }),
    );
    expect(result.receipt.core.seller.id).toBe("unattested");
    expect(result.appraisal.verdict).toBe("unverified");
    await buyer.close();
  });
});

describe("a seller that cannot attest", () => {
  test.each([
    [
      "runs other code than the policy accepts",
      (config: Config) =>
        config.sellers.forEach(
          (s) => (s.reference.measurements = [{ "0": "ab".repeat(48), "1": "ab".repeat(48), "2": "ab".repeat(48) }]),
        ),
    ],
    [
      "serves another model than the policy names",
      (config: Config) => config.sellers.forEach((s) => (s.reference.models = { "eth-risk": "ab".repeat(32) })),
    ],
    [
      "stands under a root that the policy does not accept",
      (config: Config) => (config.verification.simulatedRoots = []),
    ],
  ])("because it %s: nothing is paid and no input leaves", async (_name, change) => {
    const buyer = await market.buyer((config) => {
      change(config);
    });
    const { payer } = await buyer.spending();
    const before = await market.devnet.balanceOf(payer ?? "");
    await expect(
      buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: key() }),
    ).rejects.toMatchObject({
      code: "attestation_failed",
      money: "not-moved",
    });
    expect(await market.devnet.balanceOf(payer ?? "")).toBe(before);
    expect((await buyer.spending()).recent).toEqual([]);
  });
});

describe("one logical call", () => {
  test("is paid once, however often it is made, and returns the stored result", async () => {
    const buyer = await market.buyer();
    const { payer } = await buyer.spending();
    const before = await market.devnet.balanceOf(payer ?? "");
    const request = {
      model: "payroll-check",
      input: { features: [1, 0.1, 1, 0.9, 0, 0.5, 1, 1] },
      seller: "honest",
      idempotencyKey: key(),
    };
    const together = await Promise.all(Array.from({ length: 5 }, () => buyWith(buyer, request)));
    const again = bought(await buyWith(buyer, request));
    expect(again.paidNow).toBe(false);
    expect(new Set([...together.map(bought), again].map((one) => one.receipt.id)).size).toBe(1);
    expect(together.map(bought).filter((one) => one.paidNow)).toHaveLength(1);
    expect(before - (await market.devnet.balanceOf(payer ?? ""))).toBe(10_000n);
    await expect(
      buyWith(buyer, { ...request, input: { features: [2, 0.1, 1, 0.9, 0, 0.5, 1, 1] } }),
    ).rejects.toMatchObject({
      code: "idempotency_conflict",
    });
  });

  test("refuses malformed input before anything is asked or paid, naming the tensor", async () => {
    const buyer = await market.buyer();
    for (const input of [
      {},
      { features: [1, 2] },
      { features: ["a", 0, 0, 0, 0, 0, 0, 0] },
      { features: [Number.NaN, 0, 0, 0, 0, 0, 0, 0] },
      { features: [[1], [2, 3]] },
      { other: [1] },
    ]) {
      await expect(
        buyWith(buyer, { model: "eth-risk", input, seller: "honest", idempotencyKey: key() }),
      ).rejects.toMatchObject({ code: "invalid_input", money: "not-moved" });
    }
    expect((await buyer.spending()).recent).toEqual([]);
  });
});

describe("caps", () => {
  test("refuse before anything is signed, and say limit, asked and remaining", async () => {
    const buyer = await market.buyer((config) => config.payment.assets.forEach((asset) => (asset.perHour = "25000")));
    const buy = () =>
      buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: key() });
    await buy();
    await buy();
    await expect(buy()).rejects.toMatchObject({
      code: "over_hour_cap",
      money: "not-moved",
      details: { limit: "25000", asked: "10000", remaining: "5000" },
    });
    await expect(
      buyWith(buyer, {
        model: "eth-risk",
        input: ETH_FEATURES,
        seller: "honest",
        maxUsd: 0.009,
        idempotencyKey: key(),
      }),
    ).rejects.toMatchObject({ code: "over_call_limit", money: "not-moved" });
  });
});

describe("the second clock", () => {
  test("finishes after a restart what a closed buyer left pending", async () => {
    let database = "";
    const first = await market.buyer((config) => {
      database = config.database;
      // No chain answers here, so settlement cannot be seen by this one.
      config.networks.forEach((network) => (network.rpcUrl = "http://127.0.0.1:9"));
    });
    const result = bought(
      await buyWith(first, { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: key() }),
    );
    expect(result.appraisal.verdict).toBe("pending");
    await first.close();
    const second = await market.buyer((config) => (config.database = database));
    const receipt = await second.getReceipt(result.receipt.id, { waitSeconds: 120 });
    expect(newestAppraisal(receipt).verdict).toBe("verified");
    expect(settlementsOf(receipt)).toHaveLength(1);
    expect((await second.spending()).recent[0]?.state).toBe("settled");
  });
});
