import { beforeAll, describe, expect, test } from "vitest";
import { signingHash } from "../../src/evidence/methods/methods.ts";
import { toHex, toHex0x, uint256, type Address } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { addressWord } from "../../src/evidence/eip3009.ts";
import { createReceipt, parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Evidence, Receipt, ReceiptCore, SettlementEvidence } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { appraisalPolicySchema, type AppraisalPolicy } from "../../src/verify/policy.ts";
import type { AppraiseInput } from "../../src/verify/types.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { appraisal as someAppraisal } from "../support/receipt-core.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture();
});

const evidenceIn = ({ later }: Receipt): Evidence[] => later.map(({ evidence }) => evidence);
const judge = (receipt: Receipt, changes: Partial<AppraiseInput> = {}): Promise<Appraisal> =>
  appraise({ receipt, policy: fixture.policy, now: new Date(), evaluateAt: fixture.evaluateAt, ...changes });
const under = (changes: Partial<AppraisalPolicy>): AppraisalPolicy => ({ ...fixture.policy, ...changes });
const seller = (changes: object): Partial<AppraisalPolicy> => ({
  sellers: { fixture: { ...fixture.policy.sellers["fixture"]!, ...changes } },
});
const brief = ({ verdict, layers }: Appraisal, layer: keyof Appraisal["layers"]): string =>
  `${verdict}: ${layers[layer].status} ${layers[layer].code}`;

/** Another purchase with every hash made right again that takes no key, and a settlement that fits it. */
function forge(change: (core: ReceiptCore) => void): Receipt {
  const core = structuredClone(fixture.receipt.core);
  change(core);
  const { offerHash: _old, ...bare } = core.offer;
  core.offer.offerHash = toHex(canonicalSha256(bare));
  const { name, version } = core.offer.extra as { name: string; version: string };
  core.payment.authorizationHash = signingHash(core.payment, { name, version });
  const { payment } = core;
  const settlement = structuredClone(evidenceIn(fixture.receipt)[0] as SettlementEvidence);
  settlement.network = payment.network;
  const [used, moved] = settlement.logs as [SettlementEvidence["logs"][0], SettlementEvidence["logs"][0]];
  used.address = moved.address = payment.asset;
  used.topics[1] = moved.topics[1] = toHex0x(addressWord(payment.payer));
  moved.topics[2] = toHex0x(addressWord(payment.payTo));
  moved.data = toHex0x(uint256(BigInt(payment.amount)));
  return { ...createReceipt(core), later: [{ at: core.response.receivedAt, evidence: settlement }] };
}

