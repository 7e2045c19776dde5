import { describe, expect, test } from "vitest";
import { fromBase64, fromUtf8 } from "../../src/evidence/bytes.ts";
import { oip } from "../../src/evidence/exchange/oip.ts";
import type { LayerResult, ReplayedOutputs, ReplayEvidence } from "../../src/receipts/schema.ts";
import { replayEvidence } from "../../src/receipts/replay-schema.ts";
import { judgeTensorFormat } from "../../src/verify/layers/answer.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { judgeReplay } from "../../src/verify/computation/replay.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

type Computed = ReplayedOutputs[number];

/** A signed answer of these outputs, as the seller spells them, beside what the buyer's own re-execution computed. */
async function judged(outputs: string, computed: Computed[]): Promise<LayerResult | null> {
  const { receipt, policy } = await makeFixture({
    response: (nonce) => `{"model_name":"eth-risk","id":"${nonce}",${outputs}}`,
  });
  const modelSha256 = policy.sellers["fixture"]!.models["eth-risk"]!;
  const runtime = { name: "onnxruntime-node", version: "1" };
  const evidence: ReplayEvidence = replayEvidence.parse({
    kind: "replay.onnx",
    modelSha256,
    runtime,
    outputs: computed,
  });
  const later = [...receipt.later, { at: receipt.core.response.receivedAt, evidence }];
  return judgeReplay({ ...receipt, later }, policy, (one) => one === evidence);
}

const answer = (datatype: string, shape: string, data: string): string =>
  `"outputs":[{"name":"y","datatype":"${datatype}","shape":${shape},"data":${data}}]`;
const computed = (datatype: string, shape: number[], ...data: Computed["data"]): Computed[] => [
  { name: "y", datatype, shape, data },
];

const PAST = "9007199254740993";

describe("an answer is compared with a re-execution as its buyer reads it", () => {
  test.each([
    [
      "an integer that no double holds",
      answer("INT64", "[2]", `[${PAST}, -${PAST}]`),
      computed("INT64", [2], PAST, `-${PAST}`),
    ],
    ["the same integer as text", answer("INT64", "[1]", `["${PAST}"]`), computed("INT64", [1], PAST)],
    ["an integer with a fraction of zero", answer("INT64", "[1]", "[3.0]"), computed("INT64", [1], 3)],
    ["nested data", answer("FP32", "[2,2]", "[[1,2],[3,4]]"), computed("FP32", [2, 2], 1, 2, 3, 4)],
    ["a number as text", answer("FP32", "[1]", `["0.5"]`), computed("FP32", [1], 0.5)],
    [
      "what is no number, as Python writes it",
      answer("FP32", "[3]", "[NaN, Infinity, -Infinity]"),
      computed("FP32", [3], "NaN", "Infinity", "-Infinity"),
    ],
    ["what is no number, as null", answer("FP64", "[2]", "[null, 1]"), computed("FP64", [2], "NaN", 1)],
    ["a datatype that is exact", answer("BOOL", "[2]", "[true, false]"), computed("BOOL", [2], true, false)],
  ])("and matches: %s", async (_name, said, made) => {
    expect(await judged(said, made)).toMatchObject({ status: "pass", code: "replay_matched" });
  });

  test.each([
    [
      "an integer beside one that no double holds",
      answer("INT64", "[1]", "[9007199254740992]"),
      computed("INT64", [1], PAST),
    ],
    [
      "another such integer that rounds to the same",
      answer("INT64", "[1]", "[9007199254740993]"),
      computed("INT64", [1], "9007199254740992"),
    ],
    ["a number where the model gives none", answer("FP32", "[1]", "[5]"), computed("FP32", [1], "NaN")],
    ["no number where the model gives one", answer("FP32", "[1]", "[null]"), computed("FP32", [1], 5)],
    ["a number where the model gives infinity", answer("FP32", "[1]", "[5]"), computed("FP32", [1], "Infinity")],
    ["the other infinity", answer("FP32", "[1]", "[-Infinity]"), computed("FP32", [1], "Infinity")],
    ["nested data in another order", answer("FP32", "[2,2]", "[[1,3],[2,4]]"), computed("FP32", [2, 2], 1, 2, 3, 4)],
    ["nested data of another shape", answer("FP32", "[4]", "[[1,2],[3,4]]"), computed("FP32", [4], 1, 2, 3, 4)],
    [
      "a tensor that is there twice",
      `"outputs":[${'{"name":"y","datatype":"FP32","shape":[1],"data":[1]},'.repeat(2).slice(0, -1)}]`,
      computed("FP32", [1], 1),
    ],
    ["an error in place of an answer", '"error":"out of memory"', computed("FP32", [1], 1)],
  ])("and contradicts it: %s", async (_name, said, made) => {
    expect(await judged(said, made)).toMatchObject({ status: "fail", code: "replay_mismatch" });
  });

  test.each([
    ["in another format", '"prediction":[1]', "answer_format"],
    ["of a datatype that is not known", answer("FP8", "[1]", "[1]"), "answer_format"],
  ])("and neither matches nor contradicts where it is %s", async (_name, said, code) => {
    expect(await judged(said, computed("FP32", [1], 1))).toMatchObject({ status: "skip", code });
  });

  test("and an integer that an earlier version rounded shows nothing", async () => {
    const rounded = computed("INT64", [1], 9_007_199_254_740_992);
    expect(await judged(answer("INT64", "[1]", `[${PAST}]`), rounded)).toMatchObject({
      status: "skip",
      code: "replay_rounded",
    });
  });
});

