import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { BN254_R, quantiseInput, requestSignals, toField, type Groth16Key } from "../../src/evidence/groth16.ts";
import type { Groth16Evidence, Receipt } from "../../src/receipts/schema.ts";
import { hasSecretWeights, isProved, judgeGroth16 } from "../../src/verify/computation/groth16.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { forged, g1, keyOf, SECRET } from "../support/groth16-forgery.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture();
});

const X = { name: "x", datatype: "FP32", shape: [1, 2], data: [0.5, -1.25] as unknown[] };
const Y = { name: "y", datatype: "FP32", shape: [1, 2], data: [1.5, -2] as unknown[] };

type Case = {
  key?: Partial<Groth16Key>;
  inputs?: object[] | string;
  answer?: object;
  /** Changes the signals before they are proved. */
  signals?: (signals: string[]) => string[];
  proof?: string;
  policy?: Partial<AppraisalPolicy>;
  models?: Record<string, string>;
  change?: (receipt: Receipt) => void;
};
function judged(one: Case = {}): string | null {
  const key = keyOf(one.key);
  const pinned = toHex(canonicalSha256(key));
  const receipt = structuredClone(fixture.receipt);
  const { request, response } = receipt.core;
  request.body = toBase64(utf8(JSON.stringify({ inputs: one.inputs ?? [X] })));
  response.body = toBase64(utf8(JSON.stringify(one.answer ?? { outputs: [Y] })));
  const results = [1.5, -2].map((value) => toField(BigInt(value * 2 ** (2 * key.scale))));
  const inputs = [0.5, -1.25].map((value) => toField(quantiseInput(value, key.scale)!));
  const named = [...results, ...inputs, ...requestSignals(fromBase64(request.body))].map(String);
  const usual = [...named, ...(key.commitment === null ? [] : [key.commitment])];
  const signals = one.signals?.(usual) ?? usual;
  const evidence: Groth16Evidence = { kind: "zk.groth16", key, signals, proof: one.proof ?? forged(signals) };
  receipt.later.push({ at: response.receivedAt, evidence });
  one.change?.(receipt);
  const known = fixture.policy.sellers["fixture"]!;
  const seller = {
    ...known,
    models: one.models ?? known.models,
    proofs: { "eth-risk": pinned },
  };
  const policy = { ...fixture.policy, sellers: { fixture: seller }, ...one.policy };
  const result = judgeGroth16(receipt, policy, createVerificationCache());
  expect(hasSecretWeights(receipt)).toBe(result !== null && key.commitment !== null && receipt.later.length === 2);
  const subject = `The pinned model${key.commitment === null ? "" : ", whose weights are secret behind a commitment,"} was`;
  if (result?.status === "pass" && !result.note.startsWith(subject)) throw new Error(`not told: ${subject}`);
  return result === null ? null : `${result.status} ${result.code}`;
}
const replaced = (at: number, value: string) => (signals: string[]) => signals.with(at, value);

