import fc from "fast-check";
import { expect, it } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import { oip } from "../../src/evidence/exchange/oip.ts";
import { readInferRequest } from "../../src/node/oip.ts";
import { halfOfNumber, numberOfHalf } from "../../src/onnx/half.ts";
import { openModel } from "../../src/onnx/inference.ts";
import { TensorProto_DataType as DataType } from "../../src/onnx/onnx-proto.artifact.ts";
import type { Tensor } from "../../src/onnx/tensors.ts";
import { graphOf, int, modelOf, node, value } from "../support/onnx-messages.ts";

/** A model that gives back what it is given. */
const identityOf = (type: number): Uint8Array =>
  modelOf(
    graphOf([node("Identity", ["x"], "y")], [], { input: [value("x", [2], type)], output: [value("y", [2], type)] }),
  );

const most = Number.MAX_SAFE_INTEGER;
it.each<[Tensor["datatype"], DataType, Tensor["data"]]>([
  ["INT8", DataType.INT8, [-128, 127]],
  ["INT16", DataType.INT16, [-32_768, 32_767]],
  ["INT32", DataType.INT32, [-2_147_483_648, 2_147_483_647]],
  ["INT64", DataType.INT64, [-most, most]],
  ["INT64", DataType.INT64, ["-9223372036854775808", "9223372036854775807"]],
  ["UINT8", DataType.UINT8, [0, 255]],
  ["UINT16", DataType.UINT16, [0, 65_535]],
  ["UINT32", DataType.UINT32, [0, 4_294_967_295]],
  ["UINT64", DataType.UINT64, [0, most]],
  ["UINT64", DataType.UINT64, [0, "18446744073709551615"]],
  ["BOOL", DataType.BOOL, [true, false]],
  ["FP16", DataType.FLOAT16, [65_504, -(2 ** -24)]],
  ["FP32", DataType.FLOAT, [-0, Math.fround(0.1)]],
  ["BYTES", DataType.STRING, ["", "e\u0301\u{1F600}\n\u202E"]],
  ["FP64", DataType.DOUBLE, [Number.MIN_VALUE, -Number.MAX_VALUE]],
])("a tensor of %s goes through a model as it is", async (datatype, type, data) => {
  const model = await openModel(identityOf(type), { name: "m" });
  const tensor: Tensor = { name: "x", datatype, shape: [1, 2], data };
  expect(model.inputs).toEqual([{ name: "x", datatype, shape: [-1, 2] }]);
  expect(await model.run([tensor])).toEqual([{ ...tensor, name: "y" }]);
  await model.close();
});

/** A model of one node. */
const castOf = (from: number, to: number): Uint8Array =>
  modelOf(
    graphOf([node("Cast", ["x"], "y", [int("to", to)])], [], {
      input: [value("x", [1], from)],
      output: [value("y", [1], to)],
    }),
  );
const runOn = async (file: Uint8Array, datatype: Tensor["datatype"], data: Tensor["data"]): Promise<Tensor["data"]> => {
  const model = await openModel(file, { name: "m" });
  const [output] = await model.run([{ name: "x", datatype, shape: [data.length, 1], data }]);
  await model.close();
  return output?.data ?? [];
};

it("each number of 16 bits is to the runtime what it is here", async () => {
  const all = Array.from({ length: 0x10000 }, (_, bits) => numberOfHalf(bits));
  expect(all.every((number, bits) => Number.isNaN(number) || halfOfNumber(number) === bits)).toBe(true);
  const finite = all.filter(Number.isFinite);
  expect(await runOn(castOf(DataType.FLOAT16, DataType.FLOAT), "FP16", finite)).toEqual(finite);
});

