import type * as OnnxRuntime from "onnxruntime-node";
import type { Tensor as OrtTensor } from "onnxruntime-node";

/** Datatypes that are run here, by the names of the Open Inference Protocol. */
export const DATATYPES = [
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
] as const;
export type Datatype = (typeof DATATYPES)[number];

/** A tensor: data flattened in row-major order. An integer that no double holds exactly is its decimal text. */
export type Tensor = { name: string; datatype: Datatype; shape: number[]; data: (number | boolean | string)[] };

/** Tensor metadata as the Open Inference Protocol names it; -1 is the free batch dimension. */
export type TensorInfo = { name: string; datatype: Tensor["datatype"]; shape: number[] };

/** The runtime's module. */
export type Runtime = typeof OnnxRuntime;

const ORT_TYPES: Record<string, Datatype> = {
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
};

/** The protocol's name of a runtime type, or undefined for one that is not served. */
export const datatypeOf = (type: string): Datatype | undefined =>
  Object.hasOwn(ORT_TYPES, type) ? ORT_TYPES[type] : undefined;

/** Largest magnitudes; of 64 bits inputs stay within what JSON numbers carry exactly. */
const RANGES: Partial<Record<Datatype, readonly [number, number]>> = {
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
  INT64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
};
const FP32_MAX = 3.402_823_466_385_288_6e38;

/** Whether one element may stand in a tensor of the datatype. */
export function fits(datatype: Datatype, value: unknown): value is number | boolean {
  if (datatype === "BOOL") return typeof value === "boolean";
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (datatype === "FP32") return Math.abs(value) <= FP32_MAX;
  const range = RANGES[datatype];
  return range === undefined || (Number.isInteger(value) && value >= range[0] && value <= range[1]);
}

/** A checked tensor as the runtime takes it. */
export function toOrt(ort: Runtime, { datatype, data, shape }: Tensor): OrtTensor {
  const numbers = data.map(Number);
  switch (datatype) {
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

/** A result of the runtime, each number as it is. */
export function fromOrt(info: TensorInfo, tensor: OrtTensor): Tensor {
  const values = [...(tensor.data as Iterable<number | bigint>)];
  return {
    name: info.name,
    datatype: info.datatype,
    shape: [...tensor.dims],
    data: values.map((value) => (info.datatype === "BOOL" ? Boolean(value) : exactly(value))),
  };
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
