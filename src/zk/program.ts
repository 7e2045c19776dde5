import { Proof402Error } from "../errors.ts";
import type { ProvedHead, ProvedOutput } from "../evidence/groth16.ts";
import { readOnnx, type Constant, type OnnxNode } from "./onnx-file.ts";

/** A step of a program: reads earlier values by their number, makes the next one. Weights are what the file holds. */
export type Step =
  /** y = W x + b; a row per result. */
  | { op: "dense"; of: number; weights: number[][]; bias: number[] }
  /** y = w * x + b, number by number. */
  | { op: "scale"; of: number; weights: number[]; bias: number[] }
  | { op: "add"; of: number; and: number }
  | { op: "relu"; of: number };

/** What a model computes for one row of its one input. Value 0 is the input; step k makes value k + 1. */
export type Program = {
  input: { name: string; count: number };
  steps: Step[];
  /** The values that outputs are made of, in the order in which they are proved. */
  results: { value: number; count: number }[];
  outputs: ProvedOutput[];
};

const HEADS: Readonly<Record<string, ProvedHead>> = { Softmax: "softmax", Sigmoid: "sigmoid", ArgMax: "argmax" };
/** Operators that only name or reshape one row. */
const SAME = new Set(["Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze"]);

const notProvable = (what: string): Proof402Error =>
  new Proof402Error("model_not_provable", `This model cannot be proved: ${what}.`, {
    next: "Proved are chains of Gemm, MatMul, Add, Mul, Relu and reshapes with constants, ending in Softmax, Sigmoid, ArgMax or nothing.",
  });

/**
 * The program of an ONNX file with one FP32 input of shape [N, count].
 * Throws Proof402Error `model_unreadable` or `model_not_provable`.
 */
export function readProgram(file: Uint8Array): Program {
  const graph = readOnnx(file);
  const [input] = graph.inputs;
  const count = input?.dims[1];
  if (graph.inputs.length !== 1 || input?.dims.length !== 2 || typeof count !== "number")
    throw notProvable("it does not have one input of shape [N, count]");

  const steps: Step[] = [];
  const counts = [count];
  const values = new Map<string, number>([[input.name, 0]]);
  const heads = new Map<string, { head: ProvedHead; of: number }>();
  const push = (step: Step, width: number): number => {
    steps.push(step);
    counts.push(width);
    return steps.length;
  };
  const widthOf = (value: number): number => counts[value] ?? 0;

  for (const node of graph.nodes) {
    const [output = ""] = node.outputs;
    const source = node.inputs.find((name) => !graph.constants.has(name)) ?? "";
    // The largest probability is the largest number.
    const of = values.get(source) ?? (node.op === "ArgMax" ? heads.get(source)?.of : undefined);
    if (of === undefined) throw notProvable(`${node.op} reads "${source}", which is not one row of numbers`);
    const head = Object.hasOwn(HEADS, node.op) ? HEADS[node.op] : undefined;
    if (head !== undefined) {
      checkHead(node);
      heads.set(output, { head, of });
    } else if (SAME.has(node.op)) values.set(output, of);
    else values.set(output, compute(node, of));
  }

  function compute(node: OnnxNode, of: number): number {
    const width = widthOf(of);
    const constants = node.inputs.map((name) => graph.constants.get(name));
    switch (node.op) {
      case "Gemm":
      case "MatMul": {
        const { weights, bias } = readDense(node, constants, width);
        return push({ op: "dense", of, weights, bias }, weights.length);
      }
      case "Relu":
        return push({ op: "relu", of }, width);
      case "Add":
      case "Mul": {
        const constant = constants.find((one) => one !== undefined);
        if (constant !== undefined) {
          const each = spread(constant, width);
          const [weights, bias] = node.op === "Mul" ? [each, each.map(() => 0)] : [each.map(() => 1), each];
          return push({ op: "scale", of, weights, bias }, width);
        }
        const and = values.get(node.inputs[1] ?? "");
        if (node.op === "Add" && and !== undefined && widthOf(and) === width)
          return push({ op: "add", of, and }, width);
        throw notProvable(`${node.op} of two inputs that both depend on the request`);
      }
      default:
        throw notProvable(`it has the operator ${node.op}`);
    }
  }

  const results: Program["results"] = [];
  const outputs = graph.outputs.map((name): ProvedOutput => {
    const made = heads.get(name) ?? { head: "linear" as const, of: values.get(name) };
    const value = made.of;
    if (value === undefined) throw notProvable(`nothing in it makes the output "${name}"`);
    if (!results.some((one) => one.value === value)) results.push({ value, count: widthOf(value) });
    const before = results.slice(
      0,
      results.findIndex((one) => one.value === value),
    );
    return { name, head: made.head, from: before.reduce((sum, one) => sum + one.count, 0), count: widthOf(value) };
  });
  if (outputs.length === 0) throw notProvable("it has no output");
  return { input: { name: input.name, count }, steps, results, outputs };
}

