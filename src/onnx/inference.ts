import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { devNull } from "node:os";
import { join, resolve } from "node:path";
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { Proof402Error } from "../errors.ts";
import { howToInstall } from "../peers.ts";
import { checkModelFile, readModelFile } from "./model-file.ts";
import { TensorProto_DataType as DataType } from "./onnx-proto.artifact.ts";
import { DATATYPES, datatypeOf, fromOrt, toOrt, type Runtime, type Tensor, type TensorInfo } from "./tensors.ts";

/** An ONNX file and the SHA-256 (hex) that names it. */
export type ModelFile = { name: string; file: string; sha256: string };

/** A model in the runtime. */
export type RunningModel = {
  inputs: TensorInfo[];
  outputs: TensorInfo[];
  /** Input -> the names of its free dimensions at their places, null elsewhere. One name is one size in every input. */
  dimensions: Record<string, (string | null)[]>;
  runtime: { name: string; version: string };
  /** Runs inputs that were checked against `inputs`. */
  run(inputs: readonly Tensor[]): Promise<Tensor[]>;
  close(): Promise<void>;
};

/** A running model with what describes it. */
export type LoadedModel<Description extends ModelFile = ModelFile> = Description & RunningModel;

/** onnxruntime-node, loaded when the first model is. Throws Proof402Error `onnxruntime_missing`. */
export async function loadRuntime(): Promise<Runtime> {
  try {
    const module = (await import("onnxruntime-node")) as Runtime & { default?: Runtime };
    return module.default ?? module;
  } catch (error) {
    throw new Proof402Error("onnxruntime_missing", "onnxruntime-node is not installed, so no model can be run here.", {
      next: howToInstall(["onnxruntime-node"]),
      cause: error,
    });
  }
}

/** The folder that the runtime is told to look for a model's other files in: nothing can be below a file. */
const NO_FOLDER = join(devNull, "none");

/** A session over the bytes of a model and over nothing else. */
export const createSession = (ort: Runtime, file: Uint8Array): Promise<InferenceSession> =>
  ort.InferenceSession.create(file, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    // What a run fails with is thrown. A line on stderr would let each buyer write in a seller's logs.
    logSeverityLevel: 4,
    extra: { session: { model_external_initializers_file_folder_path: NO_FOLDER } },
  });

/**
 * Loads one ONNX file and checks that it is the described one, and complete. Throws Proof402Error
 * `model_digest_mismatch`, `model_unsupported`, `onnxruntime_missing`, or the codes of `checkModelFile`.
 */
export async function loadModel<Description extends ModelFile>(
  directory: string,
  description: Description,
): Promise<LoadedModel<Description>> {
  const file = await readFile(resolve(directory, description.file));
  const digest = createHash("sha256").update(file).digest("hex");
  if (digest !== description.sha256) {
    throw new Proof402Error(
      "model_digest_mismatch",
      `The file of model ${description.name} does not have the digest it is named by.`,
      {
        next: "Get the file that the digest is of.",
      },
    );
  }
  return openModel(file, description);
}

/** Loads a model from the bytes of its file. Throws as `loadModel`, but for the digest. */
export async function openModel<Description extends Pick<ModelFile, "name">>(
  file: Uint8Array,
  description: Description,
): Promise<Description & RunningModel> {
  checkModelFile(file);
  const ort = await loadRuntime();
  const session = await createSession(ort, file).catch((error: unknown) => {
    throw unservedIn(file, description.name) ?? error;
  });
  const inputs = session.inputMetadata.map((meta) => infoOf(meta, description.name));
  // Classifiers have a label beside a map of probabilities, which no format here can write: the label is served alone.
  const tensors = session.outputMetadata.filter(({ isTensor }) => isTensor);
  const served = tensors.length > 0 ? tensors : session.outputMetadata;
  const outputs = served.map((meta) => infoOf(meta, description.name));
  const names = outputs.map(({ name }) => name);
  return {
    ...description,
    inputs,
    outputs,
    dimensions: Object.fromEntries(session.inputMetadata.map((meta) => [meta.name, namesOf(meta)])),
    runtime: { name: "onnxruntime-node", version: ort.env.versions.common },
    async run(given) {
      const feeds: Record<string, OrtTensor> = {};
      for (const tensor of given) feeds[tensor.name] = toOrt(ort, tensor);
      const results = await session.run(feeds, names);
      return outputs.flatMap((info) => {
        const result = results[info.name];
        return result === undefined ? [] : [fromOrt(info, result)];
      });
    },
    close: () => session.release(),
  };
}

type Metadata = InferenceSession["inputMetadata"][number];

const namesOf = (meta: Metadata): (string | null)[] =>
  meta.isTensor ? meta.shape.map((dim) => (typeof dim === "string" && dim !== "" ? dim : null)) : [];

function infoOf(meta: Metadata, model: string): TensorInfo {
  const datatype = meta.isTensor ? datatypeOf(meta.type) : undefined;
  if (!meta.isTensor) throw unserved(model, meta.name, "sequence, map or optional value");
  if (datatype === undefined) throw unserved(model, meta.name, meta.type);
  return { name: meta.name, datatype, shape: meta.shape.map((dim) => (typeof dim === "number" ? dim : -1)) };
}

/** Names the tensor of a type unknown to the runtime, whose own error names none. */
function unservedIn(file: Uint8Array, model: string): Proof402Error | undefined {
  const { input = [], output = [] } = readModelFile(file).graph ?? {};
  for (const { name, type: declared } of [...input, ...output]) {
    const elemType = declared?.value.case === "tensorType" ? declared.value.value.elemType : 0;
    // The types after it in onnx.proto are complex numbers, bfloat16 and those of 8 bits and less.
    const [type = String(elemType)] = Object.entries(DataType).find(([, number]) => number === elemType) ?? [];
    if (elemType > DataType.UINT64) return unserved(model, name, type.toLowerCase());
  }
  return undefined;
}

const unserved = (model: string, tensor: string, type: string): Proof402Error =>
  new Proof402Error(
    "model_unsupported",
    `Model ${model} has a tensor "${tensor}" of a type that is not served: ${type}.`,
    {
      next: `Export the model with tensors of ${DATATYPES.join(", ")}.`,
    },
  );
