import { beforeAll, describe, expect, test } from "vitest";
import { sha256, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { readEzklProof, writeEzklProof } from "../../src/evidence/ezkl.ts";
import { toField } from "../../src/evidence/groth16.ts";
import type { EzklEvidence, Receipt } from "../../src/receipts/schema.ts";
import { judgeEzkl } from "../../src/verify/computation/ezkl.ts";
import type { AppraisalPolicy, EzklReference } from "../../src/verify/policy.ts";
import type { EzklCheck, EzklEngine, EzklOutcome } from "../../src/verify/types.ts";
import { SECRET, sG2Of } from "../support/ezkl.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

/** What is compared before any engine is asked: a circuit of two inputs and two outputs, whose engine says what it is told to. */
let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture();
});

const PUBLIC = { input_visibility: "Public", output_visibility: "Public", param_visibility: "Fixed" };
const settingsOf = (runArgs: object = {}): object => ({
  run_args: { ...PUBLIC, commitment: "KZG", ...runArgs },
  model_instance_shapes: [[1, 2], [1], [1, 2], [1, 1]],
  model_input_scales: [4, 2],
  model_output_scales: [3, 1],
});
type Tensor = { name: string; datatype: string; shape: number[]; data: unknown[] };
const tensor = (name: string, shape: number[], ...data: unknown[]): Tensor => ({ name, datatype: "FP32", shape, data });
const A = tensor("a", [1, 2], 0.5, -1);
const B = tensor("b", [1], 3);
const Y = tensor("y", [1, 2], 0.25, -2);
const Z = tensor("z", [1, 1], 1.5);
/** The same numbers as the circuit's: a and b, then y and z. */
const NUMBERS = [8, -16, 12, 2, -16, 3];

type Case = {
  inputs?: Tensor[] | string;
  answer?: Tensor[] | object;
  numbers?: number[];
  proof?: Uint8Array;
  settings?: unknown;
  reference?: Partial<EzklReference>;
  policy?: Partial<AppraisalPolicy>;
  engine?: EzklOutcome | null;
  change?: (receipt: Receipt) => void;
};
let asked: EzklCheck[] = [];
async function judged(one: Case = {}): Promise<string | null> {
  asked = [];
  const key = utf8("a key");
  const settings = utf8(JSON.stringify(one.settings ?? settingsOf()));
  const instances = (one.numbers ?? NUMBERS).map((value) => toField(BigInt(value)));
  const evidence: EzklEvidence = {
    kind: "zk.ezkl",
    key: toBase64(key),
    settings: toBase64(settings),
    proof: toBase64(one.proof ?? writeEzklProof({ instances, proof: new Uint8Array([1, 2, 3]) })),
  };
  const reference: EzklReference = {
    key: toHex(sha256(key)),
    settings: toHex(sha256(settings)),
    srs: { sG2: sG2Of(SECRET), setup: "ceremony" },
    inputs: ["a", "b"],
    outputs: ["y", "z"],
    ...one.reference,
  };
  const receipt = structuredClone(fixture.receipt);
  const { request, response } = receipt.core;
  const { answer = [Y, Z] } = one;
  request.body = toBase64(utf8(JSON.stringify({ inputs: one.inputs ?? [A, B] })));
  response.body = toBase64(utf8(JSON.stringify(Array.isArray(answer) ? { outputs: answer } : answer)));
  receipt.later.push({ at: response.receivedAt, evidence });
  one.change?.(receipt);
  const seller = { ...fixture.policy.sellers["fixture"]!, ezkl: { "eth-risk": reference } };
  const { engine = "valid" } = one;
  const port: EzklEngine = (check) => (asked.push(check), Promise.resolve(engine ?? "crashed"));
  const result = await judgeEzkl(
    receipt,
    { ...fixture.policy, sellers: { fixture: seller }, ...one.policy },
    engine === null ? undefined : port,
  );
  return result === null ? null : `${result.status} ${result.code}`;
}
const proofIn = ({ later }: Receipt): EzklEvidence => later.at(-1)!.evidence as EzklEvidence;

