import { isFieldSet } from "@bufbuild/protobuf";
import { Proof402Error } from "../../errors.ts";
import { readModelFile } from "../../onnx/model-file.ts";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from "../../onnx/onnx-proto.artifact.ts";

/** A constant tensor, row-major. */
export type Constant = { type: "float" | "int64"; dims: number[]; data: number[] };
/** An attribute that is understood. */
export type Attribute = { type: "float" | "int"; value: number } | { type: "ints"; value: number[] };
export type OnnxNode = {
  op: string;
  inputs: string[];
  output: string;
  attributes: Map<string, Attribute>;
};
/** What of an ONNX file is computed. `dims` of inputs: null is a free dimension. */
export type OnnxGraph = {
  /** Version of the standard's operators. */
  opset: number;
  nodes: OnnxNode[];
  constants: Map<string, Constant>;
  inputs: { name: string; dims: (number | null)[] }[];
  outputs: string[];
};

/** The standard's operators, under both its names. */
const STANDARD: readonly string[] = ["", "ai.onnx"];
/**
 * Versions of the standard with operators known here: from the first with numpy's broadcasting to the last one read.
 */
const OPSETS = { first: 7, last: 26 };

const notProvable = (what: string): Proof402Error =>
  new Proof402Error("model_not_provable", `This model cannot be proved: ${what}.`, {
    next: "Export one graph of the standard's operators, with FP32 weights inside the file.",
  });

/**
 * Reads an ONNX file (onnx.proto, `scripts/onnx`) of one graph over the standard's operators. Refuses everything it
 * does not understand, so that the runtime cannot read another model from it. Throws Proof402Error
 * `model_not_provable`, or the codes of `checkModelFile`.
 */
export function readOnnx(file: Uint8Array): OnnxGraph {
  const model = readModelFile(file);
  const { graph } = model;
  if (graph === undefined)
    throw new Proof402Error("model_unreadable", "The file has no graph.", { next: "Export the model again." });
  if (model.functions.length > 0) throw notProvable("it has functions of its own");
  if (model.trainingInfo.length > 0) throw notProvable("it has what it was trained with");
  if (model.configuration.length > 0) throw notProvable("it is for several devices");
  if (graph.sparseInitializer.length > 0) throw notProvable("it has sparse constants");
  const opset = readOpset(model);
  const initializers = graph.initializer.map((tensor): [string, Constant] => [tensor.name, readTensor(tensor)]);
  const constants = new Map(initializers);
  const nodes: OnnxNode[] = [];
  for (const node of graph.node) {
    const constant = readConstant(node);
    const [name = ""] = node.output;
    if (constant === null) nodes.push(readNode(node));
    else constants.set(name, constant);
  }
  checkNames(graph);
  return {
    opset,
    nodes,
    constants,
    // Old exporters list constants among the inputs.
    inputs: graph.input.filter(({ name }) => !constants.has(name)).map(readInput),
    outputs: graph.output.map(({ name }) => name),
  };
}

function readOpset({ opsetImport }: ModelProto): number {
  const domains = opsetImport.map(({ domain }) => (STANDARD.includes(domain) ? "" : domain));
  const standard = opsetImport.filter(({ domain }) => STANDARD.includes(domain));
  const version = Number(standard[0]?.version ?? 0);
  if (new Set(domains).size !== domains.length) throw notProvable("it names one set of operators twice");
  if (version >= OPSETS.first && version <= OPSETS.last) return version;
  throw notProvable(`its operators are of version ${version}, not ${OPSETS.first} to ${OPSETS.last}`);
}

/** Every name is made once: else it depends on the reader which value one means. */
function checkNames({ input, initializer, node, output }: GraphProto): void {
  const initial = initializer.map(({ name }) => name);
  const once = (names: readonly string[]): boolean => !names.includes("") && new Set(names).size === names.length;
  const fed = input.map(({ name }) => name);
  const made = [...initial, ...fed.filter((name) => !initial.includes(name)), ...node.flatMap((one) => one.output)];
  if (!once(fed) || !once(made) || !once(output.map(({ name }) => name)))
    throw notProvable("two of its values have one name, or one has none");
}

