import { beforeAll, describe, expect, test } from "vitest";
import { toBase64, utf8 } from "../../src/evidence/bytes.ts";
import type { TensorReading } from "../../src/evidence/exchange/format.ts";
import type { Tensor } from "../../src/evidence/exchange/tensors.ts";
import type { Receipt, ReplayedOutputs, ReplayEvidence } from "../../src/receipts/schema.ts";
import { judgeFormat, readTensors, tensorsOf } from "../../src/verify/layers/answer.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { differenceFromReplay, judgeReplay } from "../../src/verify/computation/replay.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture();
});

const MODEL = "5a".repeat(32);
/** What the model of the policy computes, as the fixture's answer says it. */
const SAME: ReplayedOutputs = [{ name: "class", datatype: "INT64", shape: [1], data: [1] }];
const OTHER: ReplayedOutputs = [{ name: "class", datatype: "INT64", shape: [1], data: [2] }];
const replay = (changes: Partial<ReplayEvidence> = {}): ReplayEvidence => ({
  kind: "replay.onnx",
  modelSha256: MODEL,
  runtime: { name: "onnxruntime", version: "1" },
  outputs: SAME,
  ...changes,
});
const within = (absolute: number, relative: number) => ({ absolute, relative });
const compared = (difference: string | null, tolerance = fixture.policy.replayTolerance): Partial<ReplayEvidence> => {
  const { outputs: _none, ...rest } = replay();
  return { ...rest, compared: { outputsSha256: "ab".repeat(32), tolerance, difference } };
};

/** How the fixture with these re-executions is judged, of which the first `own` are the relying party's. */
function judged(
  pieces: readonly ReplayEvidence[],
  own = pieces.length,
  changes: { policy?: AppraisalPolicy; receipt?: Receipt } = {},
): string | null {
  const { policy = fixture.policy, receipt = fixture.receipt } = changes;
  const at = receipt.core.response.receivedAt;
  const later = [...receipt.later, ...pieces.map((evidence) => ({ at, evidence }))];
  const ours: readonly object[] = pieces.slice(0, own);
  const result = judgeReplay({ ...receipt, later }, policy, (one) => ours.includes(one));
  return result === null ? null : `${result.status} ${result.code}`;
}
const withoutOutputs = (changes: Partial<ReplayEvidence>): ReplayEvidence => {
  const { outputs: _none, ...rest } = replay();
  return { ...rest, ...changes };
};

