import { Proof402Error } from "../../errors.ts";
import type { ProvedHead } from "../../evidence/groth16.ts";
import type { Attribute, Constant, OnnxNode } from "./onnx-file.ts";

/** A value that depends on the request: its number in the program, and the shape of one row of it, the batch left out. */
export type Row = { value: number; shape: readonly number[] };
export type Operand = Row | Constant;

export const notProvable = (what: string): Proof402Error =>
  new Proof402Error("model_not_provable", `This model cannot be proved: ${what}.`, {
    next: "Proved are chains of Gemm, MatMul, Add, Mul, Relu and reshapes with constants, ending in Softmax, Sigmoid, ArgMax or nothing.",
  });

const isConstant = (operand: Operand | undefined): operand is Constant => operand !== undefined && "data" in operand;
export const widthOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** The operands of a node, where there are as many as it takes. */
function exactly(node: OnnxNode, operands: readonly Operand[], count: number): readonly Operand[] {
  if (operands.length === count) return operands;
  throw notProvable(`${node.op} has ${operands.length} inputs`);
}

function rowOf(node: OnnxNode, operand: Operand | undefined): Row {
  if (operand !== undefined && !isConstant(operand)) return operand;
  throw notProvable(`${node.op} does not read one row of numbers`);
}

/** The one row that a node reads. */
export const onlyRow = (node: OnnxNode, operands: readonly Operand[]): Row =>
  rowOf(node, exactly(node, operands, 1)[0]);

/** Refuses attributes that are not known of an operator: they may mean anything. */
function known(node: OnnxNode, types: Readonly<Record<string, Attribute["type"]>>): void {
  for (const [name, { type }] of node.attributes)
    if (!Object.hasOwn(types, name) || types[name] !== type)
      throw notProvable(`${node.op} has the attribute "${name}"`);
}

function numberOf({ attributes }: OnnxNode, name: string, normally: number): number {
  const attribute = attributes.get(name);
  return attribute === undefined || attribute.type === "ints" ? normally : attribute.value;
}

/** `Relu`'s row. */
export function readRelu(node: OnnxNode, operands: readonly Operand[]): Row {
  known(node, {});
  return onlyRow(node, operands);
}

/** What `Add` and `Mul` combine: a row with a constant for each of its numbers, or two rows of one shape. */
export function readElementwise(
  node: OnnxNode,
  operands: readonly Operand[],
): { row: Row; each: number[] } | { row: Row; and: Row } {
  known(node, {});
  const [first, second] = exactly(node, operands, 2);
  if (isConstant(first) && !isConstant(second))
    return { row: rowOf(node, second), each: spread(first, rowOf(node, second).shape) };
  const row = rowOf(node, first);
  if (isConstant(second)) return { row, each: spread(second, row.shape) };
  const and = rowOf(node, second);
  if (node.op === "Add" && and.shape.join() === row.shape.join()) return { row, and };
  throw notProvable(`${node.op} of two inputs that both depend on the request`);
}

/** `Gemm` and `MatMul` of a row and a constant matrix: a row of weights and a bias for each result. */
export function readDense(
  node: OnnxNode,
  operands: readonly Operand[],
): { row: Row; weights: number[][]; bias: number[]; shape: readonly number[] } {
  const isGemm = node.op === "Gemm";
  known(node, isGemm ? { alpha: "float", beta: "float", transA: "int", transB: "int" } : {});
  const [first, matrix, added] = isGemm && operands.length === 3 ? operands : exactly(node, operands, 2);
  const row = rowOf(node, first);
  if (!isConstant(matrix) || matrix.type !== "float" || matrix.dims.length !== 2 || numberOf(node, "transA", 0) !== 0)
    throw notProvable(`${node.op} does not multiply a row by a constant matrix`);
  const [rows = 0, columns = 0] = matrix.dims;
  const turned = numberOf(node, "transB", 0) !== 0;
  const [inputs, results] = turned ? [columns, rows] : [rows, columns];
  const width = row.shape.at(-1);
  if (inputs !== width || width !== widthOf(row.shape) || (isGemm && row.shape.length !== 1))
    throw notProvable(`${node.op} expects ${inputs} numbers and gets the shape ${row.shape.join("x")}`);
  if (added !== undefined && !isConstant(added)) throw notProvable(`${node.op} adds what depends on the request`);
  const alpha = numberOf(node, "alpha", 1);
  const beta = numberOf(node, "beta", 1);
  const at = (result: number, from: number): number =>
    (matrix.data[turned ? result * columns + from : from * columns + result] ?? 0) * alpha;
  const numbers = <T>(count: number, make: (index: number) => T): T[] =>
    Array.from({ length: count }, (_, index) => make(index));
  return {
    row,
    weights: numbers(results, (result) => numbers(inputs, (from) => at(result, from))),
    bias: added === undefined ? numbers(results, () => 0) : spread(added, [results]).map((value) => value * beta),
    shape: [...row.shape.slice(0, -1), results],
  };
}

