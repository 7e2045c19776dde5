import { jsonOf, utf8 } from "../bytes.ts";
import { parseExactJson, parseTexts } from "../exact-json.ts";
import { isAmbiguousJson } from "../json-text.ts";
import {
  unreadableAnswer,
  type ExchangeFormat,
  type Part,
  type TensorReading,
  type UnreadableReason,
} from "./format.ts";
import {
  arraysIn,
  DATATYPES,
  nest,
  readElement,
  toTensors,
  zeros,
  type Tensor,
  type TensorElement,
} from "./tensors.ts";

const MAX_TENSORS = 4096;
const MAX_NAME = 1024;
const MAX_DIMENSIONS = 16;
/** A shape is a few bytes and may claim any number of rows, so the arrays made of a body are bounded. */
const MAX_ARRAYS = 4_000_000;

/** The path of a model's metadata (`GET /v2/models/{name}`). */
export const metadataPath = (model: string): string => `/v2/models/${encodeURIComponent(model)}`;

/**
 * The Open Inference Protocol v2, as JSON: the nonce is the request's `id`, which the answer repeats beside its `model_name`.
 * The request names the model in its path alone.
 */
export const oip = {
  name: "Open Inference Protocol",

  pathOf: (model) => `${metadataPath(model)}/infer`,

  describeInput: (takes) =>
    Object.fromEntries(
      takes.map(({ name, datatype, shape, optional }) => [
        name,
        `${datatype}[${shape.join(",")}]${optional === true ? ", optional" : ""}`,
      ]),
    ),

  writeRequest({ takes, input, nonce }) {
    const inputs = tensorsToJson(toTensors(takes, input));
    return {
      headers: { "content-type": "application/json", accept: "application/json" },
      body: utf8(`{"id":${JSON.stringify(nonce)},"inputs":${inputs}}`),
    };
  },

  exampleInput: (takes) => zeros(takes),

  readInput(request) {
    const read = readTensors(request, "request");
    return read.ok ? byName(read.tensors) : null;
  },

  readAnswer(response) {
    const read = readTensors(response, "response");
    return read.ok ? { readable: true, answer: byName(read.tensors) } : unreadableAnswer(response, read.reason);
  },

  nonceIn: (body) => textIn(body, "id"),
  modelIn: (body, part) => (part === "response" ? textIn(body, "model_name") : null),
  // A parameter of the answer (Open Inference Protocol v2, `parameters`), which proof402's sellers may add.
  costIn(response) {
    const told = isAmbiguousJson(response) ? undefined : fieldsOf(response, parseTexts)?.["parameters"];
    const amount = typeof told === "object" && told !== null ? (told as Record<string, unknown>)["cost"] : undefined;
    return typeof amount === "string" ? { amount } : null;
  },
  mustCarry: { request: ["nonce"], response: ["model", "nonce"] },
  isAmbiguous: isAmbiguousJson,
  readTensors,
} as const satisfies ExchangeFormat;

/** The text of an answer, as a seller sends it: `id` is the request's, if it has one. */
export function writeAnswer(
  { model, version, id }: { model: string; version: string; id: string | null },
  outputs: readonly Tensor[],
): string {
  const names = { model_name: model, model_version: version, ...(id === null ? {} : { id }) };
  return `${JSON.stringify(names).slice(0, -1)},"outputs":${tensorsToJson(outputs)}}`;
}

