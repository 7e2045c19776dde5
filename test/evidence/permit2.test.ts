import fc from "fast-check";
import { hashTypedData } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import { lowered, toHex0x, type Address, type Hex } from "../../src/evidence/bytes.ts";
import type { Authorization } from "../../src/evidence/methods/method.ts";
import { signingHash, paymentMethodOf } from "../../src/evidence/methods/methods.ts";
import { permitOf } from "../../src/evidence/methods/permits.ts";
import { facilitatorOf } from "../../src/evidence/methods/upto.ts";
import {
  PERMIT2,
  permitHash,
  settledByCall,
  settlingInput,
  spenderOf,
  type TransferPermit,
} from "../../src/evidence/permit2.ts";
import { lastSecondOf, movedBy } from "../../src/evidence/settlement.ts";
import { chainIdOf, TRANSFER_TOPIC, type TokenLog } from "../../src/evidence/eip3009.ts";
import { payerOf } from "../../src/payment/methods/methods.ts";
import type { Payment } from "../../src/receipts/schema.ts";
import { settleCall } from "../support/settle-call.ts";

const hexOf = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(toHex0x);
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
          hashTypedData(payerOf(payment).typedDataOf(payment, { name: "", version: "" })),
        );
      }),
    );
  });

  it("changes with every field that is signed", () => {
    const permit: TransferPermit = {
      token: PERMIT2,
      amount: "5",
      nonce: `0x${"11".repeat(32)}`,
      deadline: 9,
      to: `0x${"22".repeat(20)}`,
      validAfter: 0,
    };
    const changes: Partial<TransferPermit>[] = [
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

describe("a call", () => {
  const account = privateKeyToAccount(`0x${"42".repeat(32)}`);
  const payer = lowered(account.address);
  const settling = async (payment: Payment, requested?: bigint): Promise<{ to: Address; input: Hex }> =>
    settleCall(payment, account, requested);
  const settled = (call: { to: string; input: string }, payment: Payment): bigint | null =>
    settledByCall(call, { chainId: chainIdOf(payment.network), payer: payment.payer, permit: permitOf(payment) });
  const own = payments.map((payment): Payment => ({ ...payment, payer }));

  it("settles the permit it was made for, whatever trails it, and no other", async () => {
    await fc.assert(
      fc.asyncProperty(own, own, async (payment, other) => {
        const call = await settling(payment);
        expect(settled(call, payment)).toBe(BigInt(payment.amount));
        const trailed = { ...call, input: `${call.input}c0ffee` as const };
        expect(settled(trailed, payment)).toBe(BigInt(payment.amount));
        expect(settlingInput(trailed.input, permitOf(payment))).toBe(call.input);
        expect(settled(call, { ...payment, nonce: other.nonce })).toBe(
          payment.nonce === other.nonce ? BigInt(payment.amount) : null,
        );
        expect(settled({ ...call, to: other.asset }, payment)).toBeNull();
      }),
    );
  });

  it("that only quotes a permit settles nothing: behind another payment's arguments, inside another call, or unsigned", async () => {
    await fc.assert(
      fc.asyncProperty(own, own, async (payment, other) => {
        fc.pre(payment.nonce !== other.nonce);
        const [call, foreign] = [await settling(payment), await settling(other)];
        expect(settled({ ...foreign, input: `${foreign.input}${call.input.slice(2)}` }, payment)).toBeNull();
        expect(settled({ ...call, input: `0xdeadbeef${"00".repeat(32)}${call.input.slice(2)}` }, payment)).toBeNull();
        const unsigned = call.input.slice(0, call.input.length - 192) + foreign.input.slice(-192);
        expect(settled({ ...call, input: unsigned }, payment)).toBeNull();
        for (const input of ["0x", "", call.input.slice(0, 10), call.input.slice(0, -2)])
          expect(settled({ ...call, input }, payment)).toBeNull();
      }),
    );
  });

  it("settles what it asks for of an upto permit, and never more than was signed", async () => {
    const most = fc.bigInt({ min: 1n, max: 2n ** 255n });
    await fc.assert(
      fc.asyncProperty(own, most, most, async (any, cap, requested) => {
        const { payTo: facilitator } = any;
        const payment: Payment = { ...any, scheme: "upto", method: "permit2", amount: String(cap), facilitator };
        expect(settled(await settling(payment, requested), payment)).toBe(requested <= cap ? requested : null);
      }),
    );
  });

  it.each(["exact", "upto"])("with any digit changed settles no %s permit for the same amount", async (scheme) => {
    const payment = fc.sample(own, { numRuns: 50, seed: 402 }).find((one) => one.scheme === scheme);
    if (payment === undefined) throw new Error("both are among fifty");
    const call = await settling(payment);
    expect(settled(call, payment)).toBe(BigInt(payment.amount));
    const changed = (text: Hex, at: number): Hex =>
      `0x${text.slice(2, at)}${text[at] === "0" ? "1" : "0"}${text.slice(at + 1)}`;
    for (let at = 2; at < call.input.length; at += 1)
      expect(settled({ ...call, input: changed(call.input, at) }, payment)).not.toBe(BigInt(payment.amount));
    for (let at = 2; at < call.to.length; at += 1)
      expect(settled({ ...call, to: changed(call.to, at) }, payment)).toBeNull();
  });

  it("moved what the token's log says, where that is what was settled", async () => {
    const log = (from: Address, to: Address, value: bigint): TokenLog => ({
      address: `0x${"aa".repeat(20)}`,
      topics: [TRANSFER_TOPIC, `0x${"0".repeat(24)}${from.slice(2)}`, `0x${"0".repeat(24)}${to.slice(2)}`],
      data: `0x${value.toString(16).padStart(64, "0")}`,
    });
    const upto: Payment = {
      scheme: "upto",
      method: "permit2",
      network: "eip155:1",
      asset: `0x${"aa".repeat(20)}`,
      amount: "1000",
      payer,
      payTo: `0x${"cc".repeat(20)}`,
      nonce: `0x${"11".repeat(32)}`,
      validAfter: 0,
      validBefore: 100,
      facilitator: `0x${"dd".repeat(20)}`,
      authorizationHash: "0x",
    };
    const call = await settling(upto, 30n);
    expect(movedBy({ ...call, logs: [log(payer, upto.payTo, 30n)] }, upto)).toBe(30n);
    for (const logs of [[], [log(payer, upto.payTo, 31n)], [log(upto.payTo, payer, 30n)], [log(payer, payer, 30n)]])
      expect(movedBy({ ...call, logs }, upto)).toBeNull();
    expect(movedBy({ ...(await settling(upto, 0n)), logs: [log(payer, upto.payTo, 0n)] }, upto)).toBeNull();
    expect(movedBy({ ...(await settling(upto, 1001n)), logs: [log(payer, upto.payTo, 1001n)] }, upto)).toBeNull();
    expect(movedBy({ logs: [log(payer, upto.payTo, 30n)] }, upto)).toBeNull();
  });
});

describe("what moved", () => {
  const base: Authorization = {
    scheme: "exact",
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