describe("a re-execution", () => {
  test("of one's own passes or contradicts, and of another it only contradicts", () => {
    expect(judged([])).toBe(null);
    expect(judged([replay()])).toBe("pass replay_matched");
    expect(judged([replay({ outputs: OTHER })])).toBe("fail replay_mismatch");
    expect(judged([replay()], 0)).toBe("skip replay_not_ours");
    expect(judged([replay({ outputs: OTHER })], 0)).toBe("fail replay_mismatch");
  });

  test("beside another: what contradicts stands, and then what shows nothing", () => {
    const [same, other] = [replay(), replay({ outputs: OTHER })];
    expect(judged([same, replay()], 1)).toBe("skip replay_not_ours");
    expect(judged([same, other], 1)).toBe("fail replay_mismatch");
    expect(judged([other, same], 1)).toBe("fail replay_mismatch");
    expect(judged([same, replay()], 2)).toBe("fail ambiguous_evidence");
    expect(judged([same, replay()], 0)).toBe("fail ambiguous_evidence");
  });

  test("is of the policy's model", () => {
    const other = replay({ modelSha256: "ab".repeat(32) });
    expect(judged([other])).toBe("fail replay_model_mismatch");
    expect(judged([other], 0)).toBe("skip replay_not_ours");
    const sellers = { fixture: { ...fixture.policy.sellers["fixture"]!, models: {} } };
    expect(judged([replay()], 1, { policy: { ...fixture.policy, sellers } })).toBe("skip model_not_pinned");
    expect(judged([replay()], 1, { policy: { ...fixture.policy, sellers: {} } })).toBe("skip model_not_pinned");
  });

  test("whose outputs were too many to keep counts by its comparison, within the policy's tolerance", () => {
    expect(judged([withoutOutputs(compared(null))])).toBe("pass replay_matched");
    expect(judged([withoutOutputs(compared("element 1 of tensor 0 differs"))])).toBe("fail replay_mismatch");
    const { absolute, relative } = fixture.policy.replayTolerance;
    for (const tolerance of [within(absolute * 2, relative), within(absolute, relative * 2)])
      expect(judged([withoutOutputs(compared(null, tolerance))])).toBe("skip replay_tolerance");
  });

  test("T67: that differed within one tolerance differs within each tighter one, and one that matched within each wider", () => {
    const { absolute, relative } = fixture.policy.replayTolerance;
    const wider = [within(absolute * 2, relative), within(absolute, relative * 2), within(absolute * 2, relative * 2)];
    const tighter = [within(0, relative), within(absolute, 0), within(0, 0)];
    const at = (difference: string | null, tolerance: AppraisalPolicy["replayTolerance"], own = 1) =>
      judged([withoutOutputs(compared(difference, tolerance))], own);
    for (const tolerance of wider) {
      expect(at("element 1 of tensor 0 differs", tolerance)).toBe("fail replay_mismatch");
      expect(at("element 1 of tensor 0 differs", tolerance, 0)).toBe("fail replay_mismatch");
      expect(at(null, tolerance)).toBe("skip replay_tolerance");
    }
    for (const tolerance of tighter) {
      expect(at("element 1 of tensor 0 differs", tolerance)).toBe("skip replay_tolerance");
      expect(at(null, tolerance)).toBe("pass replay_matched");
    }
    for (const tolerance of [within(absolute * 2, 0), within(0, relative * 2)])
      for (const difference of ["element 1 of tensor 0 differs", null])
        expect(at(difference, tolerance)).toBe("skip replay_tolerance");
  });

  test("that holds neither outputs nor a comparison is no match", () => {
    expect(judged([withoutOutputs({})])).toBe("fail replay_mismatch");
  });

  test("has nothing to be compared with where the answer is left out, or in a format that is not read", () => {
    const receipt = structuredClone(fixture.receipt);
    delete receipt.core.response.body;
    expect(judged([replay()], 1, { receipt })).toBe("skip body_redacted");
    receipt.core.response.body = toBase64(utf8("plain words"));
    expect(judged([replay()], 1, { receipt })).toBe("skip answer_format");
    receipt.core.response.body = toBase64(utf8('{"error":"out of memory"}'));
    expect(judged([replay()], 1, { receipt })).toBe("fail replay_mismatch");
  });

  /** How an answer of these numbers is judged beside those that its re-execution keeps. */
  const against = (datatype: string, answered: string, data: ReplayedOutputs[number]["data"]): string | null => {
    const receipt = structuredClone(fixture.receipt);
    const shape = `[${data.length}]`;
    const tensor = `{"name":"y","datatype":"${datatype}","shape":${shape},"data":${answered}}`;
    receipt.core.response.body = toBase64(utf8(`{"outputs":[${tensor}]}`));
    return judged([replay({ outputs: [{ name: "y", datatype, shape: [data.length], data }] })], 1, { receipt });
  };

  test("that holds a rounded integer shows no match, in whichever place", () => {
    expect(against("INT64", "[1,9007199254740993]", [1, 2 ** 53])).toBe("skip replay_rounded");
    expect(against("UINT64", "[9007199254740992,1]", [2 ** 53, 1])).toBe("skip replay_rounded");
    expect(judged([replay({ outputs: [{ ...SAME[0]!, data: [2 ** 53 - 1] }] })])).toBe("fail replay_mismatch");
  });

  test("T67: that holds a rounded integer contradicts by its other numbers, and by one not rounded to it", () => {
    expect(against("INT64", "[2,9007199254740993]", [1, 2 ** 53])).toBe("fail replay_mismatch");
    expect(against("INT64", "[9007199254740993,2]", [2 ** 53, 1])).toBe("fail replay_mismatch");
    expect(against("INT64", "[1,9007199254740999]", [1, 2 ** 53])).toBe("fail replay_mismatch");
    const data = [1, 2 ** 53];
    expect(judged([replay({ outputs: [SAME[0]!, { ...SAME[0]!, data }] })])).toBe("fail replay_mismatch");
  });

  test.each([-3.4028234663852886e38, 1e16, 1e20, 2 ** 53])(
    "T67: keeps a real number of %d exactly, which hides no difference",
    (large) => {
      for (const datatype of ["FP16", "FP32", "FP64", "BF16"]) {
        expect(against(datatype, `[0.5,${large}]`, [0.5, large])).toBe("pass replay_matched");
        expect(against(datatype, `[1.5,${large}]`, [0.5, large])).toBe("fail replay_mismatch");
        expect(against(datatype, `[0.5,${large / 2}]`, [0.5, large])).toBe("fail replay_mismatch");
      }
    },
  );

  test("says where it differs only in one's own words", () => {
    const told = withoutOutputs(compared("the words of somebody"));
    const at = fixture.receipt.core.response.receivedAt;
    const receipt = { ...fixture.receipt, later: [{ at, evidence: told }] };
    const note = (own: boolean) => judgeReplay(receipt, fixture.policy, () => own)?.note;
    expect(note(true)).toContain("the words of somebody");
    expect(note(false)).not.toContain("the words of somebody");
    const both = {
      ...receipt,
      later: [
        { at, evidence: { ...told } },
        { at, evidence: told },
      ],
    };
    expect(judgeReplay(both, fixture.policy, (one) => one === told)?.note).toContain("the words of somebody");
  });
});