/** The tensors that a part holds, exactly as they were written. */
function readTensors(body: Uint8Array, part: Part): TensorReading {
  const fields = fieldsOf(body, parseExactJson);
  if (fields === null) return unreadable("other_format");
  if (isAmbiguousJson(body)) return unreadable("inconsistent");
  const list = part === "request" ? "inputs" : "outputs";
  const found = fields[list];
  if (!Array.isArray(found)) return unreadable("error" in fields ? "states_error" : "other_format");
  if (found.length > MAX_TENSORS) return unreadable("other_format");
  const tensors: Tensor[] = [];
  // No more than the body has bytes: spelt as nested arrays they would take two bytes each.
  let arrays = Math.min(body.length, MAX_ARRAYS);
  const texts = found.some(isOfTexts) ? fieldsOf(body, parseTexts)?.[list] : undefined;
  for (const [at, one] of found.entries()) {
    // A number without quotes is none of the texts that a tensor of BYTES holds, also where no double is exactly it.
    const tensor = readTensor(isOfTexts(one) && Array.isArray(texts) ? texts[at] : one, arrays);
    if (typeof tensor === "string") return unreadable(tensor);
    arrays -= arraysIn(tensor.shape);
    tensors.push(tensor);
  }
  const distinct = new Set(tensors.map(({ name }) => name)).size === tensors.length;
  return distinct ? { ok: true, tensors } : unreadable("inconsistent");
}

const unreadable = (reason: UnreadableReason): TensorReading => ({ ok: false, reason });

const byName = (tensors: readonly Tensor[]): Record<string, unknown> =>
  Object.fromEntries(tensors.map(({ name, shape, data }) => [name, nest(shape, data)]));

function textIn(body: Uint8Array, field: string): string | null {
  const value = isAmbiguousJson(body) ? undefined : fieldsOf(body, parseTexts)?.[field];
  return typeof value === "string" ? value : null;
}

const isOfTexts = (tensor: unknown): boolean =>
  typeof tensor === "object" && tensor !== null && "datatype" in tensor && tensor.datatype === "BYTES";

/** A JSON object body, or null. */
function fieldsOf(body: Uint8Array, parse: (text: string) => unknown): Record<string, unknown> | null {
  const value = jsonOf(body, parse);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function readTensor(value: unknown, mostArrays: number): Tensor | UnreadableReason {
  if (typeof value !== "object" || value === null) return "other_format";
  const { name, datatype, shape, data } = value as Partial<Record<keyof Tensor, unknown>>;
  const known = DATATYPES.find((one) => one === datatype);
  if (typeof name !== "string" || name.length > MAX_NAME || known === undefined) return "other_format";
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !Array.isArray(data)) return "other_format";
  if (!shape.every(isSize)) return "other_format";
  if (arraysIn(shape) > mostArrays) return "inconsistent";
  const flat = flatten(data, shape);
  if (flat === null) return "inconsistent";
  const elements: TensorElement[] = [];
  for (const item of flat) {
    const element = readElement(known, item);
    if (element === undefined) return "inconsistent";
    elements.push(element);
  }
  return { name, datatype: known, shape, data: elements };
}

const isSize = (size: unknown): size is number => Number.isSafeInteger(size) && Number(size) >= 0;

/** The elements of a flat array, or of one nested as its shape says; null where their number is another. */
function flatten(data: readonly unknown[], shape: readonly number[]): readonly unknown[] | null {
  const count = shape.reduce((product, size) => product * size, 1);
  if (!data.some(Array.isArray)) return data.length === count ? data : null;
  let level: readonly unknown[] = [data];
  for (const size of shape) {
    const next: unknown[] = [];
    for (const part of level) {
      if (!Array.isArray(part) || part.length !== size) return null;
      for (const item of part) next.push(item);
    }
    level = next;
  }
  return level.length === count ? level : null;
}

/**
 * Tensors as JSON. An integer that is held as text, because no double is exactly it, is written as the number it is:
 * servers read a tensor's integers as numbers. JSON has no NaN and no infinity, so each is written as a text by its name.
 */
const tensorsToJson = (tensors: readonly Tensor[]): string =>
  `[${tensors.map(({ data, ...head }) => `${JSON.stringify(head).slice(0, -1)},"data":[${data.map((item) => elementToJson(head.datatype, item)).join(",")}]}`).join(",")}]`;

function elementToJson(datatype: Tensor["datatype"], item: TensorElement): string {
  if (typeof item === "string" && datatype !== "BYTES") return item;
  if (typeof item === "number" && !Number.isFinite(item)) return `"${item}"`;
  // JSON.stringify drops the sign of a zero, and a model may divide by it.
  return Object.is(item, -0) ? "-0" : JSON.stringify(item);
}