describe("a proof of EZKL", () => {
  test("passes where request and answer are what was proved, and the engine gets what was compared", async () => {
    expect(await judged()).toBe("pass ok");
    expect(asked).toHaveLength(1);
    expect(readEzklProof(asked[0]!.proof)?.proof).toEqual(new Uint8Array([1, 2, 3]));
    expect([asked[0]!.key, asked[0]!.settings].map(toHex)).toEqual(
      [utf8("a key"), utf8(JSON.stringify(settingsOf()))].map(toHex),
    );
  });

  test("of a development setup says so, where the policy counts it", async () => {
    const reference = { srs: { sG2: sG2Of(SECRET), setup: "development" as const } };
    expect(await judged({ reference, policy: { developmentSetups: true } })).toBe("pass development_proof");
    expect(await judged({ reference, policy: { developmentSetups: false } })).toBe("skip development_setup");
    expect(await judged({ policy: { developmentSetups: false } })).toBe("pass ok");
  });

  test.each<[string, (receipt: Receipt) => void, string | null]>([
    ["is there once", ({ later }) => void later.push(later.at(-1)!), "fail ambiguous_evidence"],
    ["or not at all", ({ later }) => void later.pop(), null],
    ["has the pinned key", (receipt) => (proofIn(receipt).key = toBase64(utf8("b"))), "fail proof_key_mismatch"],
    ["has the pinned settings", (receipt) => (proofIn(receipt).settings = ""), "fail proof_settings_mismatch"],
    ["is compared with a request", ({ core }) => delete core.request.body, "skip body_redacted"],
    ["is compared with an answer", ({ core }) => delete core.response.body, "skip body_redacted"],
    ["is of a model", ({ core }) => (core.request.model = "other"), "skip proof_key_not_pinned"],
    ["is of a seller", ({ core }) => (core.seller.id = "other"), "skip proof_key_not_pinned"],
    ["is of a format", ({ core }) => (core.seller.provider = "other"), "unsupported exchange_format_unknown"],
  ])("%s", async (_name, change, code) => {
    expect(await judged({ change })).toBe(code);
    expect(asked).toEqual([]);
  });

  test.each<[string, Case, string]>([
    ["settings that are none", { settings: {} }, "unsupported ezkl_settings_unsupported"],
    ["another commitment", { settings: settingsOf({ commitment: "IPA" }) }, "unsupported ezkl_settings_unsupported"],
    ["names of fewer inputs", { reference: { inputs: ["a"] } }, "unsupported ezkl_settings_unsupported"],
    ["names of fewer outputs", { reference: { outputs: ["y"] } }, "unsupported ezkl_settings_unsupported"],
    ["hidden inputs", { settings: settingsOf({ input_visibility: "Private" }) }, "skip ezkl_inputs_private"],
    ["hidden outputs", { settings: settingsOf({ output_visibility: "Hashed" }) }, "skip ezkl_outputs_private"],
    ["free weights", { settings: settingsOf({ param_visibility: "Private" }) }, "skip ezkl_weights_open"],
    ["no proof", { proof: utf8("{}") }, "fail proof_malformed"],
    [
      "a setup that is no point",
      { reference: { srs: { sG2: "11".repeat(128), setup: "ceremony" } } },
      "skip srs_invalid",
    ],
    ["no engine", { engine: null }, "unsupported ezkl_engine_absent"],
    ["an engine that refuses it", { engine: "refused" }, "fail proof_invalid"],
    ["an engine that reads no such key", { engine: "unreadable" }, "unsupported ezkl_unreadable"],
    ["an engine that is not installed", { engine: "missing" }, "unsupported ezkl_missing"],
    ["an engine that was stopped", { engine: "timeout" }, "unsupported ezkl_timeout"],
    ["an engine that ended", { engine: "crashed" }, "unsupported ezkl_crashed"],
  ])("with %s does not pass", async (_name, one, code) => {
    expect(await judged(one)).toBe(code);
  });
});

