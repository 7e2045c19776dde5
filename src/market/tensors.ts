import { Proof402Error } from "../errors.ts";
import { readElement, type OipTensor, type TensorElement } from "../evidence/oip-tensors.ts";
import type { TensorMetadata } from "./types.ts";

const MAX_ELEMENTS = 100_000;

const invalid = (message: string, next: string): Proof402Error => new Proof402Error("invalid_input", message, { next });

/**
 * Turns an agent's `{tensorName: (nested) array}` into typed tensors.
 * A flat array is accepted where the metadata leaves one dimension free or its length fits exactly.
 * Throws Proof402Error `invalid_input` that names the tensor and what it should look like.
 */
export function toTensors(metadata: readonly TensorMetadata[], input: Record<string, unknown>): OipTensor[] {
  const expected = `Give ${metadata.map((m) => `${m.name}: ${m.datatype}[${m.shape.join(",")}]`).join(", ")}.`;
  const extra = Object.keys(input).find((name) => !metadata.some((m) => m.name === name));
  if (extra !== undefined) throw invalid(`The model has no input "${extra.slice(0, 64)}".`, expected);
  const given = metadata.filter((meta) => meta.optional !== true || Object.hasOwn(input, meta.name));
  return given.map((meta) => {
    if (!Object.hasOwn(input, meta.name)) throw invalid(`Input "${meta.name}" is missing.`, expected);
    const { shape, data } = flatten(meta, input[meta.name], expected);
    return { name: meta.name, datatype: meta.datatype, shape: fitShape(meta, shape, data.length, expected), data };
  });
}

function flatten(meta: TensorMetadata, value: unknown, expected: string): { shape: number[]; data: TensorElement[] } {
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
    if (shape.length > 8) throw invalid(`Input "${meta.name}" is nested deeper than 8 levels.`, expected);
  }
  const data: TensorElement[] = [];
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

/** What an agent gives for one element is finite: JSON, in which it is sent, has no other numbers. */
function checkElement(meta: TensorMetadata, value: unknown, expected: string): TensorElement {
  const isPlain = typeof value === "boolean" || typeof value === "string" || Number.isFinite(value);
  const element = isPlain ? readElement(meta.datatype, value) : undefined;
  const fits =
    typeof element === "string" ? element.isWellFormed() : element !== undefined && Number.isFinite(Number(element));
  if (!fits || element === undefined)
    throw invalid(`Input "${meta.name}" holds a value that is not ${meta.datatype}.`, expected);
  return element;
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

/**
 * Tensors as JSON. An integer that is held as text, because no double is exactly it, is written as the number it is:
 * servers read a tensor's integers as numbers.
 */
export const tensorsToJson = (tensors: readonly OipTensor[]): string =>
  `[${tensors.map(({ data, ...head }) => `${JSON.stringify(head).slice(0, -1)},"data":[${data.map((item) => elementToJson(head.datatype, item)).join(",")}]}`).join(",")}]`;

const elementToJson = (datatype: OipTensor["datatype"], item: TensorElement): string =>
  typeof item === "string" && datatype !== "BYTES" ? item : JSON.stringify(item);

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
