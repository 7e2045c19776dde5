import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executeApart } from "../../src/onnx/execution.ts";
import type { ModelFile } from "../../src/onnx/inference.ts";
import type { Tensor } from "../../src/onnx/tensors.ts";
import { childrenOf, firstChildOf, isRunning } from "../support/children.ts";
import { eventually } from "../support/eventually.ts";
import { onnxOf } from "../support/onnx-files.ts";
import { graphOf, integers, modelOf, node, value } from "../support/onnx-messages.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-execution-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
async function saved(bytes: Uint8Array): Promise<ModelFile> {
  const digest = sha256(bytes);
  const file = join(directory, `${digest}.onnx`);
  await writeFile(file, bytes);
  return { name: "a model", file, sha256: digest };
}
const inputs: Tensor[] = [{ name: "x", datatype: "FP32", shape: [1, 3], data: [1, -2, 4] }];
const run = (model: ModelFile, milliseconds = 20_000, given = inputs) =>
  executeApart({ model, inputs: given }, { milliseconds });

/** Minutes of work. */
const ENDLESS = onnxOf([
  { op: "Tile", inputs: ["x", "repeats"], output: "rows" },
  { op: "Transpose", inputs: ["rows"], output: "columns" },
  { op: "MatMul", inputs: ["rows", "columns"], output: "square" },
  { op: "MatMul", inputs: ["square", "square"], output: "cube" },
  { op: "MatMul", inputs: ["cube", "square"], output: "more" },
  { op: "MatMul", inputs: ["more", "square"], output: "y" },
]);

describe("a model run apart", () => {
  test("gives its outputs and says what computed them", async () => {
    const model = await saved(onnxOf([{ op: "Mul", inputs: ["x", "s"], output: "y" }]));
    expect(await run(model)).toEqual({
      runtime: { name: "onnxruntime-node", version: expect.stringMatching(/^1\./) as string },
      outputs: [{ name: "y", datatype: "FP32", shape: [1, 3], data: [2, 1, 0.5] }],
    });
  });

  test("takes and gives integers that no double holds, and says what is no number", async () => {
    const INT64 = 7;
    const graph = graphOf([node("Add", ["x", "one"], "y")], [integers("one", [1], 1)], {
      input: [value("x", [2], INT64)],
      output: [value("y", [2], INT64)],
    });
    const exact = await run(await saved(modelOf(graph)), 20_000, [
      { name: "x", datatype: "INT64", shape: [1, 2], data: ["9007199254740993", 5] },
    ]);
    expect(exact.outputs).toEqual([{ name: "y", datatype: "INT64", shape: [1, 2], data: ["9007199254740994", 6] }]);
    const logarithms = await run(await saved(onnxOf([{ op: "Log", inputs: ["x"], output: "y" }])), 20_000, [
      { name: "x", datatype: "FP32", shape: [1, 3], data: [-1, 0, 1] },
    ]);
    expect(logarithms.outputs).toMatchObject([{ data: ["NaN", "-Infinity", 0] }]);
    const quotients = await run(await saved(onnxOf([{ op: "Reciprocal", inputs: ["x"], output: "y" }])), 20_000, [
      { name: "x", datatype: "FP32", shape: [1, 3], data: [-0, 0, -Infinity] },
    ]);
    expect(quotients.outputs).toMatchObject([{ data: ["-Infinity", "Infinity", "-0"] }]);
  });

  test("is killed at its limit, however deep in native code, and leaves no process", async () => {
    await expect(run(await saved(ENDLESS), 1500)).rejects.toMatchObject({ code: "execution_timeout" });
    expect(await childrenOf(process.pid, "execution-child")).toEqual([]);
  });

  test("ends when the process that wanted it is killed", async () => {
    const order = JSON.stringify([{ model: await saved(ENDLESS), inputs }, { milliseconds: 600_000 }]);
    const built = new URL("../../dist/src/onnx/execution.js", import.meta.url).href;
    const code = `const { executeApart } = await import(${JSON.stringify(built)}); setInterval(() => {}, 1e6); await executeApart(...${order});`;
    const caller = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: "ignore" });
    const child = await firstChildOf(caller.pid, "execution-child");
    caller.kill("SIGKILL");
    await eventually(async () => expect(await isRunning(child)).toBe(false));
  });

  test("of another digest, of no file, or that is no model is refused with its own code", async () => {
    const model = await saved(onnxOf([{ op: "Relu", inputs: ["x"], output: "y" }]));
    await expect(run({ ...model, sha256: "00".repeat(32) })).rejects.toMatchObject({ code: "model_digest_mismatch" });
    await expect(run({ ...model, file: join(directory, "none") })).rejects.toMatchObject({ code: "model_unreadable" });
    await expect(run(await saved(new Uint8Array([1, 2, 3])))).rejects.toMatchObject({ code: "model_unreadable" });
    await expect(run(await saved(onnxOf([{ op: "Nothing", inputs: ["x"], output: "y" }])))).rejects.toMatchObject({
      code: "model_failed",
    });
  });

  test("with inputs it does not take is refused, and the process of its caller goes on", async () => {
    const model = await saved(onnxOf([{ op: "Relu", inputs: ["x"], output: "y" }]));
    const other: Tensor[] = [{ name: "z", datatype: "FP32", shape: [1, 3], data: [1, 2, 3] }];
    await expect(run(model, 20_000, other)).rejects.toMatchObject({ code: "model_failed" });
  });
});
