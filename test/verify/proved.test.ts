import { describe, expect, test } from "vitest";
import { fromBase64, sha256, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { writeEzklProof } from "../../src/evidence/ezkl.ts";
import { quantiseInput, requestSignals, toField, type Groth16Key } from "../../src/evidence/groth16.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Evidence, EzklEvidence, Groth16Evidence, Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import type { AppraisalPolicy, EzklReference } from "../../src/verify/policy.ts";
import type { EzklEngine, EzklOutcome } from "../../src/verify/types.ts";
import { verifyReceipt } from "../../src/verify/verify-receipt.ts";
import { SECRET, sG2Of } from "../support/ezkl.ts";
import { makeFixture } from "../support/fixture-receipt.ts";
import { forged, keyOf } from "../support/groth16-forgery.ts";

const [INPUT, OUTPUT] = [
  [0.5, -1.25],
  [1.5, -2],
];
const tensor = (name: string, data: number[]) => [{ name, shape: [1, 2], datatype: "FP32", data }];
const { receipt, policy, evaluateAt } = await makeFixture({
  request: (nonce) => JSON.stringify({ id: nonce, inputs: tensor("x", INPUT) }),
  response: (nonce) => JSON.stringify({ model_name: "eth-risk", id: nonce, outputs: tensor("y", OUTPUT) }),
});

const groth16 = (key: Groth16Key): Groth16Evidence => {
  const results = OUTPUT.map((value) => toField(BigInt(value * 2 ** (2 * key.scale))));
  const inputs = INPUT.map((value) => toField(quantiseInput(value, key.scale)!));
  const named = [...results, ...inputs, ...requestSignals(fromBase64(receipt.core.request.body!))].map(String);
  const signals = [...named, ...(key.commitment === null ? [] : [key.commitment])];
  return { kind: "zk.groth16", key, signals, proof: forged(signals) };
};
const CIRCUIT = utf8("a key");
const SETTINGS = utf8(
  JSON.stringify({
    run_args: { input_visibility: "Public", output_visibility: "Public", param_visibility: "Fixed", commitment: "KZG" },
    model_instance_shapes: [
      [1, 2],
      [1, 2],
    ],
    model_input_scales: [4],
    model_output_scales: [4],
  }),
);
const ezkl: EzklEvidence = {
  kind: "zk.ezkl",
  key: toBase64(CIRCUIT),
  settings: toBase64(SETTINGS),
  proof: toBase64(
    writeEzklProof({
      instances: [...INPUT, ...OUTPUT].map((value) => toField(BigInt(value * 2 ** 4))),
      proof: new Uint8Array([1]),
    }),
  ),
};
const circuit: EzklReference = {
  key: toHex(sha256(CIRCUIT)),
  settings: toHex(sha256(SETTINGS)),
  srs: { sG2: sG2Of(SECRET), setup: "ceremony" },
  inputs: ["x"],
  outputs: ["y"],
};
const replay: Evidence = {
  kind: "replay.onnx",
  modelSha256: "5a".repeat(32),
  runtime: { name: "onnxruntime", version: "1" },
  outputs: [{ name: "y", datatype: "FP32", shape: [1, 2], data: OUTPUT }],
};

const asks: AppraisalPolicy = { ...policy, assurance: "proven", developmentSetups: true };
const pinning = (key: Groth16Key): AppraisalPolicy => ({
  ...asks,
  sellers: {
    fixture: {
      ...policy.sellers["fixture"]!,
      proofs: { "eth-risk": toHex(canonicalSha256(key)) },
      ezkl: { "eth-risk": circuit },
    },
  },
});
const withEvidence = (...pieces: Evidence[]): Receipt => ({
  ...receipt,
  later: [...receipt.later, ...pieces.map((evidence) => ({ at: receipt.core.response.receivedAt, evidence }))],
});
const saying =
  (outcome: EzklOutcome): EzklEngine =>
  () =>
    Promise.resolve(outcome);

async function judged(pieces: Evidence[], key = keyOf(), outcome: EzklOutcome = "valid"): Promise<Appraisal> {
  const given = withEvidence(...pieces);
  const own = given.later.map(({ evidence }) => evidence);
  const engine = saying(outcome);
  return appraise({ receipt: given, policy: pinning(key), now: evaluateAt, evaluateAt, own, ezkl: engine });
}
const LIMITS = [
  "Development setup: ",
  "That the proved weights are those",
  "That the proof was made for this purchase",
];
const limitsOf = ({ notProven }: Appraisal): string[] =>
  LIMITS.filter((limit) => notProven.some((one) => one.startsWith(limit)));
const secret = (): Groth16Key => keyOf({ commitment: "99" });
const development = (): Groth16Key => keyOf({ setup: "development" });

describe("a proof reaches proven", () => {
  test.each<[string, () => Evidence[], Groth16Key, string[]]>([
    ["of public weights", () => [groth16(keyOf())], keyOf(), []],
    ["of secret weights, which is said", () => [groth16(secret())], secret(), [LIMITS[1]!]],
    ["of a development setup, which is said", () => [groth16(development())], development(), [LIMITS[0]!]],
    ["by EZKL, which names no purchase", () => [ezkl], keyOf(), [LIMITS[2]!]],
    ["of both kinds, of which the stronger counts", () => [ezkl, groth16(keyOf())], keyOf(), []],
    ["beside a re-execution, which limits nothing", () => [replay, groth16(keyOf())], keyOf(), []],
  ])("%s", async (_name, pieces, key, limits) => {
    const appraisal = await judged(pieces(), key);
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "proven" });
    expect(limitsOf(appraisal)).toEqual(limits);
    const { note } = appraisal.layers.computation;
    expect(note.includes("weights are secret behind a commitment")).toBe(limits.includes(LIMITS[1]!));
  });

  test("and a re-execution alone does not", async () => {
    const appraisal = await judged([replay]);
    expect(appraisal).toMatchObject({ verdict: "unverified", assurance: "attested", replayed: true });
    expect(limitsOf(appraisal)).toEqual([]);
  });

  test("and none does beside one that is refused", async () => {
    const appraisal = await judged([ezkl, groth16(secret())], secret(), "refused");
    expect(appraisal).toMatchObject({ verdict: "failed", assurance: "attested", replayed: false });
    expect(appraisal.layers.computation.code).toBe("proof_invalid");
    expect(limitsOf(appraisal)).toEqual([]);
  });

  test("also beside one that could not be checked", async () => {
    const appraisal = await judged([ezkl, groth16(secret())], secret(), "missing");
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "proven" });
    expect(limitsOf(appraisal)).toEqual([LIMITS[1]]);
    expect(appraisal.notProven.join()).toContain("decided no layer (zk.ezkl)");
  });

  test("and one that could not be checked says nothing of a weight or purchase", async () => {
    const unchecked = await judged([ezkl], keyOf(), "missing");
    expect(unchecked).toMatchObject({ verdict: "unverified", assurance: "attested" });
    expect(limitsOf(unchecked)).toEqual([]);
    const unpinned = await judged([groth16(secret())], keyOf());
    expect(unpinned.layers.computation.code).toBe("proof_key_mismatch");
    expect(limitsOf(unpinned)).toEqual([]);
  });
});

test("a file's proof of EZKL is judged with the engine that is given", async () => {
  const bytes = serializeReceipt(withEvidence(ezkl));
  const codeWith = async (options: { ezkl?: EzklEngine }): Promise<string> => {
    const verified = await verifyReceipt(bytes, pinning(keyOf()), options);
    return verified.ok ? verified.appraisal.layers.computation.code : verified.code;
  };
  expect(await codeWith({ ezkl: saying("valid") })).toBe("ok");
  expect(await codeWith({})).toBe("ezkl_engine_absent");
});
