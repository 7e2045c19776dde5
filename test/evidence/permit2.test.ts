import fc from "fast-check";
import { encodeFunctionData, hashTypedData } from "viem";
import { describe, expect, it } from "vitest";
import { permitOf, signingHash, type Authorization } from "../../src/evidence/authorization.ts";
import { facilitatorOf, paymentMethodOf } from "../../src/evidence/payment-method.ts";
import { PERMIT2, permitHash, settlesPermit, spenderOf } from "../../src/evidence/permit2.ts";
import { lastSecondOf, movedBy } from "../../src/evidence/settlement.ts";
import { TRANSFER_TOPIC } from "../../src/evidence/eip3009.ts";
import { devExactProxy } from "../../src/devnet/contracts/dev-exact-proxy.artifact.ts";
import { typedDataOf } from "../../src/payment/typed-data.ts";
import type { Payment } from "../../src/receipts/schema.ts";

const hexOf = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((raw) => `0x${Buffer.from(raw).toString("hex")}`);
const uint = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
const payments = fc
  .record({
    network: fc.integer({ min: 1, max: 2 ** 31 }).map((id) => `eip155:${id}`),
    asset: hexOf(20),
    amount: uint.map(String),
    payer: hexOf(20),
    payTo: hexOf(20),
    nonce: hexOf(32),
    validAfter: fc.nat(),
    validBefore: fc.nat(),
    facilitator: fc.option(hexOf(20), { nil: null }),
  })
  .map(({ facilitator, ...rest }): Payment =>
    facilitator === null
      ? { scheme: "exact", method: "permit2", ...rest, authorizationHash: "0x" }
      : { scheme: "upto", method: "permit2", ...rest, facilitator, authorizationHash: "0x" },
  );

describe("a permit's hash", () => {
  it("is the one viem computes from the typed data, for any permit of either scheme", () => {
    fc.assert(
      fc.property(payments, (payment) => {
        expect(signingHash(payment, { name: "", version: "" })).toBe(
          hashTypedData(typedDataOf(payment, { name: "", version: "" })),
        );
      }),
    );
  });

  it("changes with every field that is signed", () => {
    const permit = {
      token: PERMIT2,
      amount: "5",
      nonce: `0x${"11".repeat(32)}`,
      deadline: 9,
      to: `0x${"22".repeat(20)}`,
      validAfter: 0,
    };
    const changes = [
      {},
      { token: `0x${"33".repeat(20)}` },
      { amount: "6" },
      { nonce: `0x${"12".repeat(32)}` },
      { deadline: 10 },
      { to: `0x${"33".repeat(20)}` },
      { validAfter: 1 },
      { facilitator: `0x${"44".repeat(20)}` },
      { facilitator: `0x${"45".repeat(20)}` },
    ];
    const hashes = [...changes.map((change) => permitHash(1, { ...permit, ...change })), permitHash(2, permit)];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(spenderOf({})).not.toBe(spenderOf({ facilitator: PERMIT2 }));
  });
});

describe("a transaction's input", () => {
  const settle = (payment: Payment): string =>
    encodeFunctionData({
      abi: devExactProxy.abi,
      functionName: "settle",
      args: [
        {
          permitted: { token: payment.asset as `0x${string}`, amount: BigInt(payment.amount) },
          nonce: BigInt(payment.nonce),
          deadline: BigInt(payment.validBefore),
        },
        payment.payer as `0x${string}`,
        { to: payment.payTo as `0x${string}`, validAfter: 0n },
        "0x1234",
      ],
    });

  it("settles the permit it was made for, also inside another call, and no other", () => {
    fc.assert(
      fc.property(payments, payments, (payment, other) => {
        const input = settle(payment);
        expect(settlesPermit(input, permitOf(payment))).toBe(true);
        expect(settlesPermit(`0xdeadbeef${"00".repeat(32)}${input.slice(2)}`, permitOf(payment))).toBe(true);
        expect(settlesPermit(input, permitOf({ ...payment, nonce: other.nonce }))).toBe(payment.nonce === other.nonce);
        expect(settlesPermit("0x", permitOf(payment))).toBe(false);
      }),
    );
  });

  it("with any digit of the four words changed settles nothing", () => {
    const [payment] = fc.sample(payments, { numRuns: 1, seed: 402 }) as [Payment];
    const input = settle(payment);
    const from = 2 + 8;
    for (let at = from; at < from + 4 * 64; at += 1) {
      const digit = input[at] === "0" ? "1" : "0";
      expect(settlesPermit(`${input.slice(0, at)}${digit}${input.slice(at + 1)}`, permitOf(payment))).toBe(false);
    }
  });
});

describe("what moved", () => {
  const log = (from: string, to: string, value: bigint) => ({
    address: `0x${"aa".repeat(20)}`,
    topics: [TRANSFER_TOPIC, `0x${"0".repeat(24)}${from.slice(2)}`, `0x${"0".repeat(24)}${to.slice(2)}`],
    data: `0x${value.toString(16).padStart(64, "0")}`,
  });
  const base: Authorization = {
    method: "permit2",
    network: "eip155:1",
    asset: `0x${"aa".repeat(20)}`,
    amount: "1000",
    payer: `0x${"bb".repeat(20)}`,
    payTo: `0x${"cc".repeat(20)}`,
    nonce: `0x${"11".repeat(32)}`,
    validAfter: 0,
    validBefore: 100,
  };

  it("is the whole amount of an exact payment, and anything up to it of an upto one, never nothing and never more", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2000n }), (value) => {
        const logs = [log(base.payer, base.payTo, value)];
        expect(movedBy(logs, base)).toBe(value === 1000n ? value : null);
        const upto = movedBy(logs, { ...base, facilitator: base.payTo });
        expect(upto).toBe(value > 0n && value <= 1000n ? value : null);
        expect(movedBy([log(base.payTo, base.payer, value)], base)).toBeNull();
      }),
    );
  });

  it("may move in the deadline's own second by Permit2, and only before it by EIP-3009", () => {
    expect(lastSecondOf(base)).toBe(100);
    expect(lastSecondOf({ ...base, method: "eip3009" })).toBe(99);
  });
});

describe("an offer's method", () => {
  it.each([
    [{ scheme: "exact", extra: {} }, "eip3009"],
    [{ scheme: "exact", extra: { assetTransferMethod: "eip3009", paymentFlow: "authorization" } }, "eip3009"],
    [{ scheme: "exact", extra: { assetTransferMethod: "permit2" } }, "permit2"],
    [{ scheme: "upto", extra: {} }, "upto"],
    [{ scheme: "upto", extra: { assetTransferMethod: "permit2" } }, "upto"],
    [{ scheme: "upto", extra: { assetTransferMethod: "eip3009" } }, null],
    [{ scheme: "exact", extra: { assetTransferMethod: null } }, null],
    [{ scheme: "exact", extra: { paymentFlow: "upfront" } }, null],
    [{ scheme: "batch-settlement", extra: {} }, "voucher"],
    [{ scheme: "batch-settlement", extra: { assetTransferMethod: "permit2" } }, null],
    [{ scheme: "auth-capture", extra: {} }, null],
  ])("of %j is %s", (offer, method) => {
    expect(paymentMethodOf(offer)).toBe(method);
  });

  it("names a facilitator only where it is an address", () => {
    expect(facilitatorOf({ facilitatorAddress: `0x${"AB".repeat(20)}` })).toBe(`0x${"ab".repeat(20)}`);
    for (const facilitatorAddress of [undefined, null, 7, "0x12", `0x${"zz".repeat(20)}`])
      expect(facilitatorOf({ facilitatorAddress })).toBeNull();
  });
});