/** A constant for each number of a row's shape: one for all, or one each, and nothing that would make the shape larger. */
function spread({ type, dims, data }: Constant, shape: readonly number[]): number[] {
  const [only = 0] = data;
  const bare = (all: readonly number[]): string => all.slice(all.findIndex((dim) => dim !== 1)).join();
  if (type !== "float" || dims.length > shape.length + 1)
    throw notProvable("a constant has another type or more dimensions");
  if (data.length === 1) return Array.from({ length: widthOf(shape) }, () => only);
  if (data.length !== widthOf(shape) || bare(dims) !== bare(shape))
    throw notProvable(`a constant of shape ${dims.join("x")} meets ${shape.join("x")}`);
  return data;
}

/** The shape after a node that only names or reshapes one row: the batch stays in place. */
export function readReshape(node: OnnxNode, operands: readonly Operand[], opset: number): Row {
  switch (node.op) {
    case "Identity":
      known(node, {});
      return onlyRow(node, operands);
    case "Flatten": {
      known(node, { axis: "int" });
      const row = onlyRow(node, operands);
      if (place(node, numberOf(node, "axis", 1), row.shape.length + 1) !== 1) throw notProvable("Flatten mixes rows");
      return { ...row, shape: [widthOf(row.shape)] };
    }
    case "Reshape":
      return readNewShape(node, operands);
    default:
      return readAxes(node, operands, opset);
  }
}

function readNewShape(node: OnnxNode, operands: readonly Operand[]): Row {
  known(node, { allowzero: "int" });
  const [first, target] = exactly(node, operands, 2);
  const row = rowOf(node, first);
  if (
    !isConstant(target) ||
    target.type !== "int64" ||
    target.dims.length !== 1 ||
    numberOf(node, "allowzero", 0) !== 0
  )
    throw notProvable("Reshape has no constant shape");
  const [batch, ...rest] = target.data;
  const copied = rest.map((dim, at) => (dim === 0 ? (row.shape[at] ?? 0) : dim));
  const free = copied.filter((dim) => dim === -1).length;
  const given = widthOf(copied.filter((dim) => dim !== -1));
  const shape = copied.map((dim) => (dim === -1 ? widthOf(row.shape) / given : dim));
  // The batch is copied, or what is left over when the rest is a whole row.
  const keeps = batch === 0 || ((batch === -1 || batch === 1) && free === 0) || (batch === 1 && free === 1);
  if (
    !keeps ||
    free > 1 ||
    !shape.every((dim) => dim > 0 && Number.isInteger(dim)) ||
    widthOf(shape) !== widthOf(row.shape)
  )
    throw notProvable("Reshape does not keep rows apart");
  return { ...row, shape };
}

/** `Squeeze` and `Unsqueeze`: axes are an attribute before version 13 and an input from there on. */
function readAxes(node: OnnxNode, operands: readonly Operand[], opset: number): Row {
  const byInput = opset >= 13;
  known(node, byInput ? {} : { axes: "ints" });
  const [first, second] = exactly(node, operands, byInput ? 2 : 1);
  const row = rowOf(node, first);
  const attribute = node.attributes.get("axes");
  const given = byInput ? axesOf(second) : attribute?.type === "ints" ? attribute.value : null;
  if (given === null) throw notProvable(`${node.op} names no axes`);
  const all = [0, ...row.shape];
  const rank = node.op === "Squeeze" ? all.length : all.length + given.length;
  const axes = given.map((axis) => place(node, axis, rank));
  if (new Set(axes).size !== axes.length || axes.includes(0)) throw notProvable(`${node.op} moves the batch`);
  if (node.op === "Squeeze") {
    if (axes.some((axis) => all[axis] !== 1)) throw notProvable("Squeeze drops numbers");
    return { ...row, shape: all.filter((_, axis) => axis > 0 && !axes.includes(axis)) };
  }
  const kept = [...row.shape];
  const shape = Array.from({ length: rank }, (_, axis) =>
    axes.includes(axis) ? 1 : axis === 0 ? 0 : (kept.shift() ?? 0),
  );
  return { ...row, shape: shape.slice(1) };
}

const axesOf = (operand: Operand | undefined): number[] | null =>
  isConstant(operand) && operand.type === "int64" && operand.dims.length === 1 ? operand.data : null;

/** An axis as a place from the front. */
function place(node: OnnxNode, axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(at) && at >= 0 && at < rank) return at;
  throw notProvable(`${node.op} goes along axis ${axis}`);
}

const HEAD_ATTRIBUTES: Readonly<Record<Exclude<ProvedHead, "linear">, Readonly<Record<string, Attribute["type"]>>>> = {
  sigmoid: {},
  softmax: { axis: "int" },
  argmax: { axis: "int", keepdims: "int", select_last_index: "int" },
};

/** Checks that a head works on all numbers of a row, each row for itself. */
export function checkHead(node: OnnxNode, head: Exclude<ProvedHead, "linear">, { shape }: Row, opset: number): void {
  known(node, HEAD_ATTRIBUTES[head]);
  if (head === "sigmoid") return;
  const normally = head === "argmax" ? 0 : opset >= 13 ? -1 : 1;
  const axis = place(node, numberOf(node, "axis", normally), shape.length + 1);
  if (axis === 0 || shape[axis - 1] !== widthOf(shape)) throw notProvable(`${node.op} goes along axis ${axis}`);
  if (numberOf(node, "select_last_index", 0) !== 0) throw notProvable("ArgMax takes the last of equals");
}
