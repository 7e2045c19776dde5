import type * as OnnxRuntime from "onnxruntime-node";
import type { Tensor as OrtTensor } from "onnxruntime-node";
import { Proof402Error } from "../errors.ts";
import { halfOfNumber, numberOfHalf } from "./half.ts";

/** Datatypes that are run here, by the names of the Open Inference Protocol. */
export const DATATYPES = [
  "FP16",
  "FP32",
  "FP64",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "BOOL",
  "BYTES",
] as const;
export type Datatype = (typeof DATATYPES)[number];

/** A tensor: data flattened in row-major order. An integer that no double holds exactly is its decimal text. */
export type Tensor = { name: string; datatype: Datatype; shape: number[]; data: (number | boolean | string)[] };

/** Tensor metadata as the Open Inference Protocol names it; -1 is the free batch dimension. */
export type TensorInfo = { name: string; datatype: Tensor["datatype"]; shape: number[] };

/** The runtime's module. */
export type Runtime = typeof OnnxRuntime;

const ORT_TYPES: Record<string, Datatype> = {
  float16: "FP16",
  float32: "FP32",
  float64: "FP64",
  int8: "INT8",
  int16: "INT16",
  int32: "INT32",
  int64: "INT64",
  uint8: "UINT8",
  uint16: "UINT16",
  uint32: "UINT32",
  uint64: "UINT64",
  bool: "BOOL",
  string: "BYTES",
};

/** The protocol's name of a runtime type, or undefined for one that is not served. */
export const datatypeOf = (type: string): Datatype | undefined =>
  Object.hasOwn(ORT_TYPES, type) ? ORT_TYPES[type] : undefined;

/** Integers of up to 32 bits. */
const RANGES: Partial<Record<Datatype, readonly [number, number]>> = {
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
};
/** Integers that a double may not hold. */
const LONG_RANGES: Partial<Record<Datatype, readonly [bigint, bigint]>> = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
};
const LARGEST: Partial<Record<Datatype, number>> = { FP16: 65_504, FP32: 3.402_823_466_385_288_6e38 };

/** Whether integers of a datatype may be beyond what a double holds. */
export const isLong = (datatype: Datatype): boolean => LONG_RANGES[datatype] !== undefined;

/** Whether one element may stand in a tensor of the datatype. */
export function fits(datatype: Datatype, value: unknown): value is Tensor["data"][number] {
  if (datatype === "BOOL") return typeof value === "boolean";
  // The runtime takes texts as C does: a zero character would end one, and half a character would become another.
  if (datatype === "BYTES") return typeof value === "string" && value.isWellFormed() && !value.includes("\0");
  const long = LONG_RANGES[datatype];
  if (long !== undefined) {
    const isInteger = typeof value === "string" ? /^-?[1-9][0-9]{15,19}$/.test(value) : Number.isSafeInteger(value);
    return isInteger && BigInt(value as string | number) >= long[0] && BigInt(value as string | number) <= long[1];
  }
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  const range = RANGES[datatype];
  return range === undefined
    ? Math.abs(value) <= (LARGEST[datatype] ?? Number.MAX_VALUE)
    : Number.isInteger(value) && value >= range[0] && value <= range[1];
}

/** A checked tensor as the runtime takes it. */
export function toOrt(ort: Runtime, { datatype, data, shape }: Tensor): OrtTensor {
  if (datatype === "BYTES") return new ort.Tensor("string", data.map(String), shape);
  const numbers = data.map(Number);
  switch (datatype) {
    case "FP16":
      return new ort.Tensor("float16", Uint16Array.from(numbers, halfOfNumber), shape);
    case "FP32":
      return new ort.Tensor("float32", Float32Array.from(numbers), shape);
    case "FP64":
      return new ort.Tensor("float64", Float64Array.from(numbers), shape);
    case "INT8":
      return new ort.Tensor("int8", Int8Array.from(numbers), shape);
    case "INT16":
      return new ort.Tensor("int16", Int16Array.from(numbers), shape);
    case "INT32":
      return new ort.Tensor("int32", Int32Array.from(numbers), shape);
    case "INT64":
      return new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape);
    case "UINT8":
      return new ort.Tensor("uint8", Uint8Array.from(numbers), shape);
    case "UINT16":
      return new ort.Tensor("uint16", Uint16Array.from(numbers), shape);
    case "UINT32":
      return new ort.Tensor("uint32", Uint32Array.from(numbers), shape);
    case "UINT64":
      return new ort.Tensor("uint64", BigUint64Array.from(data, BigInt), shape);
    case "BOOL":
      return new ort.Tensor("bool", Uint8Array.from(numbers), shape);
    default:
      return datatype satisfies never;
  }
}

/** A result of the runtime, each element as it is. Throws Proof402Error `model_failed` for a text that is none. */
export function fromOrt({ name, datatype }: TensorInfo, tensor: OrtTensor): Tensor {
  return { name, datatype, shape: [...tensor.dims], data: elementsOf(name, datatype, tensor) };
}

function elementsOf(name: string, datatype: Datatype, { data }: OrtTensor): Tensor["data"] {
  if (datatype === "BYTES") {
    const texts = data as string[];
    // The runtime writes this character for bytes that are no UTF-8, so nothing tells which the model gave.
    if (texts.some((text) => text.includes("\uFFFD")))
      throw new Proof402Error("model_failed", `Output "${name}" holds a text with bytes that are no UTF-8.`, {
        next: "Change the model so that it gives UTF-8 texts.",
      });
    return texts;
  }
  if (datatype === "FP16") {
    // Runtimes with numbers of 16 bits give them as such, others give their bits.
    const { buffer, byteOffset, length } = data as Uint16Array;
    return Array.from(new Uint16Array(buffer, byteOffset, length), numberOfHalf);
  }
  const values = [...(data as Iterable<number | bigint>)];
  return datatype === "BOOL" ? values.map(Boolean) : values.map(exactly);
}

const exactly = (value: number | bigint): number | string => {
  const number = Number(value);
  return typeof value === "bigint" && !Number.isSafeInteger(number) ? value.toString() : number;
};

/** A tensor as `JSON.stringify` keeps it: what it would alter is text, `NaN`, `Infinity`, `-Infinity` or `-0`. */
export const inJson = ({ data, ...tensor }: Tensor): Tensor => ({
  ...tensor,
  data: data.map((value) =>
    Object.is(value, -0) ? "-0" : typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  ),
});
