import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, test } from "vitest";
import { toHex0x, uint256, lowered, type Address, type Hex } from "../../src/evidence/bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC, type TokenLog } from "../../src/evidence/eip3009.ts";
import type { Authorization } from "../../src/evidence/methods/method.ts";
import {
  evidenceFor,
  evidenceOf,
  methodOf,
  METHODS,
  PAYMENT_METHODS,
  paymentMethodOf,
} from "../../src/evidence/methods/methods.ts";
import { takenIn } from "../../src/evidence/methods/transfers.ts";
import { facilitatorOf } from "../../src/evidence/methods/upto.ts";
import { channelTermsOf, NEVER } from "../../src/evidence/methods/voucher.ts";
import { settleCall } from "../support/settle-call.ts";
import type { Payment } from "../../src/receipts/schema.ts";

const [ASSET, PAYER, PAYEE, OTHER] = ["a1", "b2", "c3", "d4"].map((byte): Address => `0x${byte.repeat(20)}`) as [
  Address,
  Address,
  Address,
  Address,
];
const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const payment: Authorization = {
  scheme: "exact",
  method: "eip3009",
  network: "eip155:31337",
  asset: ASSET,
  amount: "10",
  payer: PAYER,
  payTo: PAYEE,
  nonce: word("11"),
  validAfter: 0,
  validBefore: 1_800_000_000,
};

describe("an offer", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["exact", {}, "eip3009"],
    ["exact", { assetTransferMethod: "eip3009" }, "eip3009"],
    ["exact", { assetTransferMethod: "permit2" }, "permit2"],
    ["upto", {}, "upto"],
    ["upto", { assetTransferMethod: "permit2" }, "upto"],
    ["batch-settlement", {}, "voucher"],
    ["exact", { paymentFlow: "authorization" }, "eip3009"],
  ])("of %s with %j is paid by %s", (scheme, extra, method) => {
    expect(paymentMethodOf({ scheme, extra })).toBe(method);
    expect(evidenceFor({ scheme, extra })).toBe(METHODS[method as keyof typeof METHODS]);
  });

  test.each<[string, Record<string, unknown>]>([
    ["of-tomorrow", {}],
    ["exact", { assetTransferMethod: "of-tomorrow" }],
    ["upto", { assetTransferMethod: "eip3009" }],
    ["exact", { paymentFlow: "upfront" }],
  ])("of %s with %j is paid by none of ours", (scheme, extra) => {
    expect(paymentMethodOf({ scheme, extra })).toBeNull();
    expect(evidenceFor({ scheme, extra })).toBeNull();
  });
});

test("a payment by none of ours has no method, and nothing is said of it", () => {
  const unknown = { scheme: "exact", method: "voucher" };
  expect(methodOf(unknown)).toBeNull();
  expect(() => evidenceOf(unknown)).toThrow(TypeError);
});

test.each(PAYMENT_METHODS)("names its payer if another payer signs another hash: %s", (name) => {
  const method = METHODS[name];
  const channel = { payerAuthorizer: PAYER, receiverAuthorizer: PAYEE, withdrawDelay: 900, salt: word("22") };
  const signed: Authorization = {
    ...payment,
    scheme: method.scheme,
    method: method.method,
    ...(name === "voucher" ? { channel, cumulative: "10", previous: "0", validBefore: NEVER } : {}),
    ...(name === "upto" ? { facilitator: OTHER } : {}),
  };
  const hashOf = (one: Authorization): string => method.hashOf(one, { name: "USD Coin", version: "2" });
  expect(hashOf({ ...signed, payer: OTHER }) !== hashOf(signed)).toBe(method.namesPayer);
});

describe("an offer's own terms", () => {
  const address = `0x${"aB".repeat(20)}`;
  test("name a facilitator by its whole address", () => {
    expect(facilitatorOf({ facilitatorAddress: address })).toBe(address.toLowerCase());
    for (const facilitatorAddress of [undefined, 5, [address], "0x12", `${address}00`])
      expect(facilitatorOf({ facilitatorAddress })).toBeNull();
  });

  test("are a channel's if they name all of it", () => {
    expect(channelTermsOf({ receiverAuthorizer: address, withdrawDelay: 900 })).toEqual({
      receiverAuthorizer: address.toLowerCase(),
      withdrawDelay: 900,
    });
    for (const [receiverAuthorizer, withdrawDelay] of [
      [undefined, 900],
      [[address], 900],
      ["0x12", 900],
      [address, undefined],
      [address, "900"],
      [address, 0.5],
      [address, 2 ** 53],
    ])
      expect(channelTermsOf({ receiverAuthorizer, withdrawDelay })).toBeNull();
  });
});

