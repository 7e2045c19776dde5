import type { Mlp } from "./mlp.ts";
import type { Task } from "./tasks.ts";

/**
 * A small writer of ONNX files (onnx.proto3, IR version 8, opset 17): protobuf fields are a varint tag
 * `number << 3 | wire type`, then a varint, four bytes, or a length-delimited value (protobuf encoding specification).
 */
type Field = Uint8Array;

const varint = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return bytes;
};

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const int = (number: number, value: number): Field => Uint8Array.from([...varint(number * 8), ...varint(value)]);
const bytes = (number: number, value: Uint8Array): Field =>
  concat([Uint8Array.from([...varint(number * 8 + 2), ...varint(value.length)]), value]);
const text = (number: number, value: string): Field => bytes(number, new TextEncoder().encode(value));
const message = (number: number, fields: readonly Field[]): Field => bytes(number, concat(fields));

const FLOAT = 1;
const INT64 = 7;

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9 (little-endian). */
const tensor = (name: string, dims: readonly number[], values: Float64Array): Field =>
  message(5, [
    ...dims.map((dim) => int(1, dim)),
    int(2, FLOAT),
    text(8, name),
    bytes(9, new Uint8Array(Float32Array.from(values).buffer)),
  ]);

/** NodeProto: input 1, output 2, name 3, op_type 4, attribute 5. */
const node = (
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: readonly Field[] = [],
): Field =>
  message(1, [
    ...inputs.map((i) => text(1, i)),
    ...outputs.map((o) => text(2, o)),
    text(3, `${op}_${outputs[0]}`),
    text(4, op),
    ...attributes,
  ]);

/** AttributeProto of type INT: name 1, i 3, type 20 = 2. */
const intAttribute = (name: string, value: number): Field => message(5, [text(1, name), int(3, value), int(20, 2)]);

/** ValueInfoProto (name 1, type 2) in the given field; the first dimension is the free batch size `N`. */
const valueInfo = (number: number, name: string, type: number, dims: readonly number[]): Field =>
  message(number, [
    text(1, name),
    message(2, [
      message(1, [
        int(1, type),
        message(2, [message(1, [text(2, "N")]), ...dims.map((dim) => message(1, [int(1, dim)]))]),
      ]),
    ]),
  ]);

const HEADS = { softmax: "Softmax", sigmoid: "Sigmoid", linear: "Identity" } as const;

/** The model as an ONNX file. Several outputs share the hidden layers: each has its own last Gemm, so raw outputs stay reachable. */
export function writeOnnx(task: Task, model: Mlp): Uint8Array {
  const nodes: Field[] = [];
  const initializers: Field[] = [];
  let current = "features";
  const dense = (name: string, input: string, output: string, weights: Float64Array, bias: Float64Array): void => {
    initializers.push(
      tensor(`${name}_weight`, [bias.length, weights.length / bias.length], weights),
      tensor(`${name}_bias`, [bias.length], bias),
    );
    nodes.push(node("Gemm", [input, `${name}_weight`, `${name}_bias`], [output], [intAttribute("transB", 1)]));
  };
  const last = model.layers.at(-1);
  if (last === undefined) throw new Error("a model has at least one layer");
  for (const [index, layer] of model.layers.slice(0, -1).entries()) {
    dense(`hidden${index}`, current, `sum${index}`, layer.weights, layer.bias);
    nodes.push(node("Relu", [`sum${index}`], [`hidden${index}`]));
    current = `hidden${index}`;
  }
  const outputs: Field[] = [];
  let unit = 0;
  for (const { name, units } of task.outputs) {
    const raw = `${name}_logits`;
    const weights = last.weights.slice(unit * last.inputs, (unit + units) * last.inputs);
    dense(name, current, raw, weights, last.bias.slice(unit, unit + units));
    nodes.push(node(HEADS[model.head], [raw], [name], model.head === "softmax" ? [intAttribute("axis", 1)] : []));
    outputs.push(valueInfo(12, name, FLOAT, [units]));
    if (task.classes) {
      nodes.push(node("ArgMax", [raw], ["class"], [intAttribute("axis", 1), intAttribute("keepdims", 0)]));
      outputs.push(valueInfo(12, "class", INT64, []));
    }
    unit += units;
  }
  const graph = message(7, [
    ...nodes,
    text(2, task.name),
    ...initializers,
    valueInfo(11, "features", FLOAT, [task.features.length]),
    ...outputs,
  ]);
  // ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8 (version 2).
  return concat([int(1, 8), text(2, "proof402"), graph, message(8, [int(2, 17)])]);
}
