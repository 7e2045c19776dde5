import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../src/evidence/bytes.ts";
import { oip } from "../../../src/evidence/exchange/oip.ts";
import { readInferRequest } from "../../../src/node/oip.ts";
import type { LoadedModel } from "../../../src/onnx/inference.ts";
import { showAnswer } from "../../../src/tools/shown-answer.ts";
import { differenceFromReplay } from "../../../src/verify/computation/replay.ts";

type Given = { shape: number[]; data: unknown[] };

const bodyOf = (tensors: readonly Given[]): Uint8Array => {
  const named = tensors.map(({ shape, data }, at) => ({ name: `t${at}`, datatype: "FP32", shape, data }));
  return utf8(JSON.stringify({ id: "n", model_name: "m", inputs: named, outputs: named }));
};

/** A model of the node that takes any size in each of so many dimensions. */
const modelOf = (dimensions: number): LoadedModel => ({
  name: "m",
  file: "m.onnx",
  sha256: "00".repeat(32),
  inputs: [{ name: "t0", datatype: "FP32", shape: Array<number>(dimensions).fill(-1) }],
  outputs: [],
  dimensions: {},
  runtime: { name: "none", version: "0" },
  run: () => Promise.resolve([]),
  close: () => Promise.resolve(),
});

/** Arrays in a value, itself included. */
const arraysIn = (value: unknown): number =>
  Array.isArray(value) ? value.reduce<number>((sum, item) => sum + arraysIn(item), 1) : 0;

/** How many arrays each reader of a body makes of it, the largest; none may throw. */
function mostArrays(body: Uint8Array, dimensions: number): number {
  const answer = oip.readAnswer(body);
  const tensors = oip.readTensors(body, "response");
  showAnswer(answer);
  differenceFromReplay(tensors, tensors.ok ? tensors.tensors : [], { absolute: 0, relative: 0 });
  readInferRequest(modelOf(dimensions), body, 8);
  return Math.max(
    arraysIn(answer.readable ? Object.values(answer.answer) : []),
    arraysIn(Object.values(oip.readInput(body) ?? {})),
  );
}

const size = fc.oneof(
  fc.nat({ max: 4 }),
  fc.constantFrom(0, 1, 2 ** 16, 2 ** 20, 2 ** 32, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER),
);
const shape = fc.array(size, { maxLength: 16 });
const tensor = shape.map((sizes): Given => {
  const count = sizes.reduce((product, one) => product * one, 1);
  return { shape: sizes, data: Array<number>(count < 10_000 ? count : 0).fill(1) };
});

describe("T52: the shape of a body's tensor", () => {
  test.each([[[9_007_199_254_740_991, 0]], [[1_000_000, 0]], [[1, 1_000_000, 0, 5]], [[1000, 1000, 0]]])(
    "%j without an element claims more rows than its bytes hold, and is read by none",
    (sizes) => {
      const body = bodyOf([{ shape: sizes, data: [] }]);
      expect(mostArrays(body, sizes.length)).toBeLessThan(body.length);
      expect(oip.readAnswer(body)).toMatchObject({ readable: false, reason: "inconsistent" });
      expect(oip.readTensors(body, "request")).toEqual({ ok: false, reason: "inconsistent" });
      expect(oip.readInput(body)).toBeNull();
    },
  );

  test("claims no more in many tensors than in one", () => {
    const body = bodyOf(Array.from({ length: 500 }, () => ({ shape: [200, 0], data: [] })));
    expect(oip.readAnswer(body)).toMatchObject({ reason: "inconsistent" });
  });

  test.each<[number[], unknown[], unknown]>([
    [[0], [], []],
    [[1, 0], [], []],
    [[0, 9_007_199_254_740_991], [], []],
    [[2, 0, 4], [], [[], []]],
    [[], [1], 1],
    [[1], [1], [1]],
    [
      [1, 2],
      [1, 2],
      [1, 2],
    ],
    [
      [2, 1, 2],
      [1, 2, 3, 4],
      [[[1, 2]], [[3, 4]]],
    ],
  ])("%j with the elements that it says is read", (sizes, data, expected) => {
    expect(oip.readAnswer(bodyOf([{ shape: sizes, data }]))).toEqual({ readable: true, answer: { t0: expected } });
  });

  test("of one element a row, as masks and labels come, is read", () => {
    const mask = { shape: [300, 300, 1], data: Array<number>(90_000).fill(1) };
    expect(oip.readAnswer(bodyOf([mask])).readable).toBe(true);
  });

  test("whatever it is, makes no reader throw or make more arrays than the body has bytes", () => {
    fc.assert(
      fc.property(fc.array(tensor, { minLength: 1, maxLength: 3 }), (tensors) => {
        const body = bodyOf(tensors);
        expect(mostArrays(body, tensors[0]?.shape.length ?? 0)).toBeLessThanOrEqual(body.length + 1);
      }),
      { numRuns: 300 },
    );
  });
});
