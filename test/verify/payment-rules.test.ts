import { privateKeyToAccount } from "viem/accounts";
import { beforeAll, describe, expect, test } from "vitest";
import { signingHash } from "../../src/evidence/methods/methods.ts";
import { fromBase64, fromUtf8, toBase64, toHex, utf8, type Address } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { requestNonceOf, termsHash } from "../../src/evidence/payment-binding.ts";
import { redactReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt, ReceiptCore, SettlementEvidence } from "../../src/receipts/schema.ts";
import { fixesPayer, judgePayment, judgeSettlement, signatureOfPayer } from "../../src/verify/layers/payment.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

const session = createVerificationCache();
const METHODS = ["eip3009", "permit2", "upto", "voucher"] as const;
type Method = (typeof METHODS)[number];
let fixtures: Record<Method, Fixture>;
let format1: Fixture;
beforeAll(async () => {
  const [eip3009, permit2, upto, voucher, older] = await Promise.all([
    makeFixture(),
    makeFixture({ method: "permit2" }),
    makeFixture({ method: "upto" }),
    makeFixture({ method: "voucher" }),
    makeFixture({ method: "voucher", format: 1 }),
  ]);
  fixtures = { eip3009, permit2, upto, voucher };
  format1 = older;
});

const OTHER: Address = `0x${"ee".repeat(20)}`;
/** The payer of every fixture. */
const payer = privateKeyToAccount(`0x${"a1".repeat(32)}`);

/** Makes right again every hash that takes no key, and the nonce that the request carries. */
function bind(core: ReceiptCore): void {
  const { offerHash: _old, ...bare } = core.offer;
  core.offer.offerHash = toHex(canonicalSha256(bare));
  core.payment.authorizationHash = signingHash(core.payment, { name: "USD Coin", version: "2" });
  if (core.payment.method === "voucher") core.payment.nonce = core.payment.authorizationHash;
  const before = core.request.nonce;
  core.request.nonce = core.payment.salt === undefined ? requestNonceOf(core.payment.nonce) : termsHash(core);
  for (const part of [core.request, core.response])
    if (part.body !== undefined)
      part.body = toBase64(utf8(fromUtf8(fromBase64(part.body)).replaceAll(before, core.request.nonce)));
}

type Change = (core: ReceiptCore) => void;
/** The receipt with a change that is made consistent with itself, and then one that is not. */
function changed({ receipt }: Fixture, consistent: Change, alone: Change = () => undefined): Receipt {
  const copy = structuredClone(receipt);
  consistent(copy.core);
  bind(copy.core);
  alone(copy.core);
  return copy;
}
/** The fixture of a method, its request sent in a whole second, which makes the limits of time exact. */
const SENT = 1_800_000_000;
const timed = (fixture: Fixture, change: Change = () => undefined): Receipt =>
  changed(fixture, (core) => {
    core.request.sentAt = new Date(SENT * 1000).toISOString();
    if (core.payment.method !== "voucher") core.payment.validBefore = SENT + 120;
    change(core);
  });
const codeOf = (receipt: Receipt, policy: AppraisalPolicy = fixtures.eip3009.policy): string => {
  const { status, code } = judgePayment(receipt, policy, session);
  return `${status} ${code}`;
};
/** Sets a field of an object, also to what no type would let it be. */
const set =
  (part: "offer" | "payment", field: string, value: unknown): Change =>
  (core) =>
    void Object.assign(core[part], { [field]: value });
const setExtra =
  (field: string, value: unknown): Change =>
  ({ offer }) => {
    if (value === undefined) delete offer.extra[field];
    else offer.extra[field] = value;
  };