test("an upto permit moves what its call requests, from 1 on", async () => {
  const account = privateKeyToAccount(`0x${"a1".repeat(32)}`);
  const upto = {
    ...payment,
    scheme: "upto",
    method: "permit2",
    facilitator: OTHER,
    payer: lowered(account.address),
  };
  for (const [requested, moved] of [
    [0n, null],
    [1n, 1n],
    [10n, 10n],
    [11n, null],
  ] as const) {
    const call = await settleCall(upto as unknown as Payment, account, requested);
    const lower = { to: lowered(call.to), input: call.input, logs: [] };
    expect(METHODS.upto.amountIn(lower, upto)).toBe(moved);
  }
});

test("Permit2 alone logs nothing of a use, upto alone leaves the amount open, and a voucher has no transaction", () => {
  expect(PAYMENT_METHODS.filter((name) => METHODS[name].usedByCall)).toEqual(["permit2", "upto"]);
  expect(PAYMENT_METHODS.filter((name) => METHODS[name].metered)).toEqual(["upto"]);
  expect(METHODS.voucher.isUsedIn()).toBe(false);
  // The last second that 32 bits hold.
  expect(NEVER).toBe(2 ** 32 - 1);
});

test("a voucher without its channel or its sum is none", () => {
  const channel = { payerAuthorizer: PAYER, receiverAuthorizer: PAYEE, withdrawDelay: 900, salt: word("22") };
  const voucher = { ...payment, scheme: "batch-settlement", method: "voucher" };
  for (const part of [{}, { channel }, { cumulative: "10" }])
    expect(() => METHODS.voucher.signerOf({ ...voucher, ...part })).toThrow(TypeError);
  expect(METHODS.voucher.signerOf({ ...voucher, channel, cumulative: "10" })).toBe(PAYER);
});

describe("what a transaction took from a payer", () => {
  const transfer = (value: number, { to = OTHER, from = PAYER, asset = ASSET } = {}): TokenLog => ({
    address: asset,
    topics: [TRANSFER_TOPIC, ...[from, to].map((one) => toHex0x(addressWord(one)))],
    data: toHex0x(uint256(value)),
  });
  const used = (nonce: Hex, { payer = PAYER, asset = ASSET } = {}): TokenLog => ({
    address: asset,
    topics: [AUTHORIZATION_USED_TOPIC, toHex0x(addressWord(payer)), nonce],
    data: "0x",
  });
  const own = transfer(10, { to: PAYEE });
  const another = used(word("33"));

  test.each<[string, TokenLog[], bigint]>([
    ["is the payment alone", [used(payment.nonce), own], 10n],
    ["is also what went elsewhere, and nothing twice", [own, transfer(3), transfer(7)], 20n],
    ["is also what went to the payee besides", [transfer(4, { to: PAYEE }), own], 14n],
    ["is also the same sum to another", [transfer(10), own], 20n],
    [
      "is no transfer of another payer, of another token or to the payer itself",
      [own, transfer(3, { from: OTHER }), transfer(3, { asset: OTHER }), transfer(3, { to: PAYER })],
      10n,
    ],
    ["is without the smallest sum that another authorization explains", [own, another, transfer(3), transfer(7)], 17n],
    ["is so in each order", [own, transfer(7), transfer(3), another], 17n],
    ["is so of several", [own, another, transfer(7), transfer(3), transfer(5), used(word("44"))], 17n],
    ["is so of equal sums", [own, another, transfer(3), transfer(3)], 13n],
    ["is explained by no use of this one", [own, used(payment.nonce), transfer(3)], 13n],
    ["is explained by no use of another payer's", [own, used(word("33"), { payer: OTHER }), transfer(3)], 13n],
    ["is explained by no use at another contract", [own, used(word("33"), { asset: OTHER }), transfer(3)], 13n],
  ])("%s", (_name, logs, taken) => {
    expect(takenIn({ logs }, payment, 10n)).toBe(taken);
  });

  test("is all of it if the payment moved nothing", () => {
    expect(takenIn({ logs: [] }, payment, null)).toBe(0n);
    expect(takenIn({ logs: [transfer(3), transfer(4)] }, payment, null)).toBe(7n);
  });
});