describe("T64: a verdict is about the seller that the policy describes", () => {
  const other: Address = `0x${"ba".repeat(20)}`;
  test("the genuine purchase, made again by the forger's own means, is verified", async () => {
    expect((await judge(forge(() => undefined))).verdict).toBe("verified");
  });

  test.each<[string, (core: ReceiptCore) => void, keyof Appraisal["layers"], string]>([
    ["another payee", (c) => (c.offer.payTo = c.payment.payTo = other), "payment", "payee_mismatch"],
    ["another token", (c) => (c.offer.asset = c.payment.asset = other), "payment", "asset_mismatch"],
    ["another chain", (c) => (c.offer.network = c.payment.network = "eip155:1"), "payment", "asset_mismatch"],
    ["other units", (c) => (c.offer.decimals = 0), "payment", "decimals_mismatch"],
    ["another token domain", (c) => (c.offer.extra["name"] = "Gold"), "payment", "domain_mismatch"],
    ["another version of the domain", (c) => (c.offer.extra["version"] = "3"), "payment", "domain_mismatch"],
    ["another origin", (c) => (c.seller.origin = "https://bank.example"), "request", "origin_mismatch"],
    ["another kind of seller", (c) => (c.seller.provider = "bank"), "request", "provider_mismatch"],
  ])("%s fails", async (_name, change, layer, code) => {
    expect(brief(await judge(forge(change)), layer)).toBe(`failed: fail ${code}`);
  });

  test("a facilitator that the policy does not name fails", async () => {
    const upto = await makeFixture({ method: "upto" });
    const judged = (facilitators: Address[]) => {
      const sellers = { fixture: { ...upto.policy.sellers["fixture"]!, facilitators } };
      return judge(upto.receipt, { policy: { ...upto.policy, sellers }, evaluateAt: upto.evaluateAt });
    };
    expect(brief(await judged([]), "payment")).toBe("failed: fail facilitator_mismatch");
    expect(brief(await judged([other]), "payment")).toBe("failed: fail facilitator_mismatch");
  });

  test.each<[string, Partial<AppraisalPolicy> | (() => Partial<AppraisalPolicy>), string]>([
    ["payees", () => seller({ payees: [] }), "payee_not_pinned"],
    ["tokens", { assets: [] }, "asset_not_pinned"],
  ])("a policy without %s gives no verified payment", async (_name, changes, code) => {
    const policy = under(typeof changes === "function" ? changes() : changes);
    expect(brief(await judge(fixture.receipt, { policy }), "payment")).toBe(`unverified: skip ${code}`);
  });

  test.each(["origin", "provider"])("a policy without an %s gives no verified request", async (field) => {
    const policy = under(seller({ [field]: undefined }));
    expect(brief(await judge(fixture.receipt, { policy }), "request")).toBe("unverified: skip seller_not_pinned");
  });

  test.each(["bank", "constructor"])("of a kind that this version cannot read (%s) it is none", async (provider) => {
    const judged = await judge(
      forge((core) => (core.seller.provider = provider)),
      { policy: under(seller({ provider })) },
    );
    for (const layer of ["request", "model", "payment"] as const)
      expect(brief(judged, layer)).toBe("unverified: unsupported exchange_format_unknown");
  });

  test("a seller that moved is still the one of its old receipts, until the day that the policy names", async () => {
    const { origin, payees } = fixture.policy.sellers["fixture"]!;
    const moved = { origin: "https://new.example", payees: [other] };
    const signed = fixture.evaluateAt.getTime();
    const until = (ms: number): string => new Date(signed + ms).toISOString();
    const verdictWith = async (former: object): Promise<string> => {
      const { verdict, layers } = await judge(fixture.receipt, { policy: under(seller({ ...moved, ...former })) });
      return `${verdict}: ${layers.request.code} ${layers.payment.code}`;
    };
    const lost = "failed: origin_mismatch payee_mismatch";
    expect(await verdictWith({})).toBe(lost);
    expect(await verdictWith({ former: [{ until: until(60_000), origin, payees }] })).toBe("verified: ok ok");
    expect(await verdictWith({ former: [{ until: until(-60_000), origin, payees }] })).toBe(lost);
    // What moved at another time is named apart.
    const apart = [
      { until: until(60_000), origin },
      { until: until(120_000), payees },
    ];
    expect(await verdictWith({ former: apart })).toBe("verified: ok ok");
    expect(await verdictWith({ former: apart.slice(0, 1) })).toBe("failed: ok payee_mismatch");
    // What is named together was so together: the address of one time goes with no payee of another.
    const whole = (one: object) => ({ until: until(60_000), origin: "https://third.example", payees: [other], ...one });
    const mixed = [whole({ origin }), whole({ payees })];
    expect(await verdictWith({ former: mixed })).toBe(lost);
    expect(await verdictWith({ former: [...mixed, whole({ origin, payees })] })).toBe("verified: ok ok");
    expect(await verdictWith({ origin, former: [whole({ payees })] })).toBe("failed: ok payee_mismatch");
    // The buyer's own clock in a file makes nothing older that a key signed.
    const core = structuredClone(fixture.receipt.core);
    core.request.sentAt = core.response.receivedAt = until(-3_600_000);
    const older = { ...createReceipt(core), later: fixture.receipt.later };
    const policy = under(seller({ ...moved, former: [{ until: until(-60_000), origin, payees }] }));
    expect(brief(await judge(older, { policy }), "payment")).toBe("failed: fail payee_mismatch");
  });

  test.each(["none", "signed", "attested", "proven"] as const)(
    "a seller that the policy does not know is unverified at %s, and its facts are still judged",
    async (assurance) => {
      const judged = await judge(
        forge((core) => (core.seller.id = "nobody-i-know")),
        { policy: under({ assurance }) },
      );
      expect(judged.verdict).toBe("unverified");
      expect(judged.assurance).toBe("none");
      expect(judged.layers.platform.status).toBe("pass");
      expect(judged.notProven[0]).toContain("No policy");
    },
  );
});

