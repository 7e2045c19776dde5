import fc from "fast-check";
import { decodePaymentSignatureHeader } from "@x402/core/http";
import { describe, expect, it } from "vitest";
import { deriveNonce, paymentHeader, planPayment } from "../../src/payment/plan.ts";
import { accept, PAYER, policyWith, requirement, SECRET } from "./fixtures.ts";

describe("planning a payment", () => {
  it("T9: no authorization outlives the offer or the policy, and none is wider than the offer", () => {
    const policy = policyWith(undefined, { maxAuthorizationSeconds: 300 });
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 1_000_000_000 }),
        fc.integer({ min: 0, max: 4e12 }),
        (maxTimeoutSeconds, ms) => {
          const { offer } = accept({ maxTimeoutSeconds }, policy);
          const payment = planPayment({
            offer,
            payer: PAYER,
            nonce: deriveNonce(SECRET, "call", 1),
            now: new Date(ms),
            policy,
          });
          expect(payment.validBefore).toBe(Math.floor(ms / 1000) + Math.min(maxTimeoutSeconds, 300));
          expect(payment).toMatchObject({
            validAfter: 0,
            amount: offer.amount,
            payTo: offer.payTo,
            asset: offer.asset,
          });
        },
      ),
    );
  });

  it("refuses an offer in an asset the policy does not know", () => {
    const { offer } = accept();
    const plan = () =>
      planPayment({
        offer: { ...offer, network: "eip155:1" },
        payer: PAYER,
        nonce: deriveNonce(SECRET, "call", 1),
        now: new Date(),
        policy: policyWith(),
      });
    expect(plan).toThrow(expect.objectContaining({ code: "asset_not_allowed" }));
  });
});

describe("the nonce", () => {
  it("is the same for the same attempt and different for any other key, attempt or secret", () => {
    const input = fc.tuple(fc.string(), fc.integer({ min: 1, max: 1000 }), fc.constantFrom(SECRET, "22".repeat(32)));
    fc.assert(
      fc.property(input, input, (a, b) => {
        const nonceOf = ([key, attempt, secret]: typeof a) => deriveNonce(secret, key, attempt);
        expect(nonceOf(a)).toMatch(/^0x[0-9a-f]{64}$/);
        expect(nonceOf(a) === nonceOf(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it("does not confuse the end of a key with an attempt number", () => {
    expect(deriveNonce(SECRET, "1", 11)).not.toBe(deriveNonce(SECRET, "11", 1));
    expect(deriveNonce(SECRET, "1\n1", 1)).not.toBe(deriveNonce(SECRET, "1", 11));
  });
});

describe("the payment header", () => {
  it("is what the stock server decodes, with the requirement as the seller wrote it", () => {
    const written = requirement({
      unknownField: { deep: [1, "x"] },
      extra: { name: "USD Coin", version: "2", feeBps: 3 },
    });
    const { offer, accepted } = accept(written);
    const payment = planPayment({
      offer,
      payer: PAYER,
      nonce: deriveNonce(SECRET, "call", 1),
      now: new Date(1.7e12),
      policy: policyWith(),
    });
    const signature = `0x${"ab".repeat(65)}`;
    expect(decodePaymentSignatureHeader(paymentHeader({ payment, accepted, signature }))).toEqual({
      x402Version: 2,
      accepted: written,
      payload: {
        signature,
        authorization: {
          from: PAYER,
          to: offer.payTo,
          value: "20000",
          validAfter: "0",
          validBefore: "1700000060",
          nonce: payment.nonce,
        },
      },
    });
  });
});
