import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openModel } from "../../src/onnx/inference.ts";
import { packModel } from "../../src/onnx/pack-model.ts";
import { elsewhere, floats, graphOf, modelOf, node, type Tensor } from "../support/onnx-messages.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-pack-"));
  await mkdir(join(folder, "model", "below"), { recursive: true });
  const data = new Uint8Array(Float32Array.of(9, 1, 2, 3, 10, 20, 30).buffer);
  for (const name of ["secret.bin", "model/weights.bin", "model/below/weights.bin"])
    await writeFile(join(folder, name), data);
  await symlink(join(folder, "secret.bin"), join(folder, "model", "link.bin"));
  folder = join(folder, "model");
});
afterAll(() => rm(dirname(folder), { recursive: true }));

/** x times one tensor plus another. */
const model = (...tensors: Tensor[]): Uint8Array =>
  modelOf(graphOf([node("Mul", ["x", "w"], "m"), node("Add", ["m", "b"], "y")], tensors));
const at = (name: string, place: Record<string, string>): Tensor => ({
  ...elsewhere(name),
  externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
});
const B = floats("b", [3], 10, 20, 30);
const W = { location: "weights.bin", offset: "4", length: "12" };

test("a model's data in other files is put into its file, and computes the same", async () => {
  const file = model(at("w", W), at("b", { location: "below/weights.bin", offset: "16" }));
  const packed = await packModel(file, folder);
  expect(packed.from).toEqual(["weights.bin", "below/weights.bin"]);
  expect(await packModel(file, folder)).toEqual(packed);
  // It is the file that the exporter would have written, whose digest a buyer may know.
  expect(Buffer.from(packed.bytes)).toEqual(Buffer.from(model(floats("w", [3], 1, 2, 3), B)));
  const opened = await openModel(packed.bytes, { name: "m" });
  const x = { name: "x", datatype: "FP32" as const, shape: [1, 3], data: [1, 1, 1] };
  expect(await opened.run([x])).toMatchObject([{ data: [11, 22, 33] }]);
  await opened.close();
});

test("a place without a length takes what the shape says, as the runtime reads it", async () => {
  const { bytes } = await packModel(model(at("w", { location: "weights.bin", offset: "4" }), B), folder);
  expect(Buffer.from(bytes)).toEqual(Buffer.from(model(floats("w", [3], 1, 2, 3), B)));
});

test("a checksum is that of the data's file", async () => {
  const checksum = createHash("sha1")
    .update(await readFile(join(folder, "weights.bin")))
    .digest("hex");
  expect((await packModel(model(at("w", { ...W, checksum }), B), folder)).from).toEqual(["weights.bin"]);
});

test("tensors inside attributes and subgraphs are packed, too", async () => {
  const inner = graphOf([node("Constant", [], "y", [{ name: "value", type: 4, t: at("w", W) }])]);
  const file = modelOf(graphOf([node("If", ["x"], "y", [{ name: "then_branch", type: 5, g: inner }])]));
  const { bytes, from } = await packModel(file, folder);
  expect([from, (await packModel(bytes, "/nowhere")).from]).toEqual([["weights.bin"], []]);
});

test("a model that holds its data stays as it is, to the byte", async () => {
  const file = model(floats("w", [3], 1, 2, 3), B);
  expect(await packModel(file, "/nowhere")).toEqual({ bytes: file, from: [] });
});

describe("T70: a model from elsewhere names no other file of this machine", () => {
  test.each(["../secret.bin", "/etc/passwd", "link.bin", "below/../../secret.bin", "..\\secret.bin", "C:x", "", "."])(
    "%j",
    async (location) => {
      await expect(packModel(model(at("w", { location }), B), folder)).rejects.toMatchObject({
        code: "model_external_data",
        message: expect.stringMatching(/folder/) as string,
      });
    },
  );
});

test.each<[string, string, Tensor]>([
  ["a file that is not there", "model_external_data", at("w", { ...W, location: "none.bin" })],
  ["a folder", "model_external_data", at("w", { location: "below" })],
  ["more bytes than there are", "model_external_data", at("w", { ...W, length: "25" })],
  ["an offset behind the end", "model_external_data", at("w", { location: "weights.bin", offset: "29" })],
  ["an offset that is no number", "model_external_data", at("w", { ...W, offset: "-4" })],
  ["a file of another checksum", "model_external_data", at("w", { ...W, checksum: "00".repeat(20) })],
  ["a key that is not known", "model_external_data", at("w", { ...W, prepacked: "1" })],
  ["no place", "model_external_data", at("w", {})],
  ["texts", "model_external_data", { ...at("w", W), dataType: 8 }],
  ["a place without the mark", "model_ambiguous", { ...at("w", W), dataLocation: 0 }],
  [
    "a place named twice",
    "model_ambiguous",
    { ...at("w", W), externalData: [W, W].map((w) => ({ key: "location", value: w.location })) },
  ],
  ["data here and elsewhere", "model_ambiguous", { ...at("w", W), rawData: new Uint8Array(12) }],
])("%s is refused", async (_what, code, tensor) => {
  await expect(packModel(model(tensor, B), folder)).rejects.toMatchObject({ code });
});
