import { beforeAll, describe, expect, test } from "vitest";
import type { Address } from "../../src/evidence/bytes.ts";
import type { LayerResult } from "../../src/receipts/schema.ts";
import type { TeeSignatureEvidence } from "../../src/receipts/signature-schema.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { judgePlace, judgeTerms } from "../../src/verify/layers/terms.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

let fixture: Fixture;
let upto: Fixture;
let voucher: Fixture;
beforeAll(async () => {
  [fixture, upto, voucher] = await Promise.all([
    makeFixture(),
    makeFixture({ method: "upto" }),
    makeFixture({ method: "voucher" }),
  ]);
});

const brief = (result: LayerResult | null): string => (result === null ? "null" : `${result.status} ${result.code}`);
const seller = (changes: object): AppraisalPolicy => ({
  ...fixture.policy,
  sellers: { fixture: { ...fixture.policy.sellers["fixture"]!, ...changes } },
});

describe("the terms", () => {
  const token = { network: "eip155:31337", decimals: 6, domain: { name: "USD Coin", version: "2" } };
  const assets = (...changes: object[]): AppraisalPolicy => ({
    ...fixture.policy,
    assets: changes.map((change) => ({ ...token, asset: fixture.receipt.core.payment.asset, ...change })),
  });
  test.each<[string, () => AppraisalPolicy, string]>([
    ["with the token", () => assets({}), "null"],
    ["with others besides", () => assets({ network: "eip155:1", decimals: 0 }, {}), "null"],
    ["with the token twice, of which the first counts", () => assets({}, { decimals: 0 }), "null"],
    ["with the token of another chain", () => assets({ network: "eip155:1" }), "fail asset_mismatch"],
    ["with another token", () => assets({ asset: `0x${"ee".repeat(20)}` }), "fail asset_mismatch"],
    ["with other units", () => assets({ decimals: 7 }), "fail decimals_mismatch"],
    ["with another domain", () => assets({ domain: { name: "Gold", version: "2" } }), "fail domain_mismatch"],
    ["with another version", () => assets({ domain: { name: "USD Coin", version: "1" } }), "fail domain_mismatch"],
    ["that does not know the seller", () => ({ ...fixture.policy, sellers: {} }), "skip no_policy"],
    ["without tokens", () => assets(), "skip asset_not_pinned"],
    ["without payees", () => seller({ payees: [] }), "skip payee_not_pinned"],
    ["with another payee", () => seller({ payees: [`0x${"ee".repeat(20)}`] }), "fail payee_mismatch"],
  ])("of a policy %s: %s", (_name, policy, code) => {
    expect(brief(judgeTerms(fixture.receipt.core, policy()))).toBe(code);
  });

  test("are those of before for what was signed until then, by the key's time or, without one, the buyer's", () => {
    const other = `0x${"ee".repeat(20)}`;
    const { core } = fixture.receipt;
    const signed = core.evidence.find((one): one is TeeSignatureEvidence => one.kind === "signature.tee")!;
    const unsigned = { ...core, evidence: core.evidence.filter((one) => one !== signed) };
    const before = (at: number): AppraisalPolicy =>
      seller({
        payees: [other],
        origin: "https://new.example",
        former: [{ until: new Date(at).toISOString(), payees: [core.payment.payTo], origin: core.seller.origin }],
      });
    for (const [one, at] of [
      [core, signed.timestamp * 1000],
      [unsigned, Date.parse(core.response.receivedAt)],
    ] as const) {
      expect(brief(judgeTerms(one, before(at)))).toBe("null");
      expect(brief(judgePlace(one, before(at)))).toBe("null");
      expect(brief(judgeTerms(one, before(at - 1)))).toBe("fail payee_mismatch");
      expect(brief(judgePlace(one, before(at - 1)))).toBe("fail origin_mismatch");
    }
    // Each of two former places has one half of this purchase.
    const until = new Date(signed.timestamp * 1000).toISOString();
    const halves = seller({
      payees: [other],
      origin: "https://new.example",
      former: [
        { until, payees: [other], origin: core.seller.origin },
        { until, payees: [core.payment.payTo], origin: "https://old.example" },
      ],
    });
    expect(brief(judgeTerms(core, halves))).toBe("fail payee_mismatch");
    expect(brief(judgePlace(core, halves))).toBe("fail origin_mismatch");
    for (const [former, terms, place] of [
      [{ until, payees: [core.payment.payTo] }, "null", "fail origin_mismatch"],
      [{ until, origin: core.seller.origin }, "fail payee_mismatch", "null"],
    ] as const) {
      const part = seller({ payees: [other], origin: "https://new.example", former: [former] });
      expect([brief(judgeTerms(core, part)), brief(judgePlace(core, part))]).toEqual([terms, place]);
    }
    const nowhere = { until: new Date(signed.timestamp * 1000).toISOString() };
    const silent = seller({ payees: [other], origin: "https://new.example", former: [nowhere, { ...nowhere }] });
    expect(brief(judgeTerms(core, silent))).toBe("fail payee_mismatch");
    expect(brief(judgePlace(core, silent))).toBe("fail origin_mismatch");
    // What holds today holds besides.
    expect(brief(judgeTerms(core, seller({ former: [nowhere] })))).toBe("null");
    expect(brief(judgePlace(core, seller({ former: [nowhere] })))).toBe("null");
  });

  test("of an upto payment name its facilitator", () => {
    const judged = (facilitators: Address[]): string => {
      const sellers = { fixture: { ...upto.policy.sellers["fixture"]!, facilitators } };
      return brief(judgeTerms(upto.receipt.core, { ...upto.policy, sellers }));
    };
    expect(judged(upto.policy.sellers["fixture"]!.facilitators)).toBe("null");
    expect(judged([])).toBe("fail facilitator_mismatch");
    expect(judged([`0x${"ee".repeat(20)}`])).toBe("fail facilitator_mismatch");
  });

  test("of a channel are the policy's, whose token's domain a voucher does not need", () => {
    const judged = (channel: object | undefined): string => {
      const sellers = { fixture: { ...voucher.policy.sellers["fixture"]!, channel } } as AppraisalPolicy["sellers"];
      const domain = { name: "Gold", version: "9" };
      const [asset] = voucher.policy.assets;
      return brief(judgeTerms(voucher.receipt.core, { ...voucher.policy, sellers, assets: [{ ...asset!, domain }] }));
    };
    const { channel } = voucher.policy.sellers["fixture"]!;
    expect(judged(channel)).toBe("null");
    expect(judged({ ...channel, withdrawDelaySeconds: 901 })).toBe("fail channel_mismatch");
    expect(judged({ ...channel, receiverAuthorizer: `0x${"ee".repeat(20)}` })).toBe("fail channel_mismatch");
    expect(judged(undefined)).toBe("fail channel_mismatch");
  });
});