describe("T65: signed means a key one knows", () => {
  const signed = (changes: Partial<AppraisalPolicy>) =>
    judge(fixture.receipt, { policy: under({ assurance: "signed", ...changes }) });
  const keyId = (): string => fixture.receipt.core.seller.keyId ?? "";

  test("by its code, or by itself", async () => {
    expect(brief(await signed({}), "key")).toBe("verified: pass ok");
    expect(brief(await signed(seller({ measurements: [], keyIds: [keyId()] })), "key")).toBe("verified: pass ok");
  });

  test("and not any key under a genuine root", async () => {
    const unknown = await signed(seller({ measurements: [] }));
    expect(brief(unknown, "key")).toBe("unverified: skip key_not_known");
    expect(unknown.layers.response).toMatchObject({ status: "skip", code: "key_not_known" });
    expect(unknown.assurance).toBe("none");
    const others = await signed(seller({ measurements: [], keyIds: [`0x${"00".repeat(32)}`] }));
    expect(brief(others, "key")).toBe("failed: fail key_not_pinned");
  });

  test("a wrong signature contradicts, also by a key that one does not know", async () => {
    const core = structuredClone(fixture.receipt.core);
    const evidence = core.evidence.find(({ kind }) => kind === "signature.tee") as { signature: string };
    evidence.signature = `${evidence.signature.startsWith("A") ? "B" : "A"}${evidence.signature.slice(1)}`;
    const forged = { ...createReceipt(core), later: fixture.receipt.later };
    const judged = await judge(forged, { policy: under({ assurance: "signed", ...seller({ measurements: [] }) }) });
    expect(brief(judged, "response")).toBe("failed: fail signature_invalid");
  });

  test("a document that answers another nonce condemns, and one that is only old does not", async () => {
    const core = structuredClone(fixture.receipt.core);
    (core.evidence.find(({ kind }) => kind === "tee.nitro") as { nonce: string }).nonce = "ab".repeat(20);
    const forged = { ...createReceipt(core), later: fixture.receipt.later };
    expect(brief(await judge(forged, { policy: under({ assurance: "signed" }) }), "freshness")).toBe(
      "failed: fail nonce_mismatch",
    );
    const evaluateAt = new Date(fixture.evaluateAt.getTime() + 120_000);
    const policy = under({ assurance: "signed", maxAttestationAgeSeconds: 60 });
    expect(brief(await judge(fixture.receipt, { policy, evaluateAt }), "freshness")).toBe(
      "verified: skip document_too_old",
    );
  });
});

