import { z } from "zod";
import { VERSION } from "../version.ts";
import type { LoadedModel, TensorInfo } from "../onnx/inference.ts";
import { fits, type Tensor } from "../onnx/tensors.ts";

/** A refusal in the protocol's form: `{"error": text}` with an HTTP status. */
export type OipError = { status: 400 | 404 | 413; error: string };

/** Elements of all inputs of one request. */
const MAX_ELEMENTS = 100_000;
const MAX_DEPTH = 8;

const requestSchema = z.object({
  id: z.string().max(128).optional(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  inputs: z
    .array(
      z.object({
        name: z.string().max(128),
        shape: z.array(z.int().min(0)).max(MAX_DEPTH),
        datatype: z.string().max(16),
        data: z.array(z.unknown()),
      }),
    )
    .min(1)
    .max(64),
  outputs: z
    .array(z.object({ name: z.string().max(128) }))
    .max(64)
    .optional(),
});

/** A request that fits the model. */
export type InferRequest = { id: string | undefined; inputs: Tensor[]; wanted: readonly string[] | undefined };

/** Server metadata (Open Inference Protocol v2, `GET /v2`). */
export const serverMetadata = { name: "proof402-node", version: VERSION, extensions: [] } as const;

/** Model metadata (`GET /v2/models/{name}`). */
export const modelMetadata = (model: LoadedModel): Record<string, unknown> => ({
  name: model.name,
  versions: [versionOf(model)],
  platform: "onnxruntime_onnx",
  inputs: model.inputs,
  outputs: model.outputs,
});

/** A model's version is the beginning of its file's SHA-256. */
const versionOf = (model: LoadedModel): string => model.sha256.slice(0, 16);

/** Reads an inference request and checks it against the model's metadata. */
export function readInferRequest(model: LoadedModel, body: Uint8Array): InferRequest | OipError {
  const parsed = requestSchema.safeParse(parseJson(body));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return bad(
      `the body is not an inference request: ${issue?.path.map(String).join(".") || "body"}: ${issue?.message ?? "invalid"}`,
    );
  }
  const { id, inputs, outputs } = parsed.data;
  const names = inputs.map((input) => input.name);
  const unknown = names.find((name) => !model.inputs.some((info) => info.name === name));
  if (unknown !== undefined) return bad(`unexpected input "${unknown}" for model "${model.name}"`);
  if (new Set(names).size !== names.length) return bad("an input is given twice");
  const wanted = outputs?.map((output) => output.name);
  const noOutput = wanted?.find((name) => !model.outputs.some((info) => info.name === name));
  if (noOutput !== undefined) return bad(`unexpected output "${noOutput}" for model "${model.name}"`);
  const tensors: Tensor[] = [];
  for (const info of model.inputs) {
    const given = inputs.find((input) => input.name === info.name);
    if (given === undefined) return bad(`input "${info.name}" is missing for model "${model.name}"`);
    const tensor = readTensor(info, given);
    if ("error" in tensor) return tensor;
    tensors.push(tensor);
  }
  const batches = new Set(tensors.map((tensor) => tensor.shape[0]));
  if (batches.size > 1) return bad("inputs have different batch sizes");
  return { id, inputs: tensors, wanted };
}

function readTensor(
  info: TensorInfo,
  given: { shape: number[]; datatype: string; data: unknown[] },
): Tensor | OipError {
  if (given.datatype !== info.datatype)
    return bad(`input "${info.name}" has datatype ${given.datatype}, expected ${info.datatype}`);
  const shapeFits =
    given.shape.length === info.shape.length &&
    given.shape.every((dim, i) => (info.shape[i] === -1 ? dim >= 1 : dim === info.shape[i]));
  if (!shapeFits)
    return bad(`input "${info.name}" has shape [${given.shape.join(",")}], expected [${info.shape.join(",")}]`);
  const count = given.shape.reduce((product, dim) => product * dim, 1);
  if (count > MAX_ELEMENTS) return bad(`input "${info.name}" has more than ${MAX_ELEMENTS} elements`);
  const flat = flatten(given.data);
  if (flat === null || flat.length !== count)
    return bad(`input "${info.name}" does not hold the ${count} elements of its shape`);
  const data = flat.filter((value) => fits(info.datatype, value));
  if (data.length !== count) return bad(`input "${info.name}" holds a value that is not ${info.datatype}`);
  return { name: info.name, datatype: info.datatype, shape: given.shape, data };
}

/** Row-major elements of a flat or nested array, or null where it is too deep or too large. */
function flatten(data: unknown[]): unknown[] | null {
  let level = data;
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    if (level.length > MAX_ELEMENTS) return null;
    if (!level.some(Array.isArray)) return level;
    level = level.flat();
  }
  return null;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

const bad = (error: string): OipError => ({ status: 400, error });

/** An inference response (`POST /v2/models/{name}/infer`). */
export const inferResponse = (
  model: LoadedModel,
  request: InferRequest,
  outputs: readonly Tensor[],
): Record<string, unknown> => ({
  model_name: model.name,
  model_version: versionOf(model),
  ...(request.id === undefined ? {} : { id: request.id }),
  outputs: outputs.filter((output) => request.wanted === undefined || request.wanted.includes(output.name)),
});
