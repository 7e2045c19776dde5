import { expect, it } from "vitest";
import { openModel } from "../../src/onnx/inference.ts";
import { TensorProto_DataType as DataType } from "../../src/onnx/onnx-proto.artifact.ts";
import type { Tensor } from "../../src/onnx/tensors.ts";
import { graphOf, modelOf, node, value } from "../support/onnx-messages.ts";

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
  ["FP64", DataType.DOUBLE, [Number.MIN_VALUE, -Number.MAX_VALUE]],
])("a tensor of %s goes through a model as it is", async (datatype, type, data) => {
  const model = await openModel(identityOf(type), { name: "m" });
  const tensor: Tensor = { name: "x", datatype, shape: [1, 2], data };
  expect(model.inputs).toEqual([{ name: "x", datatype, shape: [-1, 2] }]);
  expect(await model.run([tensor])).toEqual([{ ...tensor, name: "y" }]);
  await model.close();
});

it.each([
  ["float16", DataType.FLOAT16],
  ["string", DataType.STRING],
])("a model of %s tensors is refused when it is opened, and its type is named", async (name, type) => {
  await expect(openModel(identityOf(type), { name: "m" })).rejects.toMatchObject({
    code: "model_unsupported",
    message: expect.stringContaining(`not served: ${name}`),
  });
});
