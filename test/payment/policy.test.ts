import { expect, it } from "vitest";
import { PAYMENT_METHODS } from "../../src/evidence/methods/methods.ts";
import { findAsset, paymentPolicySchema, usdBound } from "../../src/payment/policy.ts";
import { policyWith, usdc } from "./fixtures.ts";

const accepts = (changes: object): boolean => paymentPolicySchema.safeParse({ assets: [usdc], ...changes }).success;
const ofAsset = (changes: object): boolean => accepts({ assets: [{ ...usdc, ...changes }] });
const former = { network: usdc.network, asset: usdc.asset };

it.each([
  ["decimals", (decimals: number) => ofAsset({ decimals }), 0, 36],
  ["letters of a domain's name", (n: number) => ofAsset({ domain: { name: "x".repeat(n), version: "1" } }), 1, 64],
  ["letters of a domain's version", (n: number) => ofAsset({ domain: { name: "x", version: "1".repeat(n) } }), 1, 16],
  ["ways to pay", (n: number) => ofAsset({ methods: [...PAYMENT_METHODS, "eip3009"].slice(0, n) }), 1, 4],
  ["former assets", (n: number) => accepts({ formerAssets: Array.from({ length: n }, () => former) }), 0, 16],
  ["purchases per hour", (callsPerHour: number) => accepts({ callsPerHour }), 0, 1_000_000],
  ["seconds of an authorization's life", (s: number) => accepts({ maxAuthorizationSeconds: s }), 10, 3600],
] as const)("takes no more and no fewer %s than the owner may set", (_what, isTaken, least, most) => {
  expect([least - 1, least, most, most + 1].filter((number) => number >= 0 && isTaken(number))).toEqual([least, most]);
});

it("takes one asset or several, and of a former one its address on its network alone", () => {
  expect([[], [usdc], [usdc, usdc]].map((assets) => accepts({ assets }))).toEqual([false, true, true]);
  for (const entry of [{ network: former.network }, { asset: former.asset }, usdc])
    expect(accepts({ formerAssets: [entry] })).toBe(false);
});

it("bounds what the owner says nothing of", () => {
  const { usdStable: _stable, methods: _methods, ...rest } = usdc;
  expect(paymentPolicySchema.parse({ assets: [rest] })).toEqual({
    assets: [{ ...rest, usdStable: false, methods: ["eip3009"] }],
    callsPerHour: 1000,
    maxAuthorizationSeconds: 300,
  });
});

it("finds an asset by its network and its address together", () => {
  const { assets } = policyWith([usdc, { ...usdc, network: "eip155:8453", symbol: "OTHER" }]);
  expect(findAsset({ network: "eip155:8453", asset: usdc.asset }, assets)?.symbol).toBe("OTHER");
  expect(findAsset(usdc, assets)).toEqual(usdc);
  expect(findAsset({ network: usdc.network, asset: `0x${"0d".repeat(20)}` }, assets)).toBeUndefined();
  expect(findAsset({ network: "eip155:1", asset: usdc.asset }, assets)).toBeUndefined();
  expect(findAsset(null, assets)).toBeUndefined();
});

it("allows nothing of an asset of unknown worth under a bound in USD", () => {
  expect(usdBound(0.5, usdc)).toBe(500_000n);
  expect(usdBound(0.5, { ...usdc, usdStable: false })).toBe(0n);
});