describe("a payment", () => {
  test.each(METHODS)("as the offer asked for it passes: %s", (method) => {
    expect(codeOf(changed(fixtures[method], () => undefined))).toBe("pass ok");
    const { note } = judgePayment(fixtures[method].receipt, fixtures[method].policy, session);
    expect(note.includes("voucher")).toBe(method === "voucher");
  });

  test.each<[string, Method, Change, string]>([
    ["an offer that its hash does not name", "eip3009", set("offer", "maxTimeoutSeconds", 121), "offer_hash_mismatch"],
    ["another scheme", "eip3009", set("payment", "scheme", "other"), "payment_mismatch"],
    ["another network", "eip3009", set("payment", "network", "eip155:1"), "payment_mismatch"],
    ["another token", "eip3009", set("payment", "asset", OTHER), "payment_mismatch"],
    ["another amount", "eip3009", set("payment", "amount", "10001"), "payment_mismatch"],
    ["another payee", "eip3009", set("payment", "payTo", OTHER), "payment_mismatch"],
    [
      "another hash",
      "eip3009",
      set("payment", "authorizationHash", `0x${"00".repeat(32)}`),
      "authorization_hash_mismatch",
    ],
    ["another nonce", "voucher", set("payment", "nonce", `0x${"00".repeat(32)}`), "voucher_nonce_mismatch"],
  ])("with %s fails", (_name, method, alone, code) => {
    expect(codeOf(changed(fixtures[method], () => undefined, alone))).toBe(`fail ${code}`);
  });

  test.each<[string, Method, Change]>([
    ["the other way of exact", "eip3009", setExtra("assetTransferMethod", "permit2")],
    ["another facilitator", "upto", setExtra("facilitatorAddress", OTHER)],
    ["no facilitator", "upto", setExtra("facilitatorAddress", undefined)],
    ["another authorizer of the channel", "voucher", setExtra("receiverAuthorizer", OTHER)],
    ["another delay of the channel", "voucher", setExtra("withdrawDelay", 901)],
    ["no terms of a channel", "voucher", setExtra("withdrawDelay", undefined)],
  ])("of an offer with %s fails", (_name, method, consistent) => {
    expect(codeOf(changed(fixtures[method], consistent))).toBe("fail payment_mismatch");
  });

  test.each<[string, unknown]>([
    ["name", undefined],
    ["name", ""],
    ["name", 1],
    ["version", 2],
  ])("by EIP-3009 whose offer's %s is %j has no domain", (field, value) => {
    expect(codeOf(changed(fixtures.eip3009, setExtra(field, value)))).toBe("fail domain_missing");
  });

  test.each(["permit2", "upto", "voucher"] as const)("in a domain of its own needs none of the offer: %s", (method) => {
    const receipt = changed(fixtures[method], (core) => {
      setExtra("name", undefined)(core);
      setExtra("version", 2)(core);
    });
    expect(codeOf(receipt)).toBe("pass ok");
  });

  test("with a version that the offer leaves out is in the domain without one", () => {
    const receipt = changed(fixtures.eip3009, setExtra("version", undefined), ({ payment }) => {
      payment.authorizationHash = signingHash(payment, { name: "USD Coin", version: "" });
    });
    expect(codeOf(receipt)).toBe("fail domain_mismatch");
  });

  test.each([
    ["40000", "30000", "pass ok"],
    ["40001", "30000", "fail voucher_amount_mismatch"],
    ["39999", "30000", "fail voucher_amount_mismatch"],
    ["10000", "0", "pass ok"],
    ["20000", "0", "fail voucher_amount_mismatch"],
  ])("by a voucher of %s after one of %s: %s", (cumulative, previous, code) => {
    const receipt = changed(fixtures.voucher, ({ payment }) => void Object.assign(payment, { cumulative, previous }));
    expect(codeOf(receipt)).toBe(code);
  });

  test.each([
    ["10000", "pass ok"],
    ["9999", "fail voucher_amount_mismatch"],
    ["90000", "pass ok"],
  ])("of format 1, which does not tell the sum before, is at most the voucher's: %s", (cumulative, code) => {
    expect(codeOf(changed(format1, set("payment", "cumulative", cumulative)), format1.policy)).toBe(code);
  });

  test("that the request does not carry fails before a policy without payees can skip it", () => {
    const sellers = { fixture: { ...fixtures.eip3009.policy.sellers["fixture"]!, payees: [] } };
    const policy = { ...fixtures.eip3009.policy, sellers };
    const alone: Change = (core) => {
      core.request.nonce = "ab".repeat(32);
      core.request.body = toBase64(utf8(JSON.stringify({ id: core.request.nonce })));
    };
    expect(
      codeOf(
        changed(fixtures.eip3009, () => undefined),
        policy,
      ),
    ).toBe("skip payee_not_pinned");
    expect(
      codeOf(
        changed(fixtures.eip3009, () => undefined, alone),
        policy,
      ),
    ).toBe("fail request_not_bound");
  });

  test("is bound by bytes: the request's, else the answer's, and by none where both are left out", () => {
    const { receipt, policy } = fixtures.eip3009;
    const altered = structuredClone(receipt);
    altered.core.request.body = toBase64(utf8('{"id":"other"}'));
    expect(codeOf(altered, policy)).toBe("fail request_not_bound");
    expect(codeOf(redactReceipt(altered, { request: true }), policy)).toBe("pass ok");
    expect(codeOf(redactReceipt(receipt, { request: true, response: true }), policy)).toBe("skip bodies_redacted");
  });

  test.each<[string, Partial<ReceiptCore["payment"]>, string]>([
    ["begins with the tolerance", { validAfter: SENT + 60 }, "pass ok"],
    ["begins after it", { validAfter: SENT + 61 }, "fail authorization_time"],
    ["ends with the tolerance", { validBefore: SENT - 60 }, "pass ok"],
    ["ends before it", { validBefore: SENT - 61 }, "fail authorization_time"],
    ["is as long as the offer's time and the tolerance", { validBefore: SENT + 180 }, "pass ok"],
    ["is longer", { validBefore: SENT + 181 }, "fail authorization_too_long"],
  ])("that %s: %j", (_name, validity, code) => {
    expect(codeOf(timed(fixtures.eip3009, ({ payment }) => void Object.assign(payment, validity)))).toBe(code);
  });

  test("by a voucher has no end", () => {
    expect(codeOf(timed(fixtures.voucher))).toBe("pass ok");
  });
});

