import fc from "fast-check";
import type { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import { oip } from "../../src/evidence/exchange/oip.ts";
import type { TensorElement } from "../../src/evidence/exchange/tensors.ts";
import { inferResponse, readInferRequest } from "../../src/node/oip.ts";
import { createSession, loadRuntime, openModel } from "../../src/onnx/inference.ts";
import { TensorProto_DataType as DataType } from "../../src/onnx/onnx-proto.artifact.ts";
import type { Datatype } from "../../src/onnx/tensors.ts";
import { graphOf, int, modelOf, node, value, type Node } from "../support/onnx-messages.ts";

const COLUMNS = 3;
const MOST_ROWS = 4;

/** A model with an output for each operator. With `inner` it computes in another type than it takes and gives. */
function modelWith(operators: readonly string[], type: number, inner = type): Uint8Array {
  const nodes = operators.flatMap((operator): Node[] =>
    inner === type
      ? [node(operator, ["x"], operator)]
      : [
          node("Cast", ["x"], `${operator}-in`, [int("to", inner)]),
          node(operator, [`${operator}-in`], `${operator}-out`),
          node("Cast", [`${operator}-out`], operator, [int("to", type)]),
        ],
  );
  const outputs = operators.map((operator) => value(operator, [COLUMNS], type));
  return modelOf(graphOf(nodes, [], { input: [value("x", [COLUMNS], type)], output: outputs }));
}

type Given = fc.Arbitrary<TensorElement>;
/** Integers of a range, its ends more often: as text if no double is exactly one, and as either if one is. */
const integers = (least: bigint, most: bigint): Given =>
  fc
    .tuple(fc.oneof(fc.constantFrom(least, most, 0n), fc.bigInt(least, most)), fc.boolean())
    .map(([integer, asText]) => (asText || !Number.isSafeInteger(Number(integer)) ? String(integer) : Number(integer)));
const of = (bits: bigint, signed: boolean): Given =>
  signed ? integers(-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n) : integers(0n, 2n ** bits - 1n);
const floats = (most: number): Given => fc.float({ min: -Math.fround(most), max: Math.fround(most), noNaN: true });
const REAL = ["Identity", "Reciprocal", "Sqrt"];
const SIGNED = { operators: ["Identity", "Neg"] };

type Case = {
  operators: readonly string[];
  type: number;
  given: Given;
  /** The runtime's type, and the elements as it holds them, made without our code. */
  held: [type: string, elements: (data: readonly TensorElement[]) => unknown];
  /** The runtime's own model of the same, if it has no elements of the type that JavaScript reads. */
  reference?: Uint8Array;
};
const one = (
  type: number,
  given: Given,
  held: Case["held"],
  more: Partial<Pick<Case, "operators" | "reference">> = {},
): Case => ({ operators: ["Identity"], type, given, held, ...more });
const CASES: Record<Datatype, Case> = {
  // Only exact operators: between two of them the runtime leaves roundings out.
  FP16: one(DataType.FLOAT16, floats(65_504), ["float32", (data) => Float32Array.from(data, Number)], {
    ...SIGNED,
    reference: modelWith(SIGNED.operators, DataType.FLOAT, DataType.FLOAT16),
  }),
  FP32: one(
    DataType.FLOAT,
    fc.oneof(floats(3e38), fc.double({ min: -1e30, max: 1e30, noNaN: true })),
    ["float32", (data) => Float32Array.from(data, Number)],
    { operators: REAL },
  ),
  FP64: one(
    DataType.DOUBLE,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    ["float64", (data) => Float64Array.from(data, Number)],
    { operators: REAL },
  ),
  INT8: one(DataType.INT8, of(8n, true), ["int8", (data) => Int8Array.from(data, Number)], SIGNED),
  INT16: one(DataType.INT16, of(16n, true), ["int16", (data) => Int16Array.from(data, Number)]),
  INT32: one(DataType.INT32, of(32n, true), ["int32", (data) => Int32Array.from(data, Number)], SIGNED),
  INT64: one(DataType.INT64, of(64n, true), ["int64", (data) => BigInt64Array.from(data, BigInt)], SIGNED),
  UINT8: one(DataType.UINT8, of(8n, false), ["uint8", (data) => Uint8Array.from(data, Number)]),
  UINT16: one(DataType.UINT16, of(16n, false), ["uint16", (data) => Uint16Array.from(data, Number)]),
  UINT32: one(DataType.UINT32, of(32n, false), ["uint32", (data) => Uint32Array.from(data, Number)]),
  UINT64: one(DataType.UINT64, of(64n, false), ["uint64", (data) => BigUint64Array.from(data, BigInt)]),
  BOOL: one(DataType.BOOL, fc.boolean(), ["bool", (data) => Uint8Array.from(data, Number)], {
    operators: ["Identity", "Not"],
  }),
  BYTES: one(
    DataType.STRING,
    // Neither a zero character nor the one that stands for bytes outside UTF-8: both are refused (datatypes.test.ts).
    fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\0\uFFFD]/g, "\u2028")),
    ["string", (data) => data],
  ),
};

/** Elements in one spelling: an integer in digits, a boolean as the runtime holds it. */
const spelt = (data: unknown): unknown[] =>
  Array.from(data as Iterable<unknown>, (element) => {
    if (typeof element === "boolean") return String(Number(element));
    const isInteger = Number.isSafeInteger(element) && !Object.is(element, -0);
    return isInteger || typeof element === "bigint" ? String(element) : element;
  });

it.each(Object.entries(CASES))(
  "what comes of %s through a request and an answer is the runtime's",
  async (datatype, made) => {
    const {
      operators,
      held: [type, elements],
    } = made;
    const ort = await loadRuntime();
    const OrtTensor = ort.Tensor as unknown as new (type: string, data: unknown, dims: number[]) => Tensor;
    const file = modelWith(operators, made.type);
    const model = await openModel(file, { name: "m", file: "m.onnx", sha256: "00".repeat(32) });
    const runtime = await createSession(ort, made.reference ?? file);
    const row = fc.array(made.given, { minLength: COLUMNS, maxLength: COLUMNS });
    const property = fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: MOST_ROWS }), async (x) => {
      const { body } = oip.writeRequest({ takes: model.inputs, model: "m", input: { x }, nonce: "n" });
      const request = readInferRequest(model, body, MOST_ROWS);
      if ("error" in request) throw new Error(request.error);
      const read = oip.readTensors(utf8(inferResponse(model, request, await model.run(request.inputs))), "response");
      const shape = [x.length, COLUMNS];
      const computed = await runtime.run({ x: new OrtTensor(type, elements(x.flat()), shape) });
      const told = operators.map((name) => ({ name, datatype, shape, data: spelt(computed[name]!.data) }));
      expect(read.ok && read.tensors.map((tensor) => ({ ...tensor, data: spelt(tensor.data) }))).toEqual(told);
    });
    await fc.assert(property, { seed: 402, numRuns: 50 });
    await Promise.all([model.close(), runtime.release()]);
  },
);
