import { Proof402Error } from "../errors.ts";
import { bytesOf, intsOf, readMessage, textOf, type Field } from "./protobuf.ts";

/** A constant tensor, row-major. */
export type Constant = { dims: number[]; data: number[] };
export type OnnxNode = {
  op: string;
  inputs: string[];
  outputs: string[];
  /** Integer and float attributes by name; an integer list's first number. */
  attributes: Map<string, number>;
};
/** What of an ONNX file is computed. `dims` of inputs and outputs: null is a free dimension. */
export type OnnxGraph = {
  nodes: OnnxNode[];
  constants: Map<string, Constant>;
  inputs: { name: string; dims: (number | null)[] }[];
  outputs: string[];
};

const FLOAT = 1;
const INT32 = 6;
const INT64 = 7;
const DOUBLE = 11;

/**
 * Reads an ONNX file (onnx.proto3: ModelProto graph 7; GraphProto node 1, initializer 5, input 11, output 12).
 * Throws Proof402Error `model_unreadable`, or `model_not_provable` for a constant of another type.
 */
export function readOnnx(file: Uint8Array): OnnxGraph {
  const [graph] = bytesOf(readMessage(file), 7).map(readMessage);
  if (graph === undefined)
    throw new Proof402Error("model_unreadable", "The file has no graph.", { next: "Export the model again." });
  const constants = new Map(
    bytesOf(graph, 5).map((bytes) => {
      const tensor = readMessage(bytes);
      return [textOf(tensor, 8), readTensor(tensor)];
    }),
  );
  const nodes: OnnxNode[] = [];
  for (const fields of bytesOf(graph, 1).map(readMessage)) {
    const node = readNode(fields);
    const value = node.op === "Constant" ? bytesOf(fields, 5).map(readMessage).find(isValue) : undefined;
    const [tensor] = value === undefined ? [] : bytesOf(value, 5);
    const [name] = node.outputs;
    if (tensor !== undefined && name !== undefined) constants.set(name, readTensor(readMessage(tensor)));
    else nodes.push(node);
  }
  const inputs = bytesOf(graph, 11).map(readMessage).map(readValueInfo);
  return {
    nodes,
    constants,
    // Old exporters list constants among the inputs.
    inputs: inputs.filter(({ name }) => !constants.has(name)),
    outputs: bytesOf(graph, 12).map((bytes) => textOf(readMessage(bytes), 1)),
  };
}

const isValue = (attribute: Field[]): boolean => textOf(attribute, 1) === "value";

/** NodeProto: input 1, output 2, op_type 4, attribute 5. */
function readNode(fields: Field[]): OnnxNode {
  const texts = (number: number): string[] => bytesOf(fields, number).map((bytes) => new TextDecoder().decode(bytes));
  return {
    op: textOf(fields, 4),
    inputs: texts(1),
    outputs: texts(2),
    attributes: new Map(
      bytesOf(fields, 5)
        .map(readMessage)
        .flatMap((attribute): [string, number][] => {
          const number = readAttribute(attribute);
          return number === undefined ? [] : [[textOf(attribute, 1), number]];
        }),
    ),
  };
}

/** AttributeProto: f 2, i 3, ints 8. */
function readAttribute(fields: Field[]): number | undefined {
  const [float] = bytesOf(fields, 2);
  if (float?.length === 4) return new DataView(float.buffer, float.byteOffset).getFloat32(0, true);
  return intsOf(fields, 3)[0] ?? intsOf(fields, 8)[0];
}

/** ValueInfoProto: name 1, type 2; tensor_type 1, shape 2, dim 1, dim_value 1. */
function readValueInfo(fields: Field[]): OnnxGraph["inputs"][number] {
  const inside = (from: Field[], number: number): Field[] => bytesOf(from, number).map(readMessage)[0] ?? [];
  const shape = inside(inside(inside(fields, 2), 1), 2);
  return {
    name: textOf(fields, 1),
    dims: bytesOf(shape, 1).map((dim) => intsOf(readMessage(dim), 1)[0] ?? null),
  };
}

/** TensorProto: dims 1, data_type 2, float_data 4, int32_data 5, int64_data 7, raw_data 9, double_data 10. */
function readTensor(fields: Field[]): Constant {
  const dims = intsOf(fields, 1);
  const type = intsOf(fields, 2)[0];
  const [raw] = bytesOf(fields, 9);
  const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const each = (bytes: Uint8Array, size: number, read: (data: DataView, at: number) => number): number[] => {
    const data = view(bytes);
    return Array.from({ length: Math.floor(bytes.length / size) }, (_, index) => read(data, index * size));
  };
  const float = (data: DataView, at: number): number => data.getFloat32(at, true);
  const double = (data: DataView, at: number): number => data.getFloat64(at, true);
  const data = ((): number[] | undefined => {
    switch (type) {
      case FLOAT:
        return raw === undefined ? bytesOf(fields, 4).flatMap((part) => each(part, 4, float)) : each(raw, 4, float);
      case DOUBLE:
        return raw === undefined ? bytesOf(fields, 10).flatMap((part) => each(part, 8, double)) : each(raw, 8, double);
      case INT64:
        return raw === undefined ? intsOf(fields, 7) : each(raw, 8, (bytes, at) => Number(bytes.getBigInt64(at, true)));
      case INT32:
        return raw === undefined ? intsOf(fields, 5) : each(raw, 4, (bytes, at) => bytes.getInt32(at, true));
      default:
        return undefined;
    }
  })();
  if (data === undefined || data.length !== dims.reduce((product, dim) => product * dim, 1)) {
    throw new Proof402Error("model_not_provable", `The constant "${textOf(fields, 8)}" cannot be read.`, {
      next: "Export the model with FP32 weights inside the file.",
    });
  }
  return { dims, data };
}