describe("the payer", () => {
  test.each(METHODS)("is fixed by what it signed, or by terms that the seller's key signed: %s", (method) => {
    const namesPayer = method === "eip3009" || method === "voucher";
    const fixed = (change: Change, isSigned = true): boolean => {
      const core = structuredClone(fixtures[method].receipt.core);
      change(core);
      return fixesPayer(core, isSigned);
    };
    expect(fixed(() => undefined)).toBe(true);
    expect(fixed(() => undefined, false)).toBe(namesPayer);
    expect(fixed(set("payment", "amount", "9999"))).toBe(namesPayer);
    // Of format 1, whose request names no terms.
    expect(fixed((core) => void delete core.payment.salt)).toBe(namesPayer);
    expect(fixed((core) => void (core.request.body = toBase64(utf8('{"id":"other"}'))))).toBe(namesPayer);
  });
});

type Settled = Partial<{ [K in keyof SettlementEvidence]: SettlementEvidence[K] | undefined }>;
/** The settlement of a fixture with a change, in the relying party's own eyes unless it is told. */
function settled(fixture: Fixture, change: Settled, own = true): string {
  const receipt = timed(fixture);
  const later = receipt.later.map(({ at, evidence }) => {
    const one = { ...(evidence as SettlementEvidence), blockTime: SENT + 1, ...change } as SettlementEvidence;
    // A voucher's or permit's settlement depends on nothing that `timed` has changed but its end.
    return { at, evidence: Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined)) };
  }) as Receipt["later"];
  const { status, code } = judgeSettlement({ ...receipt, later }, fixture.policy, () => own);
  return `${status} ${code}`;
}
const logsOf = ({ receipt }: Fixture): SettlementEvidence["logs"] =>
  (receipt.later[0]!.evidence as SettlementEvidence).logs;