describe("the request is what was proved", () => {
  test.each<[string, Tensor[] | string, string]>([
    ["in whichever order", [B, A], "pass ok"],
    ["with a dimension of one more or less", [tensor("a", [2], 0.5, -1), tensor("b", [1, 1, 1], 3)], "pass ok"],
    ["and not with a tensor more", [A, B, tensor("c", [1], 1)], "fail proof_of_another_request"],
    ["and not with one less", [A], "fail proof_of_another_request"],
    ["and not under another name", [A, { ...B, name: "c" }], "fail proof_of_another_request"],
    ["and not of another type", [{ ...A, datatype: "FP64" }, B], "fail proof_of_another_request"],
    ["and not of another shape", [{ ...A, shape: [2, 1] }, B], "fail proof_of_another_request"],
    ["and not of another number", [A, { ...B, data: [3.25] }], "fail proof_of_another_request"],
    ["and not of what is no number", [A, { ...B, data: [null] }], "fail proof_of_another_request"],
    ["and not of more numbers", [A, tensor("b", [2], 3, 3)], "fail proof_of_another_request"],
    ["and read at all", "any words", "fail proof_of_another_request"],
  ])("%s", async (_name, inputs, code) => {
    expect(await judged({ inputs })).toBe(code);
  });

  test("in each of its numbers", async () => {
    for (const at of [0, 1, 2])
      expect(await judged({ numbers: NUMBERS.map((value, place) => (place === at ? value + 1 : value)) })).toBe(
        "fail proof_of_another_request",
      );
  });
});

describe("the answer is what was proved", () => {
  const rounding = 2 ** -3;

  test.each<[string, Tensor[] | object, string]>([
    ["in whichever order", [Z, Y], "pass ok"],
    ["of one output alone", [Z], "pass ok"],
    ["within a unit of the output's scale", [{ ...Y, data: [0.25 + rounding, -2 - rounding] }, Z], "pass ok"],
    ["and not beyond", [{ ...Y, data: [0.25 + rounding * 1.01, -2] }, Z], "fail proof_answer_mismatch"],
    ["as a scalar", [Y, { ...Z, shape: [] }], "pass ok"],
    [
      "as an integer",
      [
        { ...Y, data: [0.25, -2] },
        { ...Z, datatype: "INT64", data: [2] },
      ],
      "pass ok",
    ],
    ["and not of a type that is no number", [Y, { ...Z, datatype: "FP16" }], "fail proof_answer_mismatch"],
    ["and not of text", [Y, { ...Z, datatype: "INT64", data: ["9007199254740993"] }], "fail proof_answer_mismatch"],
    ["and not of another shape", [{ ...Y, shape: [2, 1] }, Z], "fail proof_answer_mismatch"],
    ["and not of more numbers", [Y, tensor("z", [2], 1.5, 1.5)], "fail proof_answer_mismatch"],
    ["and not of what is no number", [Y, { ...Z, data: [null] }], "fail proof_answer_mismatch"],
    ["and not of an output that was not proved", [Y, { ...Z, name: "w" }], "fail proof_answer_mismatch"],
    ["and not of nothing", [], "fail proof_answer_mismatch"],
    ["and not an error", { error: "out of memory" }, "fail proof_answer_mismatch"],
    ["and read at all", { words: "any" }, "skip answer_format"],
  ])("%s", async (_name, answer, code) => {
    expect(await judged({ answer })).toBe(code);
  });

  test("within the policy's tolerance, both ends included", async () => {
    const near = { reference: { tolerance: 0.5 } };
    expect(await judged({ ...near, answer: [{ ...Y, data: [0.75, -2.5] }, Z] })).toBe("pass ok");
    expect(await judged({ ...near, answer: [{ ...Y, data: [0.76, -2] }, Z] })).toBe("fail proof_answer_mismatch");
    expect(await judged({ reference: { tolerance: 0 } })).toBe("pass ok");
  });

  test("in as many numbers as the circuit has", async () => {
    expect(await judged({ numbers: [...NUMBERS, 1] })).toBe("fail proof_answer_mismatch");
    expect(await judged({ numbers: NUMBERS.slice(0, -1) })).toBe("fail proof_answer_mismatch");
    // Beyond 2^52 no number is exact.
    const huge = [...NUMBERS.slice(0, -1), 2 ** 52];
    for (const said of [2 ** 51, 0])
      expect(await judged({ numbers: huge, answer: [Y, { ...Z, data: [said] }] })).toBe("fail proof_answer_mismatch");
  });
});
