import { describe, expect, test } from "vitest";
import { appraisalPolicySchema, entryOf, policyHash, sellerOf, trustSchema } from "../../src/verify/policy.ts";

const digest = "ab".repeat(32);
const address = `0x${"cd".repeat(20)}`;
const until = "2026-11-01T12:00:00Z";
const asset = { network: "eip155:1", asset: address, decimals: 6, domain: { name: "USD Coin", version: "2" } };
const circuit = {
  key: digest,
  settings: digest,
  srs: { sG2: "ef".repeat(128), setup: "ceremony" },
  inputs: ["x"],
  outputs: ["y"],
};
const takes = (policy: object): boolean => appraisalPolicySchema.safeParse(policy).success;
const ofSeller = (known: object): object => ({ sellers: { one: known } });
const ofCircuit = (changes: object): object => ofSeller({ ezkl: { model: { ...circuit, ...changes } } });
const ofAsset = (changes: object): object => ({ assets: [{ ...asset, ...changes }] });
const times = (length: number, one: unknown): unknown[] => Array.from({ length }, () => one);
const names = (length: number): string[] => Array.from({ length }, (_, index) => `t${index}`);
const named = (length: number, value: unknown = digest): object => ({ ["n".repeat(length)]: value });

/** What makes a policy of a number, with the least and the most that it may be. */
const BOUNDS: [string, (count: number) => object, number, number][] = [
  ["measurement sets", (n) => ofSeller({ measurements: times(n, { 0: "ab".repeat(48) }) }), 0, 64],
  ["keys of a seller", (n) => ofSeller({ keyIds: times(n, `0x${digest}`) }), 0, 64],
  ["length of a model's name", (n) => ofSeller({ models: named(n) }), 0, 128],
  ["length of a name with a proof", (n) => ofSeller({ proofs: named(n) }), 0, 128],
  ["length of a name with a circuit", (n) => ofSeller({ ezkl: named(n, circuit) }), 0, 128],
  ["inputs of a circuit", (n) => ofCircuit({ inputs: names(n) }), 1, 64],
  ["outputs of a circuit", (n) => ofCircuit({ outputs: names(n) }), 1, 64],
  ["length of an input's name", (n) => ofCircuit({ inputs: ["n".repeat(n)] }), 0, 128],
  ["length of an output's name", (n) => ofCircuit({ outputs: ["n".repeat(n)] }), 0, 128],
  ["tolerance of a circuit", (n) => ofCircuit({ tolerance: n }), 0, 1e9],
  ["relays", (n) => ofSeller({ relays: times(n, { network: "eip155:1", contract: address }) }), 0, 16],
  ["length of an origin", (n) => ofSeller({ origin: "n".repeat(n) }), 0, 512],
  ["length of a kind of seller", (n) => ofSeller({ provider: "n".repeat(n) }), 0, 64],
  ["payees", (n) => ofSeller({ payees: times(n, address) }), 0, 16],
  ["facilitators", (n) => ofSeller({ facilitators: times(n, address) }), 0, 16],
  ["former places", (n) => ofSeller({ former: times(n, { until }) }), 0, 16],
  ["length of a former origin", (n) => ofSeller({ former: [{ until, origin: "n".repeat(n) }] }), 0, 512],
  ["former payees", (n) => ofSeller({ former: [{ until, payees: times(n, address) }] }), 0, 16],
  [
    "delay of a channel",
    (n) => ofSeller({ channel: { receiverAuthorizer: address, withdrawDelaySeconds: n } }),
    0,
    Number.MAX_SAFE_INTEGER,
  ],
  ["decimals", (n) => ofAsset({ decimals: n }), 0, 36],
  ["length of a domain's name", (n) => ofAsset({ domain: { name: "n".repeat(n), version: "1" } }), 0, 64],
  ["length of a domain's version", (n) => ofAsset({ domain: { name: "n", version: "n".repeat(n) } }), 0, 16],
  ["roots", (n) => ({ simulatedRoots: times(n, digest) }), 0, 16],
  ["length of a seller's id", (n) => ({ sellers: named(n, {}) }), 0, 64],
  ["tokens", (n) => ({ assets: times(n, asset) }), 0, 256],
  ["age of an attestation", (n) => ({ maxAttestationAgeSeconds: n }), 1, 86_400],
  ["difference of clocks", (n) => ({ clockSkewSeconds: n }), 0, 3600],
  ["absolute tolerance", (n) => ({ replayTolerance: { absolute: n, relative: 0 } }), 0, 1],
  ["relative tolerance", (n) => ({ replayTolerance: { absolute: 0, relative: n } }), 0, 1],
];

