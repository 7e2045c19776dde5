import { Proof402Error } from "../errors.ts";
import type { TensorMetadata } from "./types.ts";

/** An Open Inference Protocol v2 tensor, data flattened in row-major order. */
export type Tensor = {
  name: string;
  datatype: TensorMetadata["datatype"];
  shape: number[];
  data: (number | boolean | string)[];
};

const INTEGER_RANGES: Partial<Record<TensorMetadata["datatype"], readonly [number, number]>> = {
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
  INT64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

const MAX_ELEMENTS = 100_000;

const invalid = (message: string, next: string): Proof402Error => new Proof402Error("invalid_input", message, { next });

/**
 * Turns an agent's `{tensorName: (nested) array}` into typed tensors.
 * A flat array is accepted where the metadata leaves one dimension free or its length fits exactly.
 * Throws Proof402Error `invalid_input` that names the tensor and what it should look like.
 */
export function toTensors(metadata: readonly TensorMetadata[], input: Record<string, unknown>): Tensor[] {
  const expected = `Give ${metadata.map((m) => `${m.name}: ${m.datatype}[${m.shape.join(",")}]`).join(", ")}.`;
  const extra = Object.keys(input).find((name) => !metadata.some((m) => m.name === name));
  if (extra !== undefined) throw invalid(`The model has no input "${extra.slice(0, 64)}".`, expected);
  return metadata.map((meta) => {
    if (!Object.hasOwn(input, meta.name)) throw invalid(`Input "${meta.name}" is missing.`, expected);
    const { shape, data } = flatten(meta, input[meta.name], expected);
    return { name: meta.name, datatype: meta.datatype, shape: fitShape(meta, shape, data.length, expected), data };
  });
}

function flatten(meta: TensorMetadata, value: unknown, expected: string): { shape: number[]; data: Tensor["data"] } {
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
    if (shape.length > 8) throw invalid(`Input "${meta.name}" is nested deeper than 8 levels.`, expected);
  }
  const data: Tensor["data"] = [];
  const visit = (part: unknown, depth: number): void => {
    if (depth === shape.length) {
      data.push(checkElement(meta, part, expected));
      if (data.length > MAX_ELEMENTS)
        throw invalid(`Input "${meta.name}" has more than ${MAX_ELEMENTS} elements.`, expected);
      return;
    }
    if (!Array.isArray(part) || part.length !== shape[depth])
      throw invalid(`Input "${meta.name}" is ragged: every row must have the same length.`, expected);
    for (const item of part) visit(item, depth + 1);
  };
  visit(value, 0);
  return { shape, data };
}

function checkElement(meta: TensorMetadata, value: unknown, expected: string): number | boolean | string {
  const range = INTEGER_RANGES[meta.datatype];
  const fits =
    meta.datatype === "BOOL"
      ? typeof value === "boolean"
      : meta.datatype === "BYTES"
        ? typeof value === "string" && value.isWellFormed()
        : range === undefined
          ? typeof value === "number" && Number.isFinite(value)
          : Number.isInteger(value) && (value as number) >= range[0] && (value as number) <= range[1];
  if (!fits) throw invalid(`Input "${meta.name}" holds a value that is not ${meta.datatype}.`, expected);
  return value as number | boolean | string;
}

function fitShape(meta: TensorMetadata, shape: number[], count: number, expected: string): number[] {
  const matches =
    shape.length === meta.shape.length && shape.every((size, i) => meta.shape[i] === -1 || meta.shape[i] === size);
  if (matches && count > 0) return shape;
  const fixed = meta.shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const free = meta.shape.filter((size) => size === -1).length;
  if (
    shape.length <= 1 &&
    free <= 1 &&
    count > 0 &&
    fixed > 0 &&
    count % fixed === 0 &&
    (free === 1 || count === fixed)
  )
    return meta.shape.map((size) => (size === -1 ? count / fixed : size));
  throw invalid(
    `Input "${meta.name}" has shape [${shape.join(",")}], the model takes [${meta.shape.join(",")}].`,
    expected,
  );
}

/** Row-major data as nested arrays; a leading dimension of 1 (a batch of one) is dropped. */
export function nest(shape: readonly number[], data: readonly unknown[]): unknown {
  const dims = shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape;
  const build = (depth: number, offset: number, size: number): unknown => {
    const dim = dims[depth];
    if (dim === undefined) return data[offset];
    const step = size / dim;
    return Array.from({ length: dim }, (_, index) => build(depth + 1, offset + index * step, step));
  };
  return build(0, 0, data.length);
}
