import { beforeAll, describe, expect, test } from "vitest";
import type { Hex } from "../../src/evidence/bytes.ts";
import { authorizationHash } from "../../src/evidence/eip3009.ts";
import { requestNonceOf } from "../../src/evidence/payment-binding.ts";
import { createReceipt, parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Receipt, SettlementEvidence } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { resealed } from "../support/reseal.ts";

test("another payment to the same seller, in itself flawless, cannot be shown as the payment for this answer", async () => {
  const { receipt, policy, evaluateAt } = await makeFixture();
  const { payment } = receipt.core;
  const nonce: Hex = `0x${"77".repeat(32)}`;
  const other = {
    ...payment,
    nonce,
    authorizationHash: authorizationHash(
      { name: "USD Coin", version: "2", chainId: 31_337, verifyingContract: payment.asset },
      {
        from: payment.payer,
        to: payment.payTo,
        value: payment.amount,
        validAfter: payment.validAfter,
        validBefore: payment.validBefore,
        nonce,
      },
    ),
  };
  const forged = { ...createReceipt({ ...receipt.core, payment: other }), later: receipt.later };
  const { layers, verdict } = await appraise({ receipt: forged, policy, now: new Date(), evaluateAt });
  expect(layers.payment).toMatchObject({ status: "fail", code: "request_not_bound" });
  expect(verdict).toBe("failed");
});

const METHODS = ["eip3009", "permit2", "upto", "voucher"] as const;
type Method = (typeof METHODS)[number];
const make = (method: Method, more: Parameters<typeof makeFixture>[0] = {}): Promise<Fixture> =>
  makeFixture({ ...more, ...(method === "eip3009" ? {} : { method }) });
const judge = ({ receipt, policy, evaluateAt }: Fixture): Promise<Appraisal> =>
  appraise({ receipt, policy, now: new Date(), evaluateAt });
const paymentOf = ({ verdict, layers }: Appraisal): string => `${verdict}: ${layers.payment.code}`;

/** The purchase as a forger would have it, with every hash made right that takes no key, and a policy that wants just that. */
function retold(fixture: Fixture, tell: (text: string) => string): Fixture {
  const sealed = resealed(JSON.parse(tell(JSON.stringify(fixture.receipt))));
  if (sealed === null) throw new Error("the forger's receipt has no place in the schema");
  return { ...fixture, receipt: sealed, policy: JSON.parse(tell(JSON.stringify(fixture.policy))) as Fixture["policy"] };
}

const swap = (from: string, to: string) => (text: string) => text.replaceAll(from, to);
const field = (name: string, change: (value: string) => string) => (text: string) =>
  text.replaceAll(
    new RegExp(`("${name}":)("[^"]*"|[0-9]+)`, "g"),
    (_all, key: string, value: string) => key + change(value),
  );
