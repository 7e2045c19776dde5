import { Proof402Error } from "../../errors.ts";

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

/** A tensor, flattened in row-major order. */
export type Tensor = { name: string; datatype: Datatype; shape: number[]; data: TensorElement[] };

/** Tensor metadata of the Open Inference Protocol v2. -1 is a free dimension; an optional input may be left out. */
export type TensorMetadata = { name: string; datatype: Datatype; shape: number[]; optional?: boolean | undefined };

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

/**
 * Gives one element of a datatype in the form handed on, undefined if it does not fit. Accepts `NaN`, `Infinity`,
 * `"NaN"` and, from servers whose JSON lacks them, `null` for floats without a numeric value.
 */
export function readElement(datatype: Datatype, value: unknown): TensorElement | undefined {
  if (datatype === "BOOL") return typeof value === "boolean" ? value : undefined;
  if (datatype === "BYTES") return typeof value === "string" ? value : undefined;
  const range = INTEGERS[datatype];
  return range === undefined ? readReal(value) : readInteger(value, range);
}

/** Whether a datatype is of floating point, whose elements may differ from machine to machine. */
export const isReal = (datatype: string): boolean => datatype.startsWith("FP") || datatype === "BF16";

function readReal(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (value === null) return Number.NaN;
  if (typeof value !== "string") return undefined;
  if (/^[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?$/i.test(value)) return Number(value);
  if (/^nan$/i.test(value)) return Number.NaN;
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(value);
  return infinite === null ? undefined : infinite[1] === "-" ? -Infinity : Infinity;
}

/** An integer of a range, given as a number or as decimal text, or undefined. */
function readInteger(value: unknown, [least, most]: readonly [bigint, bigint]): number | string | undefined {
  const isText = typeof value === "string" && /^-?[0-9]{1,20}$/.test(value);
  if (!isText && !(typeof value === "number" && Number.isSafeInteger(value))) return undefined;
  const integer = BigInt(value);
  if (integer < least || integer > most) return undefined;
  return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer.toString();
}

const MAX_ELEMENTS = 100_000;

const invalid = (message: string, next: string): Proof402Error => new Proof402Error("invalid_input", message, { next });

/**
 * Turns an agent's `{tensorName: (nested) array}` into typed tensors. A flat array is accepted where the metadata
 * leaves one dimension free or its length fits exactly, and a text that lists numbers as a flat array. Throws Proof402Error
 * `invalid_input`, naming the tensor and its expected form.
 */
export function toTensors(metadata: readonly TensorMetadata[], input: Record<string, unknown>): Tensor[] {
  const expected = `Give ${metadata.map((m) => `${m.name}: ${m.datatype}[${m.shape.join(",")}]`).join(", ")}.`;
  const extra = Object.keys(input).find((name) => !metadata.some((m) => m.name === name));
  if (extra !== undefined) throw invalid(`The model has no input "${extra.slice(0, 64)}".`, expected);
  const given = metadata.filter((meta) => meta.optional !== true || Object.hasOwn(input, meta.name));
  return given.map((meta) => {
    if (!Object.hasOwn(input, meta.name)) throw invalid(`Input "${meta.name}" is missing.`, expected);
    const { shape, data } = flatten(meta, listed(meta, input[meta.name]), expected);
    return { name: meta.name, datatype: meta.datatype, shape: fitShape(meta, shape, data.length, expected), data };
  });
}

/** Some agents write a list of numbers as one text: `"0.1, 0.2"`, with brackets or without. A text of BYTES is an element. */
function listed({ datatype }: TensorMetadata, value: unknown): unknown {
  if (typeof value !== "string" || datatype === "BYTES") return value;
  return value
    .trim()
    .replace(/^\[([^[\]]*)\]$/, "$1")
    .split(",")
    .map((part) => part.trim());
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

/** Sizes as `nest` reads them: a leading dimension of 1 (a batch of one) is dropped. */
const nestedSizes = (shape: readonly number[]): readonly number[] =>
  shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape;

/**
 * How many arrays `nest` makes of a shape. A size of 0 ends the count: rows of no element are as many as the sizes before
 * it say, however little data there is.
 */
export function arraysIn(shape: readonly number[]): number {
  let arrays = 0;
  let rows = 1;
  for (const size of nestedSizes(shape)) {
    arrays += rows;
    if (size === 0) break;
    rows *= size;
  }
  return arrays;
}

/** Row-major data as nested arrays, of a shape whose sizes multiply to the data's length. */
export function nest(shape: readonly number[], data: readonly unknown[]): unknown {
  const sizes = nestedSizes(shape);
  const build = (depth: number, offset: number, length: number): unknown => {
    const size = sizes[depth];
    if (size === undefined) return data[offset];
    if (depth === sizes.length - 1) return data.slice(offset, offset + size);
    const step = size === 0 ? 0 : length / size;
    const rows: unknown[] = [];
    for (let row = 0; row < size; row += 1) rows.push(build(depth + 1, offset + row * step, step));
    return rows;
  };
  return build(0, 0, data.length);
}

/** An input of zeros for these tensors, free dimensions taken as one; null if all of them together would be too large. */
export function zeros(inputs: readonly TensorMetadata[]): Record<string, unknown> | null {
  const sized = inputs.map((input) => ({ ...input, shape: input.shape.map((size) => (size < 0 ? 1 : size)) }));
  const all = sized.reduce((sum, { shape }) => sum + arraysIn(shape) + countOf(shape), 0);
  if (!(all <= MAX_ELEMENTS)) return null;
  return Object.fromEntries(
    sized.map(({ name, datatype, shape }) => {
      const zero: TensorElement = datatype === "BYTES" ? "" : datatype === "BOOL" ? false : 0;
      return [name, nest(shape, Array<TensorElement>(countOf(shape)).fill(zero))];
    }),
  );
}

const countOf = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);