describe("T66: what a file tells of the chain is reported, and never a pass", () => {
  const strict = (): AppraisalPolicy => under({ reportedSuffices: false });

  test("until the policy takes it, or the relying party saw it itself", async () => {
    const told = await judge(fixture.receipt, { policy: strict() });
    expect(brief(told, "settlement")).toBe("unverified: reported settlement_reported");
    expect(told.notProven.join(" ")).toContain("only told by the file: that money moved on chain");
    expect(brief(await judge(fixture.receipt), "settlement")).toBe("verified: reported settlement_reported");
    const own = evidenceIn(structuredClone(fixture.receipt));
    expect(brief(await judge(fixture.receipt, { policy: strict(), own }), "settlement")).toBe("verified: pass ok");
  });

  test.each<[string, (one: SettlementEvidence) => void]>([
    ["transaction", (one) => (one.transaction = `0x${"00".repeat(32)}`)],
    ["block", (one) => (one.blockHash = `0x${"11".repeat(32)}`)],
    ["height", (one) => (one.blockNumber = "0")],
  ])("with an invented %s it is not what was seen", async (_name, change) => {
    const own = evidenceIn(fixture.receipt);
    const forged = structuredClone(fixture.receipt);
    change(evidenceIn(forged)[0] as SettlementEvidence);
    const judged = await judge(forged, { policy: strict(), own });
    expect(brief(judged, "settlement")).toBe("unverified: reported settlement_reported");
  });
});

describe("T67: a contradiction travels with the file", () => {
  const contradiction: Evidence = { kind: "contradiction", layer: "inclusion", code: "leaf_changed" };
  const with_ = (evidence: Evidence): Receipt => ({
    ...fixture.receipt,
    later: [...fixture.receipt.later, { at: fixture.receipt.core.response.receivedAt, evidence }],
  });

  test("and condemns the receipt for every reader", async () => {
    const parsed = parseReceipt(serializeReceipt(with_(contradiction)));
    if (!parsed.ok) throw new Error(parsed.message);
    for (const own of [undefined, evidenceIn(parsed.receipt)]) {
      const judged = await judge(parsed.receipt, own === undefined ? {} : { own });
      expect(brief(judged, "inclusion")).toBe("failed: fail leaf_changed");
      expect(judged.layers.inclusion.note).toBe("The batch holds this request with another answer, time or key.");
    }
  });

  test("as its maker's own failed does, whatever else the file holds", async () => {
    const failed = someAppraisal({ verdict: "failed" });
    const named = structuredClone(failed);
    named.layers.code = { status: "fail", code: "measurements_unknown", note: "The words of somebody." };
    for (const [appraisal, layer] of [
      [failed, "response"],
      [named, "code"],
    ] as const) {
      const judged = await judge({ ...fixture.receipt, appraisals: [appraisal] });
      expect(brief(judged, layer)).toBe("failed: fail maker_failed");
      expect(JSON.stringify(judged)).not.toContain("The words of somebody");
    }
    const since = [failed, someAppraisal({ verdict: "verified" })];
    expect((await judge({ ...fixture.receipt, appraisals: since })).verdict).toBe("verified");
    const own = evidenceIn(fixture.receipt);
    // Who read the chain again did not make the receipt.
    expect((await judge({ ...fixture.receipt, appraisals: [failed] }, { own })).verdict).toBe("failed");
    const made = { own, madeHere: true };
    expect((await judge({ ...fixture.receipt, appraisals: [failed] }, made)).verdict).toBe("verified");
  });

  test("as does a re-execution by its maker that computed another answer, though one that agrees shows nothing", async () => {
    const output = (value: number): Evidence => ({
      kind: "replay.onnx",
      modelSha256: fixture.policy.sellers["fixture"]?.models["eth-risk"] ?? "",
      runtime: { name: "onnxruntime", version: "1" },
      outputs: [{ name: "class", datatype: "INT64", shape: [1], data: [value] }],
    });
    expect(brief(await judge(with_(output(1))), "computation")).toBe("verified: skip replay_not_ours");
    expect(brief(await judge(with_(output(2))), "computation")).toBe("failed: fail replay_mismatch");
  });
});

test("a policy of nothing but roots verifies no receipt of anybody", async () => {
  const { simulatedRoots } = fixture.policy;
  for (const assurance of ["signed", "attested"] as const) {
    const policy = appraisalPolicySchema.parse({ assurance, simulatedRoots });
    expect((await judge(fixture.receipt, { policy })).verdict).toBe("unverified");
  }
});