describe("a settlement", () => {
  test.each(["eip3009", "voucher"] as const)("passes where one saw it, and is reported where not: %s", (method) => {
    expect(settled(fixtures[method], {})).toBe("pass ok");
    expect(settled(fixtures[method], {}, false)).toBe("reported settlement_reported");
  });

  test("of an upto payment names what was taken and what was signed", () => {
    const { receipt, policy } = fixtures.upto;
    expect(judgeSettlement(receipt, policy, () => true)).toMatchObject({
      status: "pass",
      note: expect.stringContaining("of 7000 base units, of at most 10000,") as string,
    });
    for (const method of ["eip3009", "permit2"] as const) {
      const { note } = judgeSettlement(fixtures[method].receipt, policy, () => true);
      expect(note).not.toContain("at most");
    }
  });

  test.each(["permit2", "upto"] as const)("of %s is the call that settles the permit, with its transfer", (method) => {
    const { receipt, policy } = fixtures[method];
    const [{ at, evidence }] = receipt.later as [Receipt["later"][0]];
    const code = (change: Settled): string => {
      const later = [{ at, evidence: JSON.parse(JSON.stringify({ ...evidence, ...change })) as Evidence }];
      return judgeSettlement({ ...receipt, later }, policy, () => true).code;
    };
    expect(code({})).toBe("ok");
    expect(code({ logs: [] })).toBe("transfer_mismatch");
    for (const change of [{ input: undefined }, { to: undefined }, { to: OTHER }, { input: "0x" as const }])
      expect(code(change)).toBe("authorization_not_used");
  });

  test("is waited for, and there is one", () => {
    const { receipt, policy } = fixtures.eip3009;
    const judged = (later: Receipt["later"]) => judgeSettlement({ ...receipt, later }, policy, () => true);
    expect(judged([])).toMatchObject({ status: "pending", code: "awaiting_settlement" });
    const both = [...receipt.later, ...receipt.later];
    expect(judged(both)).toMatchObject({ status: "fail", code: "ambiguous_evidence" });
    expect(signatureOfPayer({ ...receipt, later: both }, session)).toBe("missing");
  });

  test.each<[string, Method, Settled | (() => Settled), string]>([
    ["on another chain", "eip3009", { network: "eip155:1" }, "fail network_mismatch"],
    ["of no transaction", "eip3009", { transaction: undefined }, "fail transaction_missing"],
    [
      "of another authorization",
      "eip3009",
      () => ({ logs: logsOf(fixtures.eip3009).slice(1) }),
      "fail authorization_not_used",
    ],
    ["without a transfer", "eip3009", () => ({ logs: logsOf(fixtures.eip3009).slice(0, 1) }), "fail transfer_mismatch"],
    [
      "that took more",
      "eip3009",
      () => ({ logs: [...logsOf(fixtures.eip3009), logsOf(fixtures.eip3009)[1]!] }),
      "fail token_moved_more",
    ],
    ["as early as clocks may differ", "eip3009", { blockTime: SENT - 61 }, "pass ok"],
    ["earlier", "eip3009", { blockTime: SENT - 62 }, "fail settlement_time"],
    ["in the last second", "eip3009", { blockTime: SENT + 119 }, "pass ok"],
    ["later", "eip3009", { blockTime: SENT + 120 }, "fail settlement_time"],
    ["expired in the last second", "eip3009", { outcome: "expired", blockTime: SENT + 119 }, "fail not_expired"],
    ["expired after it", "eip3009", { outcome: "expired", blockTime: SENT + 120 }, "skip authorization_expired"],
    ["of a channel as early as clocks may differ", "voucher", { blockTime: SENT - 61 }, "pass ok"],
    ["of a channel earlier", "voucher", { blockTime: SENT - 62 }, "fail settlement_time"],
    ["of no channel", "voucher", { channel: undefined }, "fail channel_missing"],
    ["of just the voucher's sum", "voucher", { channel: { balance: "9", totalClaimed: "40000" } }, "pass ok"],
    ["of less", "voucher", { channel: { balance: "9", totalClaimed: "39999" } }, "fail voucher_not_claimed"],
    [
      "of an empty channel",
      "voucher",
      { outcome: "expired", channel: { balance: "39999", totalClaimed: "39999" } },
      "skip channel_closed",
    ],
    [
      "of an empty channel whose claims reach the voucher",
      "voucher",
      { outcome: "expired", channel: { balance: "40000", totalClaimed: "40000" } },
      "fail not_expired",
    ],
    [
      "of a channel that still holds something",
      "voucher",
      { outcome: "expired", channel: { balance: "40000", totalClaimed: "39999" } },
      "fail not_expired",
    ],
  ])("%s: %s", (_name, method, change, code) => {
    expect(settled(fixtures[method], typeof change === "function" ? change() : change)).toBe(code);
  });

  test.each(METHODS)("shows the signature of whoever authorizes the payment: %s", async (method) => {
    const fixture = fixtures[method];
    const other = privateKeyToAccount(`0x${"b7".repeat(32)}`);
    const signed = async (core: ReceiptCore, account: typeof payer): Promise<string> => {
      const signature = await account.sign({ hash: core.payment.authorizationHash });
      const [{ at, evidence }] = fixture.receipt.later as [Receipt["later"][0]];
      const settlement = { ...evidence, signature } as SettlementEvidence;
      const receipt = { ...fixture.receipt, core, later: [{ at, evidence: settlement }] };
      return `${signatureOfPayer(receipt, session)}: ${codeOf(receipt, fixture.policy)}`;
    };
    const { core } = fixture.receipt;
    expect(await signed(core, payer)).toBe("shown: pass ok");
    expect(await signed(core, other)).toBe("wrong: fail payer_signature_invalid");
    // The money of a channel is one address's, and the vouchers may be another's.
    const elsewhere = changed(fixture, set("payment", "payer", other.address.toLowerCase())).core;
    expect(await signed(elsewhere, payer)).toBe(
      method === "voucher" ? "shown: pass ok" : "wrong: fail payer_signature_invalid",
    );
  });
});
