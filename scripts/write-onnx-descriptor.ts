/**
 * Writes what ONNX files are read with: types and descriptor of `scripts/onnx/onnx-ml.proto`, which is a copy of
 * onnx/onnx-ml.proto of github.com/onnx/onnx at f7546912 (1.23, Apache-2.0): proto2, as onnxruntime compiles it, so that a
 * field that is there is told from one that is not. The compiler and its plugin are fetched by npx at these versions.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const BUF = "@bufbuild/buf@1.75.0";
const PLUGIN = "@bufbuild/protoc-gen-es@2.17.0";
const target = resolve("src/onnx/onnx-proto.artifact.ts");
const protocol = resolve("scripts/onnx");

const directory = await mkdtemp(join(tmpdir(), "proof402-onnx-"));
try {
  const template = {
    version: "v2",
    plugins: [{ local: "protoc-gen-es", out: directory, opt: ["target=ts", "erasable_syntax=true"] }],
  };
  const buf = ["buf", "generate", protocol, "--template", JSON.stringify(template)];
  await promisify(execFile)("npx", ["--yes", "--package", BUF, "--package", PLUGIN, "--", ...buf]);
  const generated = await readFile(join(directory, "onnx-ml_pb.ts"), "utf8");
  // The format is explained in the source.
  const bare = generated.replaceAll(/^\s*\/\*\*\n(?:\s*\*.*\n)*?\s*\*\/\n/gm, "").replaceAll(/\n{3,}/g, "\n\n");
  const digest = createHash("sha256")
    .update(await readFile(join(protocol, "onnx-ml.proto")))
    .digest("hex");
  await writeFile(
    target,
    bare.replace(
      /^[^]*?(?=import )/,
      `// Made by scripts/write-onnx-descriptor.ts from onnx-ml.proto (Apache-2.0, the ONNX project), SHA-256 ${digest}.\n`,
    ),
  );
} finally {
  await rm(directory, { recursive: true });
}