describe("a Groth16 proof", () => {
  test("passes where request and answer are what was proved", () => {
    expect(judged()).toBe("pass ok");
    expect(judged({ key: { commitment: "99" } })).toBe("pass ok");
    expect(judged({ models: {} })).toBe("pass ok");
  });

  test("of a development setup says so, where the policy counts it", () => {
    const key = { setup: "development" as const };
    expect(judged({ key, policy: { developmentSetups: true } })).toBe("pass development_proof");
    expect(judged({ key, policy: { developmentSetups: false } })).toBe("skip development_setup");
    expect(judged({ policy: { developmentSetups: false } })).toBe("pass ok");
  });

  test.each<[string, (receipt: Receipt) => void, string | null]>([
    ["is there once", ({ later }) => void later.push(later.at(-1)!), "fail ambiguous_evidence"],
    ["or not at all", ({ later }) => void later.pop(), null],
    [
      "is by the pinned key",
      ({ later }) => void ((later.at(-1)!.evidence as Groth16Evidence).key.scale = 5),
      "fail proof_key_mismatch",
    ],
    ["is compared with a request", ({ core }) => delete core.request.body, "skip body_redacted"],
    ["is compared with an answer", ({ core }) => delete core.response.body, "skip body_redacted"],
    ["is of a model", ({ core }) => (core.request.model = "other"), "skip proof_key_not_pinned"],
    ["is of a seller", ({ core }) => (core.seller.id = "other"), "skip proof_key_not_pinned"],
    ["is of a format", ({ core }) => (core.seller.provider = "other"), "unsupported exchange_format_unknown"],
  ])("%s", (_name, change, code) => {
    expect(judged({ change })).toBe(code);
  });

  test.each<[string, Case, string]>([
    ["another model file", { key: { modelSha256: "ab".repeat(32) } }, "fail proof_model_mismatch"],
    ["two inputs", { inputs: [X, { ...X, name: "z" }] }, "fail proof_of_another_request"],
    ["a request that is not read", { inputs: "any words" }, "fail proof_of_another_request"],
    ["no input", { inputs: [] }, "fail proof_of_another_request"],
    ["an input of another name", { inputs: [{ ...X, name: "z" }] }, "fail proof_of_another_request"],
    ["an input of another type", { inputs: [{ ...X, datatype: "FP64" }] }, "fail proof_of_another_request"],
    ["an input of another shape", { inputs: [{ ...X, shape: [2, 1] }] }, "fail proof_of_another_request"],
    ["an input of another length", { inputs: [{ ...X, shape: [1, 1], data: [0.5] }] }, "fail proof_of_another_request"],
    ["another number", { inputs: [{ ...X, data: [0.5, -1] }] }, "fail proof_of_another_request"],
    ["what is no number", { inputs: [{ ...X, data: [0.5, null] }] }, "fail proof_of_another_request"],
    ["a number too large", { inputs: [{ ...X, data: [0.5, 2 ** 40] }] }, "fail proof_of_another_request"],
    ["another answer", { answer: { outputs: [{ ...Y, data: [1.5, -2.6] }] } }, "fail proof_answer_mismatch"],
    ["no outputs", { answer: { outputs: [] } }, "fail proof_answer_mismatch"],
    ["an error for an answer", { answer: { error: "none" } }, "fail proof_answer_mismatch"],
    ["an answer that is not read", { answer: { words: "any" } }, "skip answer_format"],
    ["a signal of another input", { signals: replaced(2, "9") }, "fail proof_of_another_request"],
    ["a signal of another request", { signals: replaced(4, "9") }, "fail proof_of_another_request"],
    ["the other signal of another request", { signals: replaced(5, "9") }, "fail proof_of_another_request"],
    ["another commitment", { key: { commitment: "99" }, signals: replaced(6, "98") }, "fail proof_of_another_request"],
    [
      "no commitment",
      { key: { commitment: "99" }, signals: (all) => all.slice(0, 6) },
      "fail proof_of_another_request",
    ],
    ["a signal more", { signals: (all) => [...all, "1"] }, "fail proof_of_another_request"],
    ["a proof of something else", { proof: forged(["1"]) }, "fail proof_invalid"],
  ])("of %s does not pass", (_name, one, code) => {
    expect(judged(one)).toBe(code);
  });
});

describe("the proof itself", () => {
  const signals = ["1", "2", "3", "4", "5", "6"];
  const proof = forged(signals);
  const nowhere = "11".repeat(64);

  test("holds for its signals", () => {
    expect(isProved({ key: keyOf(), proof, signals })).toBe(true);
  });

  test.each([...signals.keys()])("and not with signal %i changed", (at) => {
    expect(isProved({ key: keyOf(), proof, signals: signals.with(at, "7") })).toBe(false);
  });

  test.each([
    ["more", SECRET.ic.map(g1)],
    ["fewer", keyOf().ic.slice(0, -1)],
  ])("holds for as many signals as its key has points, and not for %s", (_name, ic) => {
    expect(isProved({ key: keyOf({ ic }), proof, signals })).toBe(false);
  });

  test.each([0n, BN254_R - 1n])("holds for a signal of %d, which is of the field", (value) => {
    const own = signals.with(0, String(value));
    expect(isProved({ key: keyOf(), proof: forged(own), signals: own })).toBe(true);
  });

  test.each([-1n, BN254_R, BN254_R + 1n])("and not for one of %d, which stands for the same as another", (value) => {
    const same = signals.with(0, String(toField(value)));
    expect(isProved({ key: keyOf(), proof: forged(same), signals: signals.with(0, String(value)) })).toBe(false);
  });

  test.each<[string, Partial<Groth16Key>]>([
    ["alpha", { alpha1: nowhere }],
    ["beta", { beta2: nowhere + nowhere }],
    ["gamma", { gamma2: nowhere + nowhere }],
    ["delta", { delta2: nowhere + nowhere }],
    ["a point of its inputs", { ic: keyOf().ic.with(3, nowhere) }],
  ])("does not hold under a key whose %s is no point", (_name, changes) => {
    expect(isProved({ key: keyOf(changes), proof, signals })).toBe(false);
  });

  test.each([
    ["A", nowhere + proof.slice(128)],
    ["B", proof.slice(0, 128) + nowhere + nowhere + proof.slice(384)],
    ["C", proof.slice(0, 384) + nowhere],
  ])("does not hold where %s is no point", (_name, odd) => {
    expect(isProved({ key: keyOf(), proof: odd, signals })).toBe(false);
  });
});
