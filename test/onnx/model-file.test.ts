import { create, toBinary } from "@bufbuild/protobuf";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createSession, loadRuntime } from "../../src/onnx/inference.ts";
import { checkModelFile, readModelFile } from "../../src/onnx/model-file.ts";
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from "../../src/onnx/onnx-proto.artifact.ts";
import { elsewhere, floats, graphOf, modelOf, node, partOf, type Graph, type Model } from "../support/onnx-messages.ts";

const RELU = graphOf([node("Relu", ["x"], "y")]);
const coded = (code: string) => expect.objectContaining({ code }) as Error;
const join2 = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
/** A length-delimited field, whatever it holds. */
const field = (number: number, bytes: Uint8Array): Uint8Array => {
  if (bytes.length > 127) throw new Error("for short fields only");
  return join2(Uint8Array.of(number * 8 + 2, bytes.length), bytes);
};
const GRAPH = 7;
const INITIALIZER = 5;
const NODE = 1;
const ATTRIBUTE = 5;
/** A model whose graph is these bytes. */
const modelWithGraph = (bytes: Uint8Array): Uint8Array => join2(partOf({ irVersion: 8n }), field(GRAPH, bytes));
const modelWithTensor = (bytes: Uint8Array): Uint8Array => modelWithGraph(field(INITIALIZER, bytes));
const modelWithAttribute = (bytes: Uint8Array): Uint8Array => modelWithGraph(field(NODE, field(ATTRIBUTE, bytes)));
const tensorBytes = (tensor: Parameters<typeof create<typeof TensorProtoSchema>>[1]): Uint8Array =>
  toBinary(TensorProtoSchema, create(TensorProtoSchema, tensor));

test("the reader is made from the protocol that is here", async () => {
  const protocol = await readFile(join(import.meta.dirname, "../../scripts/onnx/onnx-ml.proto"));
  const made = await readFile(join(import.meta.dirname, "../../src/onnx/onnx-proto.artifact.ts"), "utf8");
  expect(made, "stale: npm run generate:onnx").toContain(createHash("sha256").update(protocol).digest("hex"));
});

test.each(["eth-risk", "payroll-check", "supply-route"])("%s is read as it is", async (name) => {
  const file = new Uint8Array(await readFile(join(import.meta.dirname, `../../models/${name}.onnx`)));
  expect(readModelFile(file).graph?.node.length).toBeGreaterThan(3);
});

describe("T70: data in another file is found wherever it is said to be", () => {
  const tensor = elsewhere("w");
  const inGraph: Graph = graphOf([node("Relu", ["x"], "y")], [tensor]);
  const withAttribute = (attribute: object): Graph =>
    graphOf([node("Constant", [], "y", [{ name: "value", ...attribute }])]);
  const places: Record<string, Uint8Array> = {
    "an initializer": modelOf(inGraph),
    "an attribute": modelOf(withAttribute({ type: 4, t: tensor })),
    "a list of tensors": modelOf(withAttribute({ type: 9, tensors: [floats("a", [1], 1), tensor] })),
    "a subgraph": modelOf(withAttribute({ type: 5, g: inGraph })),
    "a subgraph of a subgraph": modelOf(withAttribute({ type: 10, graphs: [withAttribute({ type: 5, g: inGraph })] })),
    "a sparse initializer's values": modelOf({ ...RELU, sparseInitializer: [{ values: tensor }] }),
    "a sparse initializer's indices": modelOf({ ...RELU, sparseInitializer: [{ indices: tensor }] }),
    "a sparse attribute": modelOf(withAttribute({ type: 11, sparseTensor: { values: tensor } })),
    "a list of sparse tensors": modelOf(withAttribute({ type: 12, sparseTensors: [{ indices: tensor }] })),
    "a function's node": modelOf(RELU, {
      functions: [{ name: "f", node: [node("Constant", [], "y", [{ name: "value", type: 4, t: tensor }])] }],
    }),
    "a function's default": modelOf(RELU, {
      functions: [{ name: "f", attributeProto: [{ name: "a", type: 4, t: tensor }] }],
    }),
    "a training graph": modelOf(RELU, { trainingInfo: [{ initialization: inGraph }] }),
    "a place without the mark": modelOf(graphOf([node("Relu", ["x"], "y")], [{ ...tensor, dataLocation: 0 }])),
    "a mark without the place": modelOf(graphOf([node("Relu", ["x"], "y")], [{ ...tensor, externalData: [] }])),
  };
  test.each(Object.entries(places))("%s", (_place, file) => {
    expect(() => checkModelFile(file)).toThrow(coded("model_external_data"));
  });

  test("and the runtime itself is told of no folder", async () => {
    const bare = graphOf([node("Add", ["x", "w"], "y")], [elsewhere("w")]);
    await expect(createSession(await loadRuntime(), modelOf(bare))).rejects.toThrow(/null.none/);
  });
});