describe("a policy", () => {
  test.each(BOUNDS)("bounds the %s", (_name, make, least, most) => {
    expect(takes(make(least))).toBe(true);
    expect(takes(make(most))).toBe(true);
    expect(takes(make(most + 1))).toBe(false);
  });

  test.each(BOUNDS.filter(([, , least]) => least > 0))("has no less than the least %s", (_name, make, least) => {
    expect(takes(make(least - 1))).toBe(false);
  });

  test.each(["inputs", "outputs"])(
    "names each of a circuit's %s once: a second one would be compared with nothing",
    (of) => {
      expect(takes(ofCircuit({ [of]: ["x", "y"] }))).toBe(true);
      expect(takes(ofCircuit({ [of]: ["x", "y", "x"] }))).toBe(false);
    },
  );

  test.each([
    ["tolerance of a circuit", ofCircuit({ tolerance: -1 })],
    ["delay of a channel", ofSeller({ channel: { receiverAuthorizer: address, withdrawDelaySeconds: -1 } })],
    ["decimals", ofAsset({ decimals: -1 })],
    ["difference of clocks", { clockSkewSeconds: -1 }],
    ["absolute tolerance", { replayTolerance: { absolute: -1, relative: 0 } }],
    ["relative tolerance", { replayTolerance: { absolute: 0, relative: -1 } }],
  ])("has no negative %s", (_name, policy) => {
    expect(takes(policy)).toBe(false);
  });

  test("that says nothing is strict, and knows nobody", () => {
    expect(appraisalPolicySchema.parse({})).toEqual({
      assurance: "attested",
      simulatedRoots: [],
      sellers: {},
      assets: [],
      reportedSuffices: false,
      maxAttestationAgeSeconds: 3600,
      developmentSetups: false,
      replayTolerance: { absolute: 1e-5, relative: 1e-4 },
      clockSkewSeconds: 60,
    });
    expect(appraisalPolicySchema.parse(ofSeller({})).sellers["one"]).toEqual({
      measurements: [],
      keyIds: [],
      models: {},
      proofs: {},
      ezkl: {},
      relays: [],
      payees: [],
      facilitators: [],
    });
  });

  test.each([
    ["a field that is not known", { reportedSufices: true }],
    ["a field of a seller that is not known", ofSeller({ payee: address })],
    ["a register that no document has", ofSeller({ measurements: [{ 32: "ab".repeat(48) }] })],
    ["a short digest", { simulatedRoots: ["ab"] }],
    ["a lone surrogate", { sellers: { "\ud800": {} } }],
    ["a network of no chain", ofAsset({ network: "eip155:0" })],
    ["an unknown setup", ofCircuit({ srs: { ...circuit.srs, setup: "any" } })],
  ])("is refused with %s", (_name, policy) => {
    expect(takes(policy)).toBe(false);
  });

  test("has one spelling of hex, and a hash that names all of it", () => {
    const policy = appraisalPolicySchema.parse(ofSeller({ payees: [`0x${"CD".repeat(20)}`] }));
    expect(sellerOf(policy, "one")?.payees).toEqual([address]);
    expect(policyHash(policy)).toBe(policyHash(appraisalPolicySchema.parse(ofSeller({ payees: [address] }))));
    expect(policyHash(policy)).not.toBe(policyHash({ ...policy, reportedSuffices: true }));
  });

  test("knows a seller by its own name only", () => {
    const policy = appraisalPolicySchema.parse(ofSeller({}));
    expect(sellerOf(policy, "one")).toBeDefined();
    for (const name of ["two", "constructor", "toString"]) expect(sellerOf(policy, name)).toBeUndefined();
    expect(entryOf(undefined, "one")).toBeUndefined();
    expect(entryOf({ one: 1 }, "one")).toBe(1);
  });

  test("travels in a trust file of version 1", () => {
    const file = { type: "proof402/trust", version: 1, policy: {} };
    expect(trustSchema.safeParse(file).success).toBe(true);
    for (const change of [{ version: 2 }, { type: "proof402/receipt" }, { more: 1 }])
      expect(trustSchema.safeParse({ ...file, ...change }).success).toBe(false);
  });
});
