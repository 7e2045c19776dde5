import { decodePaymentSignatureHeader } from "@x402/core/http";
import { declareDiscoveryExtension } from "@x402/extensions/bazaar";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openMarket, type Market } from "../support/devnet.ts";
import { buyerFrom, stockSeller } from "./stock-seller.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** How x402's own helper declares one inference, schema of the request included: nested deeper than any offer. */
const discovery = {
  ...declareDiscoveryExtension({
    bodyType: "json",
    input: { id: "1", inputs: [{ name: "x", shape: [1, 2], datatype: "FP32", data: [1, 2] }] },
    inputSchema: {
      type: "object",
      properties: { inputs: { type: "array", items: { type: "object", properties: { name: { type: "string" } } } } },
      required: ["inputs"],
    },
    output: { example: { outputs: [] } },
  }),
};

describe("a stock seller with discovery", () => {
  test("is paid, and gets resource and extension info back as it sent them", async () => {
    const seen: { url: string; payload: ReturnType<typeof decodePaymentSignatureHeader> }[] = [];
    const seller = await stockSeller(market, {
      extensions: { ...discovery, mppx: { info: { method: "POST" }, schema: { type: "object" } } },
      onPaid(request) {
        const header = request.headers.get("payment-signature") ?? "";
        seen.push({ url: request.url, payload: decodePaymentSignatureHeader(header) });
        return undefined;
      },
    });
    try {
      const buyer = await buyerFrom(market, seller);
      const call = { model: "echo", input: { x: [[1, 2]] }, assurance: "none" as const };
      // From a fresh offer, and then from the known one.
      for (let at = 0; at < 2; at += 1)
        expect(await buyWith(buyer, { ...call, idempotencyKey: crypto.randomUUID() })).toMatchObject({
          answer: { y: [1, 2] },
        });
      expect(seen).toHaveLength(2);
      for (const { url, payload } of seen) {
        expect(payload.resource).toMatchObject({ url });
        expect(payload.extensions).toMatchObject({ mppx: { info: { method: "POST" }, schema: { type: "object" } } });
        expect(payload.extensions?.["bazaar"]).toMatchObject({ info: discovery["bazaar"]?.info });
      }
    } finally {
      await seller.stop();
    }
  });
});