const otherDigit = (digit: string): string => (digit === "e" ? "f" : "e");
const otherWord = (value: string): string => (value.length === 68 ? value.replace(/(?<=^"0x)./, otherDigit) : value);

/** The same retelling of receipt, settlement and policy. */
const RETELLINGS: [string, (text: string) => string, readonly Method[]][] = [
  ["payee", swap("b2".repeat(20), "ba".repeat(20)), METHODS],
  ["token", swap("c3".repeat(20), "cb".repeat(20)), METHODS],
  ["network", swap("eip155:31337", "eip155:1"), METHODS],
  ["units", field("decimals", () => "0"), METHODS],
  ["domain", swap("USD Coin", "Gold Coin"), METHODS],
  ["time that the offer allows", field("maxTimeoutSeconds", () => "121"), METHODS],
  ["listed price", (text) => text.replace(/("listedPrice":\{[^}]*"amount":)"10000"/, '$1"99"'), METHODS],
  ["end of validity", field("validBefore", (end) => String(Number(end) - 1)), METHODS],
  ["start of validity", field("validAfter", () => "1"), METHODS],
  ["salt", field("salt", otherWord), METHODS],
  ["facilitator", swap("fa".repeat(20), "fb".repeat(20)), ["upto"]],
  ["nonce", field("nonce", otherWord), ["eip3009", "permit2", "upto"]],
  [
    "amount",
    (text) => text.replaceAll('"amount":"10000"', '"amount":"20000"').replaceAll(/0{60}2710/g, `${"0".repeat(60)}4e20`),
    ["eip3009", "permit2", "upto"],
  ],
  ["channel's terms", swap("ce".repeat(20), "cf".repeat(20)), ["voucher"]],
  ["voucher's sum", (text) => text.replace('"40000"', '"50000"').replaceAll('"30000"', '"40000"'), ["voucher"]],
  [
    "amount of a voucher, and the sum before it",
    (text) => text.replaceAll('"amount":"10000"', '"amount":"40000"').replaceAll('"30000"', '"0"'),
    ["voucher"],
  ],
];

describe("T56: the terms of a payment, told otherwise by a forger", () => {
  let fixtures: Record<Method, Fixture>;
  beforeAll(async () => {
    const [eip3009, permit2, upto, voucher] = await Promise.all(METHODS.map((method) => make(method)));
    fixtures = { eip3009: eip3009!, permit2: permit2!, upto: upto!, voucher: voucher! };
  });

  test.each(METHODS)(
    "told as they were they are verified, made right again by a forger's own means: %s",
    async (method) => {
      const fixture = fixtures[method];
      expect(fixture.receipt.version).toBe(2);
      expect(paymentOf(await judge(retold(fixture, (text) => text)))).toBe("verified: ok");
      expect((await judge(fixture)).notProven.join(" ")).not.toContain("format 1");
    },
  );

  const cases = RETELLINGS.flatMap(([name, tell, methods]) => methods.map((method) => [name, method, tell] as const));
  test.each(cases)(
    "told otherwise they fail, also by a policy that wants it so: %s, %s",
    async (_name, method, tell) => {
      const forged = retold(fixtures[method], tell);
      expect(forged.receipt.id).not.toBe(fixtures[method].receipt.id);
      expect(paymentOf(await judge(forged))).toBe("failed: request_not_bound");
    },
  );

  test.each(METHODS)("nor can a receipt be shown as one of format 1, which binds less: %s", async (method) => {
    const { core, later } = fixtures[method].receipt;
    const { listedPrice: _listed, payment, ...rest } = core;
    const { salt: _salt, previous: _previous, ...unbound } = payment;
    const older = (nonce: string): Receipt => ({
      ...createReceipt({ ...rest, payment: unbound, request: { ...rest.request, nonce } }),
      later,
    });
    expect(() => older(core.request.nonce)).toThrow("nonce");
    for (const nonce of [core.request.nonce.slice(0, 32), requestNonceOf(payment.nonce)])
      expect((await judge({ ...fixtures[method], receipt: older(nonce) })).verdict).toBe("failed");
  });

  test.each([2, 1] as const)(
    "a voucher is named by its own hash and grants what is told of it: format %i",
    async (format) => {
      const fixture = format === 2 ? fixtures.voucher : await make("voucher", { format });
      const { core, later } = fixture.receipt;
      const changed = (change: { amount: string } | object): Fixture => {
        const offer = { ...core.offer, ...("amount" in change ? { amount: change.amount } : {}) };
        const payment = { ...core.payment, ...change };
        const sealed = resealed({ ...fixture.receipt, core: { ...core, offer, payment } })!;
        // All but the name: the request carries that of the genuine voucher.
        sealed.core.payment.nonce = core.payment.nonce;
        return { ...fixture, receipt: { ...createReceipt(sealed.core), later } };
      };
      expect(paymentOf(await judge(changed({})))).toBe("verified: ok");
      expect(paymentOf(await judge(changed({ cumulative: "1" })))).toBe("failed: voucher_nonce_mismatch");
      expect(paymentOf(await judge(changed({ payer: `0x${"ab".repeat(20)}` })))).toBe("failed: voucher_nonce_mismatch");
      expect(paymentOf(await judge(changed({ amount: "999000000000" })))).toBe("failed: voucher_amount_mismatch");
    },
  );
});

test.each(METHODS)("a receipt of format 1 stays readable, and says what it does not bind: %s", async (method) => {
  const fixture = await make(method, { format: 1 });
  const parsed = parseReceipt(serializeReceipt(fixture.receipt));
  expect(parsed).toMatchObject({ ok: true, receipt: { version: 1 } });
  const judged = await judge(fixture);
  expect(judged.verdict).toBe("verified");
  expect(judged.notProven).toContainEqual(expect.stringMatching(/^That the payment's terms are these: format 1/));
});

describe("T58: the payer's signature in a receipt", () => {
  test.each(METHODS)("shows that the payer agreed to these terms: %s", async (method) => {
    const missing = "That the payer agreed to these terms";
    expect((await judge(await make(method))).notProven.join(" ")).toContain(missing);
    const signed = await judge(await make(method, { signed: true }));
    expect(paymentOf(signed)).toBe("verified: ok");
    expect(signed.notProven.join(" ")).not.toContain(missing);
  });

  test("of something else, or in another form, fails", async () => {
    const fixture = await make("eip3009", { signed: true });
    const [{ at, evidence }] = fixture.receipt.later as [{ at: string; evidence: SettlementEvidence }];
    const { signature: others } = (await make("eip3009", { signed: true })).receipt.later[0]!
      .evidence as SettlementEvidence;
    const signedBy = (signature: string | undefined): Promise<Appraisal> =>
      judge({
        ...fixture,
        receipt: { ...fixture.receipt, later: [{ at, evidence: { ...evidence, signature: signature! } }] },
      });
    expect(paymentOf(await signedBy(evidence.signature))).toBe("verified: ok");
    for (const wrong of [others, `${evidence.signature?.slice(0, -2)}ff`])
      expect(paymentOf(await signedBy(wrong))).toBe("failed: payer_signature_invalid");
  });
});
