import { beforeAll, describe, expect, test } from "vitest";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import {
  DISPUTABLE,
  MAX_OF_A_KIND,
  type Appraisal,
  type Disputable,
  type Evidence,
  type EzklEvidence,
  type InclusionEvidence,
  type SettlementEvidence,
} from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import type { EzklEngine, EzklOutcome } from "../../src/verify/types.ts";
import { toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { referenceOf } from "../support/ezkl.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { inclusionOf, neighbours, withRelay } from "../support/inclusion.ts";
import { files, fixture as computed, genuine as genuineProof, policyWith, readProof } from "./ezkl-proof.ts";

let fixture: Fixture;
let settlement: SettlementEvidence;
let anchoring: InclusionEvidence;
beforeAll(async () => {
  const made = await makeFixture({ signed: true });
  fixture = { ...made, policy: { ...withRelay(made.policy), assurance: "attested" } };
  const found = made.receipt.later.map(({ evidence }) => evidence).find((one) => one.kind === "settlement.x402");
  settlement = found as SettlementEvidence;
  anchoring = inclusionOf(inclusionLeafOf(made.receipt)!, neighbours(2));
});

const marker = (of: Disputable): Evidence => ({ kind: "disputed", of });
const judged = async (
  pieces: readonly Evidence[],
  { own = [], ...more }: Partial<AppraisalPolicy> & { own?: Evidence[] } = {},
): Promise<Appraisal> => {
  const { receipt, policy, evaluateAt } = fixture;
  const later = pieces.map((evidence) => ({ at: receipt.core.response.receivedAt, evidence }));
  return appraise({
    receipt: { ...receipt, later },
    policy: { ...policy, ...more },
    now: evaluateAt,
    evaluateAt,
    own,
  });
};

/** Anchorings that contradict themselves, each with its code. */
const selfContradicting = (): [string, InclusionEvidence][] => [
  ["root_mismatch", { ...anchoring, root: `0x${"11".repeat(32)}` }],
  ["leaf_mismatch", { ...anchoring, leaf: { ...anchoring.leaf, timestamp: anchoring.leaf.timestamp + 1 } }],
  ["anchored_too_early", { ...anchoring, blockTime: 1 }],
];
const ofNoTransfer = (): SettlementEvidence => ({ ...settlement, logs: [] });
const early = (): SettlementEvidence => ({ ...settlement, blockTime: 1 });

describe("T98: each piece in dispute is judged alone", () => {
  test("a marker hides no anchoring that contradicts itself, even if a file's word of the chain suffices", async () => {
    expect(await judged([settlement, anchoring])).toMatchObject({ verdict: "verified" });
    for (const [code, wrong] of selfContradicting()) {
      expect((await judged([settlement, wrong])).layers.inclusion).toMatchObject({ status: "fail", code });
      expect(await judged([settlement, wrong, marker("inclusion.merkle")])).toMatchObject({
        verdict: "failed",
        layers: { inclusion: { status: "fail", code } },
      });
    }
    const all = selfContradicting().map(([, wrong]) => wrong);
    for (const pieces of [all, all.toReversed()])
      expect(await judged([settlement, ...pieces, marker("inclusion.merkle")])).toMatchObject({
        verdict: "failed",
        layers: { inclusion: { status: "fail", code: "anchored_too_early" } },
      });
  });

  test("an anchoring in dispute holds the verdict until the chain is read, alone or among others, and own evidence ends it", async () => {
    const other = { ...anchoring, transaction: `0x${"22".repeat(32)}` };
    const [[, wrong]] = selfContradicting() as [[string, InclusionEvidence]];
    for (const pieces of [[], [anchoring], [anchoring, other], [wrong, anchoring], [anchoring, wrong, other]])
      for (const relays of [withRelay(fixture.policy), withRelay(fixture.policy, [])])
        expect(
          await judged([settlement, ...pieces, marker("inclusion.merkle")], { sellers: relays.sellers }),
        ).toMatchObject({ verdict: "pending", layers: { inclusion: { status: "pending", code: "disputed" } } });
    const pieces = [settlement, wrong, anchoring, marker("inclusion.merkle")];
    expect(await judged(pieces, { own: [anchoring] })).toMatchObject({
      verdict: "verified",
      layers: { inclusion: { status: "pass" } },
    });
  });

  test("a settlement in dispute holds the verdict where the policy requires none", async () => {
    const requiredLayers = ["platform", "response"] as const;
    expect(await judged([settlement], { requiredLayers: [...requiredLayers] })).toMatchObject({ verdict: "verified" });
    const pieces = [settlement, ofNoTransfer(), marker("settlement.x402")];
    expect(await judged(pieces, { requiredLayers: [...requiredLayers] })).toMatchObject({ verdict: "pending" });
  });

  test("of more pieces than are tried none counts, and they are ambiguous", async () => {
    const told = (count: number) =>
      Array.from({ length: count }, (_, n): Evidence => ({ ...settlement, blockNumber: String(n + 1) }));
    const settled = async (count: number) =>
      (await judged([...told(count), marker("settlement.x402")])).layers.settlement.code;
    expect(await settled(MAX_OF_A_KIND)).toBe("disputed");
    expect(await settled(MAX_OF_A_KIND + 1)).toBe("ambiguous_evidence");
  });

  test("a marker hides no settlement that contradicts itself, and no signature that is not the payer's", async () => {
    for (const pieces of [[ofNoTransfer()], [early(), ofNoTransfer()], [ofNoTransfer(), early()]])
      expect(await judged([...pieces, marker("settlement.x402")])).toMatchObject({
        verdict: "failed",
        layers: { settlement: { status: "fail", code: "authorization_not_used" } },
      });
    const signedOtherwise = { ...settlement, signature: `0x${"11".repeat(64)}1b` };
    const others = [signedOtherwise, { ...signedOtherwise, blockNumber: "8" }];
    expect(await judged([...others, marker("settlement.x402")])).toMatchObject({
      verdict: "failed",
      layers: { payment: { code: "payer_signature_invalid" }, settlement: { code: "disputed" } },
    });
    // Without a dispute no signature of several is looked at: their number fails the settlement.
    expect(await judged(others)).toMatchObject({
      verdict: "failed",
      layers: { payment: { code: "ok" }, settlement: { code: "ambiguous_evidence" } },
    });
    // One of them is the payer's, so the other spoils nothing.
    expect(await judged([settlement, signedOtherwise, marker("settlement.x402")])).toMatchObject({
      verdict: "pending",
      layers: { payment: { status: "pass" } },
    });
  });

  test("of a signature that is in the file nothing says that it is not", async () => {
    const words = async (pieces: Evidence[]) =>
      (await judged(pieces)).notProven.find((one) => one.startsWith("That the payer agreed"));
    const { signature: _signature, ...unsigned } = settlement;
    expect(await words([settlement])).toBeUndefined();
    expect(await words([unsigned])).toContain("is not in the file");
    expect(await words([unsigned, marker("settlement.x402")])).toContain("is not in the file");
    const other = { ...settlement, blockNumber: "8" };
    for (const pieces of [
      [settlement, other],
      [settlement, other, marker("settlement.x402")],
      [settlement, marker("settlement.x402")],
    ])
      expect(await words(pieces)).toContain("told in more than one way");
    expect(await words([unsigned, other, marker("settlement.x402")])).toContain("told in more than one way");
  });
});

/** Proofs of one purchase that no engine has seen, apart from the genuine one by their bytes only. */
const proofs = (count: number): EzklEvidence[] =>
  Array.from({ length: count }, (_, n) => {
    const read = readProof();
    return {
      ...genuineProof(),
      proof: toBase64(utf8(JSON.stringify({ ...read, proof: [...read.proof.slice(1), n] }))),
    };
  });

/** Judges proofs by an engine that answers so, one after another, and counts what it is asked. */
async function tried(pieces: readonly Evidence[], outcomes: readonly EzklOutcome[]) {
  const { receipt, evaluateAt } = computed;
  let asked = 0;
  const ezkl: EzklEngine = () => Promise.resolve(outcomes[asked++] ?? "refused");
  const at = receipt.core.response.receivedAt;
  const later = [...receipt.later, ...pieces.map((evidence) => ({ at, evidence }))];
  const policy: AppraisalPolicy = { ...policyWith(computed, referenceOf(files)), assurance: "attested" };
  const { verdict, layers } = await appraise({
    receipt: { ...receipt, later },
    policy,
    now: evaluateAt,
    evaluateAt,
    ezkl,
  });
  const { status, code } = layers.computation;
  return { asked, verdict, status, code };
}

describe("T98: an engine's time is bounded", () => {
  const disputed = marker("zk.ezkl");
  test("each proof in dispute is tried once, until the first that holds", async () => {
    const four = proofs(MAX_OF_A_KIND);
    expect(await tried([...four, disputed], [])).toMatchObject({ asked: 4, verdict: "failed", code: "proof_invalid" });
    expect(await tried([...four, disputed], ["refused", "valid"])).toMatchObject({ asked: 2, status: "pass" });
    expect(await tried([four[0]!, disputed], ["valid"])).toMatchObject({ asked: 1, status: "pass" });
    expect(await tried([four[0]!], ["valid"])).toMatchObject({ asked: 1, status: "pass" });
    expect(await tried([disputed], ["valid"])).toMatchObject({ asked: 0, code: "no_evidence" });
  });

  test("more proofs than are tried are ambiguous, and no engine is asked", async () => {
    const many = proofs(MAX_OF_A_KIND + 1);
    // Without a dispute one is tried.
    for (const pieces of [many.slice(0, 2), many, [...many, disputed]])
      expect(await tried(pieces, ["valid"])).toMatchObject({
        asked: 0,
        verdict: "failed",
        code: "ambiguous_evidence",
      });
  });

  test("a proof that could not be judged hides none that fails", async () => {
    const two = proofs(2);
    for (const outcomes of [
      ["refused", "crashed"],
      ["timeout", "refused"],
    ] as const)
      expect(await tried([...two, disputed], outcomes)).toMatchObject({ verdict: "pending", code: "disputed" });
    expect(await tried([...two, disputed], ["crashed", "valid"])).toMatchObject({
      verdict: "verified",
      status: "pass",
    });
    expect(await tried([...two, disputed], ["crashed", "timeout"])).toMatchObject({ status: "unsupported" });
  });
});

/** A proof of the right shape and nothing else. */
const groth16 = (): Evidence => ({
  kind: "zk.groth16",
  key: {
    type: "proof402/groth16-key",
    version: 1,
    curve: "bn254",
    setup: "development",
    modelSha256: "ab".repeat(32),
    commitment: null,
    scale: 8,
    accumulatorBits: 64,
    input: { name: "x", count: 1 },
    outputs: [{ name: "y", head: "linear", from: 0, count: 1 }],
    results: 1,
    tolerance: 0,
    largestDifference: 0,
    sample: { count: 1, range: 1 },
    alpha1: "00".repeat(64),
    beta2: "00".repeat(128),
    gamma2: "00".repeat(128),
    delta2: "00".repeat(128),
    ic: Array.from({ length: 4 }, () => "00".repeat(64)),
  },
  proof: "00".repeat(256),
  signals: ["1"],
});

describe("T98: a file with more pieces of a kind than a reader tries is refused", () => {
  test.each(DISPUTABLE)("of %s", (kind) => {
    const { receipt } = fixture;
    const piece: Record<Disputable, () => Evidence> = {
      "settlement.x402": () => settlement,
      "inclusion.merkle": () => anchoring,
      "zk.groth16": groth16,
      "zk.ezkl": genuineProof,
    };
    const parsed = (count: number) => {
      const at = receipt.core.response.receivedAt;
      const later = Array.from({ length: count }, () => ({ at, evidence: piece[kind]() }));
      return parseReceipt(serializeReceipt({ ...receipt, later: [...later, { at, evidence: marker(kind) }] }));
    };
    expect(parsed(MAX_OF_A_KIND)).toMatchObject({ ok: true });
    expect(parsed(MAX_OF_A_KIND + 1)).toMatchObject({ ok: false, code: "receipt_crowded" });
  });
});