describe("an answer agrees with what was computed", () => {
  const tensor = (data: Tensor["data"], changes: Partial<Tensor> = {}): Tensor => ({
    name: "y",
    datatype: "FP32",
    shape: [data.length],
    data,
    ...changes,
  });
  const read = (...tensors: Tensor[]): TensorReading => ({ ok: true, tensors });
  const differs = (answer: TensorReading, outputs: ReplayedOutputs, tolerance = within(0, 0)): string | null =>
    differenceFromReplay(answer, outputs, tolerance);

  test.each([
    [0.5, 1, 1.5, 0, null],
    [0.5, 1, 1.75, 0, "element 0 of tensor 0 differs"],
    [0.5, 1, 0.5, 0, null],
    [0.5, 1, 0.25, 0, "element 0 of tensor 0 differs"],
    [0, -2, -3, 0.5, null],
    [0, -2, -3.25, 0.5, "element 0 of tensor 0 differs"],
    [1, -2, -4, 0.5, null],
    [1, -2, -4.25, 0.5, "element 0 of tensor 0 differs"],
  ])("within %d of %d: %d, and %d of its magnitude: %s", (absolute, made, said, relative, expected) => {
    expect(differs(read(tensor([said])), [tensor([made])], within(absolute, relative))).toBe(expected);
  });

  test("exactly, where elements are no real numbers", () => {
    const integers = (value: number) => tensor([value], { datatype: "INT64" });
    expect(differs(read(integers(1)), [integers(1)], within(1, 1))).toBe(null);
    expect(differs(read(integers(1)), [integers(2)], within(1, 1))).toBe("element 0 of tensor 0 differs");
    expect(differs(read(tensor([Infinity])), [tensor([Infinity])])).toBe(null);
    expect(differs(read(tensor([1e9])), [tensor([Infinity])], within(1, 1))).toBe("element 0 of tensor 0 differs");
    expect(differs(read(tensor([Number.NaN])), [tensor([Number.NaN])])).toBe(null);
    // Text is no number, whatever it says.
    const text = { ...tensor([0]), data: [true] };
    expect(differs(read(tensor([Number.NaN])), [text])).toBe("element 0 of tensor 0 differs");
    const bytes = (data: string) => tensor([data], { datatype: "BYTES" });
    expect(differs(read(bytes("a")), [bytes("a")])).toBe(null);
    expect(differs(read(bytes("a")), [bytes("b")])).toBe("element 0 of tensor 0 differs");
  });

  test("tensor by tensor, in whichever order they come", () => {
    const [x, y] = [tensor([1], { name: "x" }), tensor([2, 3])];
    expect(differs(read(y, x), [x, y])).toBe(null);
    expect(differs(read(x), [x, y])).toBe("it has other tensors");
    expect(differs(read(x, y), [x])).toBe("it has other tensors");
    expect(differs(read(x, { ...y, name: "z" }), [x, y])).toBe("tensor 1 is missing");
    expect(differs(read(x, tensor([2, 4])), [x, y])).toBe("element 1 of tensor 1 differs");
    for (const change of [{ datatype: "FP64" as const }, { shape: [2, 1] }, { data: [2] }])
      expect(differs(read(x, { ...y, ...change }), [x, y])).toBe("tensor 1 has another type or shape");
    expect(differs({ ok: false, reason: "inconsistent" }, [x])).toBe("it cannot be read");
  });

  test("and is read by the one reader, which says when it has none for a format", () => {
    const body = (text: string) => {
      const core = structuredClone(fixture.receipt.core);
      core.response.body = toBase64(utf8(text));
      return readTensors(core, "response");
    };
    const good = body('{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1]}]}');
    expect(tensorsOf(good)).toEqual([tensor([1])]);
    expect(judgeFormat(good)).toBe(null);
    expect(tensorsOf(body("{}"))).toBe(null);
    expect(judgeFormat(body("{}"))).toMatchObject({ status: "skip", code: "answer_format" });
    expect(judgeFormat(body('{"error":"none"}'))).toBe(null);
  });
});
