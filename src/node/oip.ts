import * as z from "zod";
import { jsonOf } from "../evidence/bytes.ts";
import { parseExactJson } from "../evidence/exact-json.ts";
import { writeAnswer } from "../evidence/exchange/oip.ts";
import { readElement } from "../evidence/exchange/tensors.ts";
import { isAmbiguousJson } from "../evidence/json-text.ts";
import { VERSION } from "../version.ts";
import type { LoadedModel } from "../onnx/inference.ts";
import { fits, isLong, type Tensor, type TensorInfo } from "../onnx/tensors.ts";

/** A refusal in the protocol's form: `{"error": text}` with an HTTP status. */
export type OipError = { status: 400; error: string };

/** Elements of all inputs of one request. */
const MAX_ELEMENTS = 100_000;
const MAX_DEPTH = 8;

/** Extension parameters about the data's place or the answer's meaning: none is served here. */
const FOREIGN_PARAMETERS = ["binary_data_size", "shared_memory_region", "classification"];
const parametersSchema = z.record(z.string(), z.unknown()).nullish();

// Clients write null where they have nothing to say, as JSON encoders do with an absent value.
const requestSchema = z.object({
  id: z.string().max(128).nullish(),
  parameters: parametersSchema,
  inputs: z
    .array(
      z.object({
        name: z.string().max(128),
        shape: z.array(z.int().min(0)).max(MAX_DEPTH),
        datatype: z.string().max(16),
        parameters: parametersSchema,
        data: z.array(z.unknown()).optional(),
      }),
    )
    .max(64),
  outputs: z
    .array(z.object({ name: z.string().max(128), parameters: parametersSchema }))
    .max(64)
    .nullish(),
});

/** The same inputs with each integer beyond 2^53 - 1 as its decimal text. */
const exactSchema = z.object({ inputs: z.array(z.object({ data: z.array(z.unknown()).optional() })) });

type WireTensor = z.infer<typeof requestSchema>["inputs"][number];

/** A request that fits the model. */
export type InferRequest = {
  id: string | null;
  inputs: Tensor[];
  /** Names of the outputs to answer with. */
  wanted: readonly string[];
  /** Measures the work: the product of an input's free dimensions, of the largest input; at least 1. */
  rows: number;
};

/** Server metadata (Open Inference Protocol v2, `GET /v2`). */
export const serverMetadata = { name: "proof402-node", version: VERSION, extensions: [] } as const;

/** Model metadata (`GET /v2/models/{name}[/versions/{version}]`). */
export const modelMetadata = (model: LoadedModel): Record<string, unknown> => ({
  name: model.name,
  versions: [versionOf(model)],
  platform: "onnxruntime_onnx",
  inputs: model.inputs,
  outputs: model.outputs,
});

/** A model's version is the beginning of its file's SHA-256. */
export const versionOf = (model: LoadedModel): string => model.sha256.slice(0, 16);

