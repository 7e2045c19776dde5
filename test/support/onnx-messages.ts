import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  type AttributeProtoSchema,
  type GraphProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  TensorProto_DataType as DataType,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from "../../src/onnx/onnx-proto.artifact.ts";

/** What a message is made from. */
type Init<Schema extends DescMessage> = Extract<MessageInitShape<Schema>, { $typeName?: never }>;
export type Tensor = Init<typeof TensorProtoSchema>;
export type Node = Init<typeof NodeProtoSchema>;
export type Graph = Init<typeof GraphProtoSchema>;
export type Model = Init<typeof ModelProtoSchema>;
export type Attribute = Init<typeof AttributeProtoSchema>;

export const floats = (name: string, dims: readonly number[], ...data: readonly number[]): Tensor => ({
  name,
  dims: dims.map(BigInt),
  dataType: DataType.FLOAT,
  rawData: new Uint8Array(Float32Array.from(data).buffer),
});
export const integers = (name: string, dims: readonly number[], ...data: readonly number[]): Tensor => ({
  name,
  dims: dims.map(BigInt),
  dataType: DataType.INT64,
  int64Data: data.map(BigInt),
});
/** A tensor whose numbers are in another file. */
export const elsewhere = (name: string): Tensor => ({
  name,
  dims: [3n],
  dataType: DataType.FLOAT,
  externalData: [{ key: "location", value: "weights.bin" }],
  dataLocation: 1,
});

export const node = (opType: string, inputs: string[], output: string, attribute: Attribute[] = []): Node => ({
  opType,
  input: inputs,
  output: [output],
  attribute,
});
export const int = (name: string, value: number): Attribute => ({ name, type: AttributeType.INT, i: BigInt(value) });
export const ints = (name: string, ...values: number[]): Attribute => ({
  name,
  type: AttributeType.INTS,
  ints: values.map(BigInt),
});
export const float = (name: string, value: number): Attribute => ({ name, type: AttributeType.FLOAT, f: value });

/** A float tensor of free batch, or of another element type. */
export const value = (
  name: string,
  dims: readonly number[],
  elemType: number = DataType.FLOAT,
): Init<typeof ValueInfoProtoSchema> => ({
  name,
  type: {
    value: {
      case: "tensorType",
      value: {
        elemType,
        shape: {
          dim: [
            { value: { case: "dimParam", value: "N" } },
            ...dims.map((dim) => ({ value: { case: "dimValue" as const, value: BigInt(dim) } })),
          ],
        },
      },
    },
  },
});

export const graphOf = (nodes: Node[], initializer: Tensor[] = [], more: Graph = {}): Graph => ({
  name: "g",
  node: nodes,
  initializer,
  input: [value("x", [3])],
  output: [value("y", [3])],
  ...more,
});

/** A model of opset 17 from `x` [N, 3] to `y`. */
export const modelOf = (graph: Graph, more: Model = {}): Uint8Array =>
  toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { irVersion: 8n, opsetImport: [{ domain: "", version: 17n }], graph, ...more }),
  );

/** Bytes of a part of a model: joined with another's they are what a protobuf reader merges. */
export const partOf = (part: Model): Uint8Array => toBinary(ModelProtoSchema, create(ModelProtoSchema, part));
