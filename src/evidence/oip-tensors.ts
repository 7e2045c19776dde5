import { fromUtf8 } from "./bytes.ts";
import { parseExactJson } from "./exact-json.ts";

/** Datatypes of the Open Inference Protocol v2, and BF16, which its servers added. */
export const DATATYPES = [
  "BOOL",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "FP16",
  "FP32",
  "FP64",
  "BF16",
  "BYTES",
] as const;
export type Datatype = (typeof DATATYPES)[number];

/** One element. An integer beyond 2^53 - 1 is its decimal text, so that it is exact and JSON can carry it. */
export type TensorElement = number | boolean | string;

/** A tensor of an Open Inference Protocol body, flattened in row-major order. */
export type OipTensor = { name: string; datatype: Datatype; shape: number[]; data: TensorElement[] };

/** Why a body gives no tensors. */
export type UnreadableReason =
  /** It is in another format than JSON tensors with their data: binary, gRPC, some other JSON, an unknown datatype. */
  | "other_format"
  /** It holds an error message in place of an answer. */
  | "states_error"
  /** Its tensors contradict themselves: data that is not of the shape or the datatype, or one name twice. */
  | "inconsistent";

export type TensorReading = { ok: true; tensors: OipTensor[] } | { ok: false; reason: UnreadableReason };

const INTEGERS: Partial<Record<Datatype, readonly [bigint, bigint]>> = {
  UINT8: [0n, 0xffn],
  UINT16: [0n, 0xffffn],
  UINT32: [0n, 0xffff_ffffn],
  UINT64: [0n, 0xffff_ffff_ffff_ffffn],
  INT8: [-0x80n, 0x7fn],
  INT16: [-0x8000n, 0x7fffn],
  INT32: [-0x8000_0000n, 0x7fff_ffffn],
  INT64: [-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn],
};
const MAX_TENSORS = 4096;
const MAX_NAME = 1024;
const MAX_DIMENSIONS = 16;

/** The tensors under `inputs` or `outputs` in a body, exactly as they were written. Never throws. */
export function readTensors(body: Uint8Array, list: "inputs" | "outputs"): TensorReading {
  const value = parse(body);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return unreadable("other_format");
  const fields = value as Record<string, unknown>;
  const found = fields[list];
  if (!Array.isArray(found)) return unreadable("error" in fields ? "states_error" : "other_format");
  if (found.length > MAX_TENSORS) return unreadable("other_format");
  const tensors: OipTensor[] = [];
  for (const one of found) {
    const tensor = readTensor(one);
    if (typeof tensor === "string") return unreadable(tensor);
    tensors.push(tensor);
  }
  const distinct = new Set(tensors.map(({ name }) => name)).size === tensors.length;
  return distinct ? { ok: true, tensors } : unreadable("inconsistent");
}

/**
 * One element of a datatype in the form it is handed on, or undefined where it is none. Numbers that are no numbers
 * come as `NaN`, `Infinity`, `"NaN"` or, from servers whose JSON has no such thing, `null`.
 */
export function readElement(datatype: Datatype, value: unknown): TensorElement | undefined {
  if (datatype === "BOOL") return typeof value === "boolean" ? value : undefined;
  if (datatype === "BYTES") return typeof value === "string" ? value : undefined;
  const range = INTEGERS[datatype];
  return range === undefined ? readReal(value) : readInteger(value, range);
}

/** Whether a datatype is of floating point, whose elements may differ from machine to machine. */
export const isReal = (datatype: Datatype): boolean => datatype.startsWith("FP") || datatype === "BF16";

const unreadable = (reason: UnreadableReason): TensorReading => ({ ok: false, reason });

function readTensor(value: unknown): OipTensor | UnreadableReason {
  if (typeof value !== "object" || value === null) return "other_format";
  const { name, datatype, shape, data } = value as Partial<Record<keyof OipTensor, unknown>>;
  const known = DATATYPES.find((one) => one === datatype);
  if (typeof name !== "string" || name.length > MAX_NAME || known === undefined) return "other_format";
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !Array.isArray(data)) return "other_format";
  const sizes: number[] = [];
  for (const size of shape) {
    const read = readInteger(size, [0n, BigInt(Number.MAX_SAFE_INTEGER)]);
    if (typeof read !== "number") return "other_format";
    sizes.push(read);
  }
  const flat = flatten(data, sizes);
  if (flat === null) return "inconsistent";
  const elements: TensorElement[] = [];
  for (const item of flat) {
    const element = readElement(known, item);
    if (element === undefined) return "inconsistent";
    elements.push(element);
  }
  return { name, datatype: known, shape: sizes, data: elements };
}

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

function readReal(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (value === null) return Number.NaN;
  if (typeof value !== "string") return undefined;
  if (/^[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?$/i.test(value)) return Number(value);
  if (/^nan$/i.test(value)) return Number.NaN;
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(value);
  return infinite === null ? undefined : infinite[1] === "-" ? -Infinity : Infinity;
}

function readInteger(value: unknown, [least, most]: readonly [bigint, bigint]): number | string | undefined {
  const isText = typeof value === "string" && /^-?[0-9]{1,20}$/.test(value);
  if (!isText && !(typeof value === "number" && Number.isSafeInteger(value))) return undefined;
  const integer = BigInt(value);
  if (integer < least || integer > most) return undefined;
  return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer.toString();
}

function parse(body: Uint8Array): unknown {
  try {
    return parseExactJson(fromUtf8(body));
  } catch {
    return undefined;
  }
}
