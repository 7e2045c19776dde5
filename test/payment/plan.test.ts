import fc from "fast-check";
import { decodePaymentSignatureHeader } from "@x402/core/http";
import { describe, expect, it } from "vitest";
import { lowered, type Address } from "../../src/evidence/bytes.ts";
import { channelIdOf } from "../../src/evidence/channel.ts";
import { planVoucher } from "../../src/payment/channels.ts";
import type { Payment } from "../../src/receipts/schema.ts";
import type { ChannelsTable } from "../../src/storage/tables.ts";
import { deriveNonce, paymentHeader, planPayment } from "../../src/payment/plan.ts";
import { EXACT_PROXY, UPTO_PROXY } from "../../src/evidence/permit2.ts";
import { chooseOffer, readOffers } from "../../src/payment/offers.ts";
import { accept, PAYEE, PAYER, policyWith, requirement, SECRET, usdc } from "./fixtures.ts";

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

  it("T9: by the chain's time, where it is known, as little as by ours, and usable by both or refused", () => {
    const policy = policyWith(undefined, { maxAuthorizationSeconds: 300 });
    const { offer } = accept({ maxTimeoutSeconds: 60 }, policy);
    const plan = (ahead: number) => {
      const chainTime = 1_700_000_000;
      const now = new Date((chainTime + ahead) * 1000);
      return planPayment({ offer, payer: PAYER, nonce: deriveNonce(SECRET, "call", 1), now, policy, chainTime });
    };
    fc.assert(
      fc.property(fc.integer({ min: -50, max: 50 }), (ahead) => {
        const { validBefore } = plan(ahead);
        expect(validBefore).toBe(1_700_000_060 + Math.min(ahead, 0));
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 51, max: 1_000_000 }), fc.boolean(), (apart, fast) => {
        expect(() => plan(fast ? apart : -apart)).toThrow(expect.objectContaining({ code: "clock_disagrees" }));
      }),
    );
  });

  it("blames no clock where the offer leaves too little time for the age of the newest block", () => {
    const { offer } = accept({ maxTimeoutSeconds: 10 }, policyWith());
    const chainTime = 1_700_000_000;
    const plan = (ahead: number) => () =>
      planPayment({
        offer,
        payer: PAYER,
        nonce: deriveNonce(SECRET, "call", 1),
        now: new Date((chainTime + ahead) * 1000),
        policy: policyWith(),
        chainTime,
      });
    expect(plan(0)().validBefore).toBe(chainTime + 10);
    const tooShort = { code: "authorization_too_short" };
    expect(plan(12)).toThrow(
      "The authorization would live 10 s, and the chain's newest block is 12 s behind this machine's clock: 0 s of it could be used, and 10 s are needed.",
    );
    expect(plan(-1)).toThrow(
      "The authorization would live 10 s, and the chain's newest block is 1 s ahead of this machine's clock: 9 s of it could be used, and 10 s are needed.",
    );
    for (const ahead of [1, 50, -1, -50]) expect(plan(ahead)).toThrow(expect.objectContaining(tooShort));
    for (const ahead of [51, -51]) expect(plan(ahead)).toThrow(expect.objectContaining({ code: "clock_disagrees" }));
  });

  it.each(["permit2", "upto"] as const)("T9: nor does a permit (%s), of any amount of 18 decimals", (method) => {
    const most = String(10n ** 30n);
    const asset = { ...usdc, decimals: 18, methods: [method], perCall: most, perHour: most, perDay: most, total: most };
    const policy = policyWith([asset], { maxAuthorizationSeconds: 300 });
    const facilitatorAddress: Address = `0x${"fa".repeat(20)}`;
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 1_000_000_000 }),
        fc.bigInt({ min: 1n, max: 10n ** 30n }),
        (maxTimeoutSeconds, amount) => {
          const scheme = method === "upto" ? "upto" : "exact";
          const extra = { assetTransferMethod: "permit2", facilitatorAddress };
          const read = readOffers({
            x402Version: 2,
            accepts: [requirement({ scheme, amount: String(amount), maxTimeoutSeconds, extra })],
          });
          if (!read.ok) throw new Error("it is an offer");
          const payTo = [lowered(PAYEE)];
          const chosen = chooseOffer({ policy, payTo, facilitators: [facilitatorAddress], required: read.required });
          if (!chosen.ok) throw new Error("it is allowed");
          const { offer, accepted } = chosen.offers[0];
          const nonce = deriveNonce(SECRET, "call", 1);
          const payment = planPayment({ offer, payer: PAYER, nonce, now: new Date(1.7e12), policy });
          const header = paymentHeader({ payment, accepted, signature: "0x" });
          // What a stock facilitator reads of it.
          expect(decodePaymentSignatureHeader(header).payload).toMatchObject({
            permit2Authorization: {
              from: PAYER,
              permitted: { token: offer.asset, amount: String(amount) },
              spender: method === "upto" ? UPTO_PROXY : EXACT_PROXY,
              nonce: String(BigInt(nonce)),
              deadline: String(1_700_000_000 + Math.min(maxTimeoutSeconds, 300)),
              witness: { to: offer.payTo, validAfter: "0" },
            },
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

  it("refuses an offer that asks for a voucher, for an upto permit without its facilitator, or for no known way", () => {
    const { offer } = accept();
    for (const terms of [
      { scheme: "batch-settlement" as const, extra: {} },
      { scheme: "upto" as const, extra: {} },
      { extra: { assetTransferMethod: "by-hand" } },
    ]) {
      const plan = () =>
        planPayment({
          offer: { ...offer, ...terms },
          payer: PAYER,
          nonce: deriveNonce(SECRET, "call", 1),
          now: new Date(),
          policy: policyWith(),
        });
      expect(plan).toThrow(expect.objectContaining({ code: "scheme_not_supported" }));
    }
  });

  it.each([
    [51, 60, "51 s ahead of"],
    [-52, 60, "52 s behind"],
    [51, 10, "51 s ahead of"],
    [-51, 10, "51 s behind"],
  ])("says which clock is ahead and by how much: %d s of %d", (ahead, life, words) => {
    const chainTime = 1_700_000_000;
    const { offer } = accept({ maxTimeoutSeconds: life });
    const plan = () =>
      planPayment({
        offer,
        payer: PAYER,
        nonce: deriveNonce(SECRET, "call", 1),
        now: new Date((chainTime + ahead) * 1000),
        policy: policyWith(),
        chainTime,
      });
    expect(plan).toThrow(`This machine's clock is ${words} the chain's: no authorization of ${life} s could be used.`);
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

  const made = () => {
    const { offer, accepted } = accept();
    const nonce = deriveNonce(SECRET, "call", 1);
    const payment = planPayment({ offer, payer: PAYER, nonce, now: new Date(1.7e12), policy: policyWith() });
    return { payment, accepted, signature: `0x${"ab".repeat(65)}` };
  };
  const decoded = (header: string) => JSON.parse(Buffer.from(header, "base64").toString()) as Record<string, unknown>;

  it("carries resource and extensions where they are given, and no field for them where they are not", () => {
    const bare = decoded(paymentHeader(made()));
    expect(Object.keys(bare)).toEqual(["x402Version", "accepted", "payload"]);
    const [resource, extensions] = [{ url: "http://seller/x" }, { bazaar: { info: 1 } }];
    expect(decoded(paymentHeader({ ...made(), resource, extensions }))).toEqual({ ...bare, resource, extensions });
  });

  it("of a permit names the facilitator where it is bound to one only", () => {
    const { payment, accepted, signature } = made();
    const { authorizationHash: _hash, ...terms } = payment;
    const witnessOf = (payment: Payment) =>
      (
        decoded(paymentHeader({ payment, accepted, signature })) as {
          payload: { permit2Authorization: { witness: object } };
        }
      ).payload.permit2Authorization.witness;
    const permit = { ...terms, method: "permit2" as const, authorizationHash: "0x" as const };
    const facilitator: Address = `0x${"fa".repeat(20)}`;
    expect(witnessOf({ ...permit, scheme: "exact" })).toEqual({ to: payment.payTo, validAfter: "0" });
    expect(witnessOf({ ...permit, scheme: "upto", facilitator })).toEqual({
      to: payment.payTo,
      facilitator,
      validAfter: "0",
    });
  });

  it("of a voucher names the channel in full, and what may be claimed of it in all", () => {
    const { accepted, signature } = made();
    const { offer } = accept();
    const channel = {
      payerAuthorizer: PAYER,
      receiverAuthorizer: `0x${"be".repeat(20)}`,
      withdrawDelay: 900,
      salt: `0x${"05".repeat(32)}`,
    } as const;
    const row = { charged: "7000", payer: PAYER, terms: JSON.stringify(channel) } as ChannelsTable;
    const payment = planVoucher(row, offer);
    const channelConfig = { payer: PAYER, receiver: offer.payTo, token: offer.asset, ...channel };
    expect(decoded(paymentHeader({ payment, accepted, signature }))["payload"]).toEqual({
      type: "voucher",
      channelConfig,
      voucher: { channelId: channelIdOf(31337, channelConfig), maxClaimableAmount: "27000", signature },
    });
  });
});