function checkStandard({ domain, overload, deviceConfigurations, opType, output }: NodeProto): void {
  if (!STANDARD.includes(domain) || overload !== "") throw notProvable(`${opType} is not the standard's operator`);
  if (deviceConfigurations.length > 0) throw notProvable("it is for several devices");
  if (output.length !== 1) throw notProvable(`${opType} has ${output.length} outputs`);
}

/** The tensor of a node `Constant`, or null for another node. */
function readConstant(node: NodeProto): Constant | null {
  if (node.opType !== "Constant") return null;
  checkStandard(node);
  const [attribute] = node.attribute;
  const { t } = attribute ?? {};
  const one = node.attribute.length === 1 && node.input.length === 0 && attribute?.name === "value";
  if (!one || attribute.type !== AttributeType.TENSOR || attribute.refAttrName !== "" || t === undefined)
    throw notProvable("a constant of it is not a tensor");
  return readTensor(t);
}

function readNode(node: NodeProto): OnnxNode {
  checkStandard(node);
  const attributes = node.attribute.map((attribute): [string, Attribute] => {
    const read = readAttribute(attribute);
    if (read === null) throw notProvable(`${node.opType} has an attribute "${attribute.name}" of another type`);
    return [attribute.name, read];
  });
  const [output = ""] = node.output;
  const byName = new Map(attributes);
  if (byName.size !== attributes.length) throw notProvable(`${node.opType} has an attribute twice`);
  return { op: node.opType, inputs: node.input, output, attributes: byName };
}

/** The attribute, where it has the value that its type says; null where it is not understood. */
function readAttribute(attribute: AttributeProto): Attribute | null {
  const { f, i, ints, type, refAttrName } = attribute;
  const { field } = AttributeProtoSchema;
  if (refAttrName !== "") return null;
  switch (type) {
    case AttributeType.FLOAT:
      return isFieldSet(attribute, field.f) ? { type: "float", value: f } : null;
    case AttributeType.INT:
      return isFieldSet(attribute, field.i) ? { type: "int", value: Number(i) } : null;
    case AttributeType.INTS:
      return { type: "ints", value: ints.map(Number) };
    default:
      return null;
  }
}

function readInput({ name, type }: ValueInfoProto): OnnxGraph["inputs"][number] {
  const tensor = type?.value.case === "tensorType" ? type.value.value : undefined;
  if (tensor?.elemType !== DataType.FLOAT || tensor.shape === undefined)
    throw notProvable(`its input "${name}" is not an FP32 tensor of a known shape`);
  return {
    name,
    dims: tensor.shape.dim.map(({ value }) => (value.case === "dimValue" ? Number(value.value) : null)),
  };
}

/** How a type's numbers stand in raw data, little-endian, and which of them a number is exactly. */
const RAW = {
  float: {
    bytes: 4,
    read: (data: DataView, at: number): number => data.getFloat32(at, true),
    isExact: Number.isFinite,
  },
  int64: {
    bytes: 8,
    read: (data: DataView, at: number): number => Number(data.getBigInt64(at, true)),
    isExact: Number.isSafeInteger,
  },
};

function readTensor(tensor: TensorProto): Constant {
  const dims = tensor.dims.map(Number);
  const type = ({ [DataType.FLOAT]: "float", [DataType.INT64]: "int64" } as const)[tensor.dataType];
  const data = type === undefined ? [] : readNumbers(tensor, type);
  const count = dims.reduce((product, dim) => product * dim, 1);
  const whole = dims.every((dim) => dim > 0) && data.length === count && tensor.segment === undefined;
  if (type !== undefined && whole && data.every(RAW[type].isExact)) return { type, dims, data };
  throw notProvable(`the constant "${tensor.name}" cannot be read`);
}

function readNumbers(tensor: TensorProto, type: Constant["type"]): number[] {
  const { rawData, floatData, int64Data } = tensor;
  if (!isFieldSet(tensor, TensorProtoSchema.field.rawData)) return type === "float" ? floatData : int64Data.map(Number);
  const { bytes, read } = RAW[type];
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
  return rawData.length % bytes === 0
    ? Array.from({ length: rawData.length / bytes }, (_, index) => read(view, index * bytes))
    : [];
}
