import { expect, it } from "vitest";
import { openModel } from "../../src/onnx/inference.ts";
import { AttributeProto_AttributeType as AttributeType } from "../../src/onnx/onnx-proto.artifact.ts";
import { graphOf, modelOf, node, value, type Graph, type Node } from "../support/onnx-messages.ts";

const INT64 = 7;
const FLOAT = 1;
type Output = (Graph["output"] & {})[number];
/** A map of probabilities by class, as exporters of classifiers write it. */
const probabilities: Output = {
  name: "probabilities",
  type: {
    value: {
      case: "sequenceType",
      value: {
        elemType: {
          value: {
            case: "mapType",
            value: { keyType: INT64, valueType: { value: { case: "tensorType", value: { elemType: FLOAT } } } },
          },
        },
      },
    },
  },
};
const zip: Node = {
  ...node("ZipMap", ["x"], "probabilities", [
    { name: "classlabels_int64s", type: AttributeType.INTS, ints: [0n, 1n, 2n] },
  ]),
  domain: "ai.onnx.ml",
};
const fileOf = (nodes: Node[], output: Output[]): Uint8Array =>
  modelOf(graphOf(nodes, [], { output }), {
    opsetImport: [
      { domain: "", version: 17n },
      { domain: "ai.onnx.ml", version: 1n },
    ],
  });

it("a map beside a tensor is left out, and the tensor is served", async () => {
  const model = await openModel(fileOf([node("Relu", ["x"], "y"), zip], [value("y", [3]), probabilities]), {
    name: "m",
  });
  expect(model.outputs).toEqual([{ name: "y", datatype: "FP32", shape: [-1, 3] }]);
  const tensor = { name: "x", datatype: "FP32", shape: [1, 3], data: [-1, 2, 3] } as const;
  expect(await model.run([{ ...tensor, shape: [...tensor.shape], data: [...tensor.data] }])).toMatchObject([
    { name: "y", data: [0, 2, 3] },
  ]);
  await model.close();
});

it("a model with no tensor among its outputs is refused", async () => {
  await expect(openModel(fileOf([zip], [probabilities]), { name: "m" })).rejects.toMatchObject({
    code: "model_unsupported",
  });
});