it("a number is rounded to 16 bits as the runtime rounds it", async () => {
  const floats = fc.sample(
    fc.oneof(
      fc.float({ min: -65_504, max: 65_504, noNaN: true }),
      // Half way between two neighbours, and beside it.
      fc.tuple(fc.nat({ max: 0x7bfe }), fc.constantFrom(-1, 0, 1)).map(([bits, side]) => {
        const half = (numberOfHalf(bits) + numberOfHalf(bits + 1)) / 2;
        return Math.fround(half * (1 + side * 2 ** -20));
      }),
    ),
    2000,
  );
  const rounded = await runOn(castOf(DataType.FLOAT, DataType.FLOAT16), "FP32", floats);
  expect(floats.map((number) => numberOfHalf(halfOfNumber(number)))).toEqual(rounded);
});

/** A model that gives one text beside its input's. */
const constantText = (bytes: Uint8Array): Uint8Array => {
  const text = { name: "c", dims: [1n], dataType: DataType.STRING, stringData: [bytes] };
  return modelOf(
    graphOf([node("Concat", ["x", "c"], "y", [int("axis", 0)])], [text], {
      input: [{ ...value("x", [], DataType.STRING) }],
      output: [value("y", [], DataType.STRING)],
    }),
  );
};

it("a text of a model comes whole, or not at all where it is no text", async () => {
  const model = await openModel(constantText(Uint8Array.of(97, 0, 98)), { name: "m" });
  const x: Tensor = { name: "x", datatype: "BYTES", shape: [1], data: ["a"] };
  expect(await model.run([x])).toMatchObject([{ data: ["a", "a\0b"] }]);
  await model.close();
  const odd = await openModel(constantText(Uint8Array.of(97, 255)), { name: "m" });
  await expect(odd.run([x])).rejects.toMatchObject({ code: "model_failed" });
  await odd.close();
});

it.each<[Tensor["datatype"], string, Tensor["data"] | null]>([
  ["INT64", "[9007199254740993,-9223372036854775808]", ["9007199254740993", "-9223372036854775808"]],
  ["INT64", '["9007199254740993","7"]', ["9007199254740993", 7]],
  ["UINT64", "[[18446744073709551615,0]]", ["18446744073709551615", 0]],
  ["INT64", "[9223372036854775808,0]", null],
  ["INT64", "[9007199254740993.0,0]", null],
  ["UINT64", "[-1,0]", null],
  ["FP16", "[65504,-0]", [65_504, -0]],
  ["FP16", "[65505,0]", null],
  ["FP16", '["NaN",0]', null],
  ["BYTES", '["9007199254740993","NaN"]', ["9007199254740993", "NaN"]],
  ["BYTES", "[9007199254740993,7]", null],
  ["BYTES", '["a\\u0000b",""]', null],
  ["BYTES", '["\\ud83d",""]', null],
])("a request's %s of %s is read exactly or refused", (datatype, data, expected) => {
  const model = {
    name: "m",
    file: "m.onnx",
    sha256: "00".repeat(32),
    outputs: [],
    dimensions: {},
    inputs: [{ name: "x", datatype, shape: [-1, 2] }],
    runtime: { name: "none", version: "0" },
    run: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };
  const body = utf8(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":[1,2],"data":${data}}]}`);
  expect(readInferRequest(model, body, 8)).toMatchObject(
    expected === null ? { status: 400 } : { inputs: [{ data: expected }] },
  );
  // Its verifier computes on the same.
  const tensor = { name: "x", datatype, shape: [1, 2], data: expected };
  expect(expected === null || oip.readTensors(body, "request")).toEqual(
    expected === null || { ok: true, tensors: [tensor] },
  );
});

it.each([
  ["bfloat16", DataType.BFLOAT16],
  ["complex64", DataType.COMPLEX64],
  ["float8e4m3fn", DataType.FLOAT8E4M3FN],
])("a model of %s tensors is refused when it is opened, and its type is named", async (name, type) => {
  await expect(openModel(identityOf(type), { name: "m" })).rejects.toMatchObject({
    code: "model_unsupported",
    message: expect.stringMatching(new RegExp(`"x".*not served: ${name}`)),
  });
});