test("a proof says nothing of an exchange whose format is not known, or holds no tensors", () => {
  const { readTensors: _none, ...withoutTensors } = oip;
  expect(judgeTensorFormat(null)).toMatchObject({ status: "unsupported", code: "exchange_format_unknown" });
  expect(judgeTensorFormat(withoutTensors)).toMatchObject({ status: "unsupported", code: "exchange_format_unread" });
  expect(judgeTensorFormat(oip)).toBeNull();
});

test.each([
  ["numbers that JSON does not have", answer("FP32", "[2]", "[NaN, 1]")],
  ["integers that no double holds", answer("UINT64", "[1]", "[18446744073709551615]")],
])("a signed answer with %s is verified, and the buyer reads it", async (_name, outputs) => {
  const { receipt, policy, evaluateAt } = await makeFixture({
    response: (nonce) => `{"model_name":"eth-risk","id":"${nonce}",${outputs}}`,
  });
  const { verdict } = await appraise({ receipt, policy, now: evaluateAt, evaluateAt });
  expect(verdict).toBe("verified");
  expect(oip.readTensors(fromBase64(receipt.core.response.body!), "response").ok).toBe(true);
  expect(fromUtf8(fromBase64(receipt.core.response.body!))).toContain(outputs);
});

test.each([
  [200, "verified"],
  [201, "unverified"],
  [202, "unverified"],
  [299, "unverified"],
  [199, "failed"],
  [304, "failed"],
  [402, "failed"],
  [500, "failed"],
])("an answer with status %i is %s", async (status, verdict) => {
  const { receipt, policy, evaluateAt } = await makeFixture({ status });
  expect((await appraise({ receipt, policy, now: evaluateAt, evaluateAt })).verdict).toBe(verdict);
});

const OUTPUT = '"outputs":[{"name":"class","shape":[1],"datatype":"INT64","data":[1]}]';
const INPUT = '"inputs":[{"name":"features","shape":[1,2],"datatype":"FP32","data":[1,2]}]';
const PATHS = { response: "outputs", request: "inputs" } as const;

describe("T52: a body that names a key twice, of which another reader may take the other", () => {
  test.each<["request" | "response", string, (nonce: string) => string]>([
    [
      "response",
      "outputs",
      (id) => `{"model_name":"eth-risk","id":"${id}",${OUTPUT.replace("[1]}", "[2]}")},${OUTPUT}}`,
    ],
    [
      "response",
      "data",
      (id) => `{"model_name":"eth-risk","id":"${id}",${OUTPUT.replace('"data"', '"data":[2],"data"')}}`,
    ],
    ["response", "model_name", (id) => `{"model_name":"other","model_name":"eth-risk","id":"${id}",${OUTPUT}}`],
    ["response", "id", (id) => `{"model_name":"eth-risk","id":"${id}","id":"${id}",${OUTPUT}}`],
    ["response", "an escaped key", (id) => `{"model_name":"eth-risk","id":"${id}","out\\u0070uts":[],${OUTPUT}}`],
    ["response", "__proto__", (id) => `{"__proto__":{"outputs":[]},"model_name":"eth-risk","id":"${id}",${OUTPUT}}`],
    ["request", "inputs", (id) => `{"id":"${id}",${INPUT.replace("[1,2]}", "[9,9]}")},${INPUT}}`],
    ["request", "id", (id) => `{"id":"${"0".repeat(64)}","id":"${id}",${INPUT}}`],
  ])("is no %s that is verified: %s", async (part, _key, text) => {
    const { receipt, policy, evaluateAt } = await makeFixture({ [part]: text });
    const { body } = receipt.core[part];
    expect(fromUtf8(fromBase64(body!))).toContain(PATHS[part]);
    expect(oip.readTensors(fromBase64(body!), part)).toEqual({ ok: false, reason: "inconsistent" });
    expect(part === "request" ? oip.readInput(fromBase64(body!)) : null).toBeNull();
    const { verdict, layers } = await appraise({ receipt, policy, now: evaluateAt, evaluateAt });
    expect(verdict).toBe("failed");
    expect(layers[part === "request" ? "request" : "model"]).toMatchObject({ status: "fail", code: "body_ambiguous" });
  });
});