describe("T71: a file that two readers may read in two ways is refused", () => {
  const raw = (value: number): Model => ({ graph: graphOf([], [floats("w", [1], value)]) });
  const twice: Record<string, Uint8Array> = {
    "two graphs": join2(modelOf(RELU), partOf({ graph: RELU })),
    "two versions": join2(modelOf(RELU), partOf({ irVersion: 9n })),
    "raw data twice": modelWithTensor(join2(tensorBytes(floats("w", [1], 1)), field(9, new Uint8Array(4)))),
    "raw and typed data": modelWithTensor(tensorBytes({ ...floats("w", [1], 1), floatData: [2] })),
    "raw data of no bytes and typed data": modelWithTensor(
      tensorBytes({ dims: [1n], dataType: 1, rawData: new Uint8Array(0), floatData: [2] }),
    ),
    "two types of typed data": modelWithTensor(tensorBytes({ dataType: 1, floatData: [2], int64Data: [2n] })),
    "a tensor's name twice": modelWithTensor(join2(tensorBytes({ name: "a" }), tensorBytes({ name: "b" }))),
    "an attribute with two values": modelWithAttribute(
      toBinary(AttributeProtoSchema, create(AttributeProtoSchema, { name: "axis", type: 2, i: 1n, f: 1 })),
    ),
    "an attribute's value twice": modelWithAttribute(Uint8Array.of(3 * 8, 1, 3 * 8, 2)),
    "an operator twice": modelWithGraph(
      field(
        NODE,
        join2(
          toBinary(NodeProtoSchema, create(NodeProtoSchema, { opType: "Relu" })),
          toBinary(NodeProtoSchema, create(NodeProtoSchema, { opType: "Neg" })),
        ),
      ),
    ),
    // ValueInfo 11, type 2, tensor 1, shape 2, dim 1: a number (1) and a name (2).
    "both sides of a oneof": modelWithGraph(
      field(11, field(2, field(1, field(2, field(1, join2(Uint8Array.of(8, 3), field(2, Uint8Array.of(78)))))))),
    ),
  };
  test.each(Object.entries(twice))("%s", (_what, file) => {
    expect(() => checkModelFile(file)).toThrow(coded("model_ambiguous"));
  });

  test("one of each is not", () => {
    expect(() => checkModelFile(partOf(raw(1)))).not.toThrow();
  });
});

describe("what is not known or not well formed is refused:", () => {
  const graph = toBinary(GraphProtoSchema, create(GraphProtoSchema, { name: "g" }));
  const odd: Record<string, Uint8Array> = {
    "no bytes": new Uint8Array(0),
    text: new TextEncoder().encode("no model"),
    "a field of the model": join2(modelOf(RELU), Uint8Array.of(8 * 15, 1)),
    "a field deep inside": modelWithTensor(Uint8Array.of(8 * 15, 1)),
    "a group": join2(modelOf(RELU), Uint8Array.of(15 * 8 + 3, 15 * 8 + 4)),
    "a group in place of a message": join2(
      partOf({ irVersion: 8n }),
      Uint8Array.of(7 * 8 + 3),
      graph,
      Uint8Array.of(7 * 8 + 4),
    ),
    "a number where a message belongs": join2(partOf({ irVersion: 8n }), Uint8Array.of(7 * 8, 1)),
    "a message where a number belongs": Uint8Array.of(8 + 2, 1, 1),
    "a type of attribute": modelWithAttribute(Uint8Array.of(0xa0, 1, 99)),
    "a field that ends outside its message": join2(field(GRAPH, Uint8Array.of(2 * 8 + 2, 5)), new Uint8Array(5)),
    "a list whose last number does not end": modelWithTensor(field(1, Uint8Array.of(1, 0x80))),
    "a list of parts of floats": modelWithTensor(field(4, new Uint8Array(5))),
    "a name that is not UTF-8": modelWithTensor(field(8, Uint8Array.of(0xff))),
    "a tag without an end": Uint8Array.of(0x80),
    "a file of the runtime's own format": new TextEncoder().encode("\u0018\0\0\0ORTM"),
    "more messages in one another than any reader takes": nested(40),
  };
  test.each(Object.entries(odd))("%s", (_what, file) => {
    expect(() => checkModelFile(file)).toThrow(coded("model_unreadable"));
  });

  test("a name that begins with a byte order mark is another name", () => {
    const file = modelOf(graphOf([node("Relu", ["\u{feff}x"], "y")]));
    expect(readModelFile(file).graph?.node[0]?.input).toEqual(["\u{feff}x"]);
  });
});

/** Graphs in attributes of nodes of graphs, three messages a level. */
function nested(levels: number): Uint8Array {
  let graph: Graph = RELU;
  for (let level = 0; level < levels; level += 1)
    graph = graphOf([node("If", ["x"], "y", [{ name: "then_branch", type: 5, g: graph }])]);
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 8n, graph }));
}
