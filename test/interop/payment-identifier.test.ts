import {
  declarePaymentIdentifierExtension,
  extractPaymentIdentifier,
  validatePaymentIdentifier,
} from "@x402/extensions/payment-identifier";
import { decodePaymentSignatureHeader } from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openMarket, type Market } from "../support/devnet.ts";
import { buyerFrom, stockSeller } from "./stock-seller.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const ECHO = { model: "echo", assurance: "none" as const };

describe("payment-identifier", () => {
  test("is given where the seller supports it: one id per request, the same when it is resent", async () => {
    const ids: string[] = [];
    let failures = 1;
    const seller = await stockSeller(market, {
      extensions: { "payment-identifier": declarePaymentIdentifierExtension(true) },
      onPaid(request) {
        const payload = decodePaymentSignatureHeader(request.headers.get("payment-signature") ?? "");
        expect(validatePaymentIdentifier(payload.extensions?.["payment-identifier"])).toEqual({ valid: true });
        ids.push(extractPaymentIdentifier(payload) ?? "");
        return failures-- > 0 ? new Response("try again", { status: 503 }) : undefined;
      },
    });
    try {
      const buyer = await buyerFrom(market, seller);
      const key = crypto.randomUUID();
      const first = buyWith(buyer, { ...ECHO, input: { x: [[1, 2]] }, idempotencyKey: key });
      await expect(first).rejects.toMatchObject({ code: "seller_error", money: "may-move" });
      await buyWith(buyer, { ...ECHO, input: { x: [[1, 2]] }, idempotencyKey: key });
      await buyWith(buyer, { ...ECHO, input: { x: [[1, 2]] }, idempotencyKey: crypto.randomUUID() });
      expect(ids).toHaveLength(3);
      expect(ids[1]).toBe(ids[0]);
      expect(ids[2]).not.toBe(ids[0]);
    } finally {
      await seller.stop();
    }
  });

  test("is not given where the seller does not declare it, or declares something else by its name", async () => {
    for (const extensions of [undefined, { "payment-identifier": { info: { required: "yes" } } }, { other: {} }]) {
      const sent: unknown[] = [];
      const seller = await stockSeller(market, {
        ...(extensions === undefined ? {} : { extensions }),
        onPaid(request) {
          sent.push(decodePaymentSignatureHeader(request.headers.get("payment-signature") ?? "").extensions);
          return undefined;
        },
      });
      try {
        const buyer = await buyerFrom(market, seller);
        await buyWith(buyer, { ...ECHO, input: { x: [[1, 2]] }, idempotencyKey: crypto.randomUUID() });
        expect(sent).toEqual([undefined]);
      } finally {
        await seller.stop();
      }
    }
  });
});