/** A head works on a row's numbers, each row for itself. */
function checkHead({ op, attributes }: OnnxNode): void {
  const axis = attributes.get("axis") ?? (op === "ArgMax" ? 0 : -1);
  if (op !== "Sigmoid" && axis !== 1 && axis !== -1) throw notProvable(`${op} goes along axis ${axis}`);
}

function readDense(
  { op, attributes }: OnnxNode,
  [first, second, third]: readonly (Constant | undefined)[],
  width: number,
): { weights: number[][]; bias: number[] } {
  const flag = (name: string, normally: number): number => attributes.get(name) ?? normally;
  if (first !== undefined || second === undefined || second.dims.length !== 2 || flag("transA", 0) !== 0)
    throw notProvable(`${op} does not multiply a row by a constant matrix`);
  const [rows = 0, columns = 0] = second.dims;
  const turned = op === "Gemm" && flag("transB", 0) === 1;
  const [inputs, results] = turned ? [columns, rows] : [rows, columns];
  if (inputs !== width) throw notProvable(`${op} expects ${inputs} numbers and gets ${width}`);
  const alpha = op === "Gemm" ? flag("alpha", 1) : 1;
  const beta = op === "Gemm" ? flag("beta", 1) : 1;
  const at = (result: number, from: number): number =>
    (second.data[turned ? result * columns + from : from * columns + result] ?? 0) * alpha;
  return {
    weights: Array.from({ length: results }, (_r, result) =>
      Array.from({ length: inputs }, (_i, from) => at(result, from)),
    ),
    bias:
      op === "Gemm" && third !== undefined
        ? spread(third, results).map((value) => value * beta)
        : Array.from({ length: results }, () => 0),
  };
}

/** A constant for each of `width` numbers: one for all, or one each. */
function spread({ data }: Constant, width: number): number[] {
  const [only] = data;
  if (data.length === 1 && only !== undefined) return Array.from({ length: width }, () => only);
  if (data.length !== width) throw notProvable(`a constant of ${data.length} numbers meets ${width}`);
  return data;
}

/** The results of a program in floating point, as the model itself computes them before its heads. */
export function evaluate({ steps, results }: Program, input: readonly number[]): number[] {
  const values: (readonly number[])[] = [input];
  const valueAt = (at: number): readonly number[] => values[at] ?? [];
  for (const step of steps) {
    const x = valueAt(step.of);
    switch (step.op) {
      case "dense":
        values.push(
          step.weights.map((row, j) => row.reduce((sum, weight, k) => sum + weight * (x[k] ?? 0), step.bias[j] ?? 0)),
        );
        break;
      case "scale":
        values.push(x.map((value, k) => value * (step.weights[k] ?? 0) + (step.bias[k] ?? 0)));
        break;
      case "add":
        values.push(x.map((value, k) => value + (valueAt(step.and)[k] ?? 0)));
        break;
      case "relu":
        values.push(x.map((value) => Math.max(0, value)));
        break;
      default:
        step satisfies never;
    }
  }
  return results.flatMap(({ value }) => valueAt(value));
}