/** Reads an inference request for at most so many `rows`, and checks it against the model's metadata. */
export function readInferRequest(model: LoadedModel, body: Uint8Array, rows: number): InferRequest | OipError {
  const parsed = requestSchema.safeParse(jsonOf(body));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return bad(
      `the body is not an inference request: ${issue?.path.map(String).join(".") || "body"}: ${issue?.message ?? "invalid"}`,
    );
  }
  // Its verifier could read other inputs than were computed on.
  if (isAmbiguousJson(body)) return bad("the body names a key twice, or one that is not allowed");
  const { id, inputs, outputs } = parsed.data;
  const foreign = foreignParameter([...inputs, ...(outputs ?? [])]);
  if (foreign !== undefined) return bad(`parameter "${foreign}" is of an extension that is not served here`);
  const names = inputs.map((input) => input.name);
  const unknown = names.find((name) => !model.inputs.some((info) => info.name === name));
  if (unknown !== undefined) return bad(`unexpected input "${unknown}" for model "${model.name}"`);
  if (new Set(names).size !== names.length) return bad("an input is given twice");
  const asked = (outputs ?? []).map((output) => output.name);
  const noOutput = asked.find((name) => !model.outputs.some((info) => info.name === name));
  if (noOutput !== undefined) return bad(`unexpected output "${noOutput}" for model "${model.name}"`);
  const exact = model.inputs.some(({ datatype }) => isLong(datatype))
    ? exactSchema.safeParse(jsonOf(body, parseExactJson)).data?.inputs
    : undefined;
  const tensors: Tensor[] = [];
  for (const info of model.inputs) {
    const at = names.indexOf(info.name);
    const given = isLong(info.datatype) && inputs[at] ? { ...inputs[at], data: exact?.[at]?.data } : inputs[at];
    if (given === undefined) return bad(`input "${info.name}" is missing for model "${model.name}"`);
    const tensor = readTensor(info, given, rows);
    if ("error" in tensor) return tensor;
    tensors.push(tensor);
  }
  const unequal = unequalDimension(model, tensors);
  if (unequal !== null) return bad(`inputs differ in their dimension "${unequal}"`);
  return {
    id: id ?? null,
    inputs: tensors,
    // An empty list asks for nothing in particular, as no list does.
    wanted: asked.length === 0 ? model.outputs.map(({ name }) => name) : asked,
    rows: Math.max(1, ...model.inputs.map((info, at) => freeOf(info, tensors[at]?.shape ?? []))),
  };
}

const foreignParameter = (parts: readonly { parameters?: Record<string, unknown> | null | undefined }[]) =>
  parts
    .flatMap(({ parameters }) => Object.entries(parameters ?? {}))
    .find(([name, value]) => FOREIGN_PARAMETERS.includes(name) && value !== null && value !== 0)?.[0];

/** Multiplies the sizes of the dimensions left free by a tensor's metadata. */
const freeOf = (info: TensorInfo, shape: readonly number[]): number =>
  shape.reduce((product, size, at) => (info.shape[at] === -1 ? product * size : product), 1);

/** Finds a dimension shared by several inputs and given several sizes by a request; null without one. */
function unequalDimension(model: LoadedModel, tensors: readonly Tensor[]): string | null {
  const sizes = new Map<string, number>();
  for (const { name, shape } of tensors) {
    for (const [at, symbol] of (model.dimensions[name] ?? []).entries()) {
      if (symbol === null) continue;
      const size = shape[at] ?? 0;
      if ((sizes.get(symbol) ?? size) !== size) return symbol;
      sizes.set(symbol, size);
    }
  }
  return null;
}

function readTensor(info: TensorInfo, given: WireTensor, rows: number): Tensor | OipError {
  if (given.datatype !== info.datatype)
    return bad(`input "${info.name}" has datatype ${given.datatype}, expected ${info.datatype}`);
  const shapeFits =
    given.shape.length === info.shape.length &&
    given.shape.every((dim, i) => (info.shape[i] === -1 ? dim >= 1 : dim === info.shape[i]));
  if (!shapeFits)
    return bad(`input "${info.name}" has shape [${given.shape.join(",")}], expected [${info.shape.join(",")}]`);
  const free = freeOf(info, given.shape);
  if (free > rows) return bad(`input "${info.name}" holds ${free} rows; the price covers ${rows} in one call`);
  const count = given.shape.reduce((product, dim) => product * dim, 1);
  if (count > MAX_ELEMENTS) return bad(`input "${info.name}" has more than ${MAX_ELEMENTS} elements`);
  const flat = flatten(given.data ?? []);
  if (flat === null || flat.length !== count)
    return bad(`input "${info.name}" does not hold the ${count} elements of its shape`);
  const data = flat
    .map((value) => (isLong(info.datatype) ? readElement(info.datatype, value) : value))
    .filter((value) => fits(info.datatype, value));
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

const bad = (error: string): OipError => ({ status: 400, error });

/** The text of an inference response (`POST /v2/models/{name}/infer`): the outputs asked for, each number exactly. */
export const inferResponse = (
  model: LoadedModel,
  { id, wanted }: Pick<InferRequest, "id" | "wanted">,
  outputs: readonly Tensor[],
): string =>
  writeAnswer(
    { model: model.name, version: versionOf(model), id },
    outputs.filter(({ name }) => wanted.includes(name)),
  );
