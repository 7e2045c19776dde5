import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/hono";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openMarket, type Market } from "../support/devnet.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** A seller that has only what x402's own Hono middleware gives it, and answers in the Open Inference Protocol. */
async function stockSeller(): Promise<Served> {
  const network = `eip155:${market.devnet.chainId}` as const;
  const [asset] = market.devnet.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: market.devnet.facilitatorUrl })).register(
    network,
    new ExactEvmScheme(),
  );
  const app = new Hono();
  app.get("/v1/catalog", (c) =>
    c.json({
      models: [
        {
          name: "echo",
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
        },
      ],
    }),
  );
  const price = { asset: market.devnet.token, amount: "2500", extra: { ...asset.domain } };
  app.use(
    paymentMiddleware(
      {
        "POST /v2/models/echo/infer": {
          accepts: { scheme: "exact", network, payTo: market.devnet.sellers.plain.payTo, price },
        },
      },
      server,
    ),
  );
  app.post("/v2/models/echo/infer", async (c) => {
    const { id, inputs } = await c.req.json<{ id: string; inputs: { shape: number[]; data: number[] }[] }>();
    return c.json({ model_name: "echo", id, outputs: [{ ...inputs[0], name: "y" }] });
  });
  return serveLocally(app.fetch);
}

describe("our buyer", () => {
  test("pays a stock @x402/hono seller, and says that nothing about its answer is proven", async () => {
    const seller = await stockSeller();
    try {
      const buyer = await market.buyer((config) => {
        config.sellers = config.sellers.filter((one) => one.id === "plain");
        for (const one of config.sellers) one.origin = seller.origin;
      });
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
