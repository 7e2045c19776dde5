import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
} from "../../src/onnx/onnx-proto.artifact.ts";
import {
  elsewhere,
  floats,
  graphOf,
  int,
  modelOf,
  node,
  value,
  type Attribute,
  type Node,
  type Tensor,
} from "./onnx-messages.ts";
import { perceptron, seeded } from "./onnx-files.ts";

/** A model as exporters write them, with an input that an agent gives and the answer it must read. */
export type WildModel = {
  name: string;
  file: Uint8Array;
  /** Files beside it that hold its data. */
  beside?: Record<string, Uint8Array>;
  input: Record<string, unknown>;
  /** Undefined for numbers that only the runtime tells. */
  answer?: Record<string, unknown>;
};

const UTF8 = new TextEncoder();
const strings = (name: string, ...texts: string[]): Attribute => ({
  name,
  type: AttributeType.STRINGS,
  strings: texts.map((text) => UTF8.encode(text)),
});
const numbers = (name: string, ...data: number[]): Attribute => ({ name, type: AttributeType.FLOATS, floats: data });
const word = (name: string, text: string): Attribute => ({ name, type: AttributeType.STRING, s: UTF8.encode(text) });
/** One number as a tensor of its own. */
const constant = (name: string, rest: Tensor): Tensor => ({ name, dims: [1n], ...rest });
/** A float tensor whose sizes are all free. */
const free = (name: string, ...symbols: string[]) => {
  const dim = symbols.map((symbol) => ({ value: { case: "dimParam" as const, value: symbol } }));
  return {
    name,
    type: { value: { case: "tensorType" as const, value: { elemType: DataType.FLOAT, shape: { dim } } } },
  };
};
/** Models of classical learning use operators of this domain beside ONNX's own. */
const LEARNING = { opsetImport: ["", "ai.onnx.ml"].map((domain) => ({ domain, version: domain === "" ? 17n : 2n })) };
const classifier: Node = {
  opType: "LinearClassifier",
  domain: "ai.onnx.ml",
  input: ["x"],
  output: ["label", "scores"],
  attribute: [
    numbers("coefficients", 1, 0, 0, 0, 1, 0, 0, 0, 1),
    numbers("intercepts", 0, 0, 0),
    strings("classlabels_strings", "grün", "", "🙂\n"),
    int("multi_class", 0),
    word("post_transform", "NONE"),
  ],
};

export const WILD_MODELS: readonly WildModel[] = [
  {
    name: "int64",
    file: modelOf(
      graphOf([node("Add", ["x", "c"], "y")], [constant("c", { dataType: DataType.INT64, int64Data: [2n ** 53n] })], {
        input: [value("x", [2], DataType.INT64)],
        output: [value("y", [2], DataType.INT64)],
      }),
    ),
    input: { x: ["1", "-18014398509481985"] },
    answer: { y: ["9007199254740993", "-9007199254740993"] },
  },
  {
    name: "uint64",
    file: modelOf(
      graphOf(
        [node("BitShift", ["x", "c"], "y", [word("direction", "LEFT")])],
        [constant("c", { dataType: DataType.UINT64, uint64Data: [1n] })],
        { input: [value("x", [2], DataType.UINT64)], output: [value("y", [2], DataType.UINT64)] },
      ),
    ),
    input: { x: ["9223372036854775807", 7] },
    answer: { y: ["18446744073709551614", 14] },
  },
  {
    name: "float16",
    file: modelOf(
      graphOf([node("Mul", ["x", "x"], "y")], [], {
        input: [value("x", [3], DataType.FLOAT16)],
        output: [value("y", [3], DataType.FLOAT16)],
      }),
    ),
    // 0.1 is rounded on its way in, and its square once more. The last is beyond 16 bits.
    input: { x: [[0.1, -1.5, 300]] },
    answer: { y: [0.0099945068359375, 2.25, Infinity] },
  },
  {
    name: "labels",
    file: modelOf(
      graphOf([classifier], [], {
        output: [{ ...value("label", [], DataType.STRING) }, value("scores", [3])],
      }),
      LEARNING,
    ),
    input: { x: [[0, 1, 3]] },
    answer: { label: ["🙂\n"], scores: [0, 1, 3] },
  },
  {
    name: "texts",
    file: modelOf(
      graphOf([node("Identity", ["x"], "y")], [], {
        input: [value("x", [2], DataType.STRING)],
        output: [value("y", [2], DataType.STRING)],
      }),
    ),
    input: { x: [["9007199254740993", "Zoë\u202E"]] },
    answer: { y: ["9007199254740993", "Zoë\u202E"] },
  },
  {
    name: "bool",
    file: modelOf(
      graphOf([node("Not", ["x"], "y")], [], {
        input: [value("x", [2], DataType.BOOL)],
        output: [value("y", [2], DataType.BOOL)],
      }),
    ),
    input: { x: [true, false] },
    answer: { y: [false, true] },
  },
  {
    name: "dynamic-axes",
    file: modelOf(
      graphOf([node("Transpose", ["x"], "y")], [], { input: [free("x", "N", "M")], output: [free("y", "M", "N")] }),
    ),
    input: {
      x: [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    },
    answer: {
      y: [
        [1, 3, 5],
        [2, 4, 6],
      ],
    },
  },
  {
    name: "no-number",
    file: modelOf(
      graphOf([node("Log", ["x"], "y"), node("Neg", ["y"], "z")], [], { output: [value("y", [3]), value("z", [3])] }),
    ),
    input: { x: [[-1, 0, 1]] },
    answer: { y: [Number.NaN, -Infinity, 0], z: [Number.NaN, Infinity, -0] },
  },
  {
    name: "several-outputs",
    file: modelOf(
      graphOf(
        [{ opType: "TopK", input: ["x", "k"], output: ["best", "place"] }, node("Greater", ["x", "half"], "above")],
        [constant("k", { dataType: DataType.INT64, int64Data: [2n] }), floats("half", [1], 0.5)],
        { output: [value("best", [2]), value("place", [2], DataType.INT64), value("above", [3], DataType.BOOL)] },
      ),
    ),
    input: { x: [[0.25, 0.75, -1]] },
    answer: { best: [0.75, 0.25], place: [1, 0], above: [false, true, false] },
  },
  {
    name: "in-several-files",
    file: modelOf(graphOf([node("Mul", ["x", "w"], "y")], [elsewhere("w")])),
    beside: { "weights.bin": new Uint8Array(Float32Array.of(2, 3, 4).buffer) },
    input: { x: [[1, 1, -1]] },
    answer: { y: [2, 3, -4] },
  },
  { name: "perceptron", file: perceptron([3, 4, 2], seeded(7)), input: { x: [[0.5, -0.25, 0.75]] } },
];
