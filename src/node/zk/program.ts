import type { ProvedOutput } from "../../evidence/groth16.ts";
import { readOnnx, type OnnxNode } from "./onnx-file.ts";
import {
  checkHead,
  notProvable,
  onlyRow,
  readDense,
  readElementwise,
  readRelu,
  readReshape,
  widthOf,
  type Operand,
  type Row,
} from "./operators.ts";

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
  /** The values that make up the outputs, in the order of the proof. */
  results: { value: number; count: number }[];
  outputs: ProvedOutput[];
};

const HEADS = { Softmax: "softmax", Sigmoid: "sigmoid", ArgMax: "argmax" } as const;
type Head = (typeof HEADS)[keyof typeof HEADS];
const headOf = (op: string): Head | undefined =>
  Object.hasOwn(HEADS, op) ? HEADS[op as keyof typeof HEADS] : undefined;

/**
 * The program of an ONNX file with one FP32 input of shape [N, count]. Refuses a node not understood to its last
 * attribute, so that the circuit computes the same as the runtime. Throws Proof402Error `model_not_provable`, or the
 * codes of `checkModelFile`.
 */
export function readProgram(file: Uint8Array): Program {
  const graph = readOnnx(file);
  const [input] = graph.inputs;
  const count = input?.dims[1];
  if (graph.inputs.length !== 1 || input?.dims.length !== 2 || typeof count !== "number" || !(count > 0))
    throw notProvable("it does not have one input of shape [N, count]");

  const steps: Step[] = [];
  const rows = new Map<string, Row>([[input.name, { value: 0, shape: [count] }]]);
  const heads = new Map<string, { head: Head; row: Row }>();
  const push = (step: Step, shape: readonly number[]): Row => {
    steps.push(step);
    return { value: steps.length, shape };
  };
  for (const node of graph.nodes) {
    const head = headOf(node.op);
    if (head === undefined) rows.set(node.output, compute(node, operandsOf(node)));
    else heads.set(node.output, { head, row: rowUnder(head, node) });
  }

  function operandsOf({ op, inputs }: OnnxNode): Operand[] {
    // An input that is left out at the end has no name.
    const named = inputs.at(-1) === "" ? inputs.slice(0, -1) : inputs;
    return named.map((name) => {
      const operand = graph.constants.get(name) ?? rows.get(name);
      if (operand === undefined) throw notProvable(`${op} reads "${name}", which is not one row of numbers`);
      return operand;
    });
  }

  function rowUnder(head: Head, node: OnnxNode): Row {
    const [name = ""] = node.inputs;
    const below = heads.get(name);
    // The largest probability is the largest number.
    const row =
      head === "argmax" && below?.head === "softmax" && node.inputs.length === 1
        ? below.row
        : onlyRow(node, operandsOf(node));
    checkHead(node, head, row, graph.opset);
    return row;
  }

  function compute(node: OnnxNode, operands: readonly Operand[]): Row {
    switch (node.op) {
      case "Identity":
      case "Flatten":
      case "Reshape":
      case "Squeeze":
      case "Unsqueeze":
        return readReshape(node, operands, graph.opset);
      case "Gemm":
      case "MatMul": {
        const { row, weights, bias, shape } = readDense(node, operands);
        return push({ op: "dense", of: row.value, weights, bias }, shape);
      }
      case "Relu": {
        const row = readRelu(node, operands);
        return push({ op: "relu", of: row.value }, row.shape);
      }
      case "Add":
      case "Mul": {
        const { row, ...other } = readElementwise(node, operands);
        if ("and" in other) return push({ op: "add", of: row.value, and: other.and.value }, row.shape);
        const { each } = other;
        const [weights, bias] = node.op === "Mul" ? [each, each.map(() => 0)] : [each.map(() => 1), each];
        return push({ op: "scale", of: row.value, weights, bias }, row.shape);
      }
      default:
        throw notProvable(`it has the operator ${node.op}`);
    }
  }

  const results: Program["results"] = [];
  const outputs = graph.outputs.map((name): ProvedOutput => {
    const { head, row } = heads.get(name) ?? { head: "linear" as const, row: rows.get(name) };
    if (row === undefined) throw notProvable(`nothing in it makes the output "${name}"`);
    const width = widthOf(row.shape);
    if (!results.some((one) => one.value === row.value)) results.push({ value: row.value, count: width });
    const before = results.slice(
      0,
      results.findIndex((one) => one.value === row.value),
    );
    return { name, head, from: before.reduce((sum, one) => sum + one.count, 0), count: width };
  });
  if (outputs.length === 0) throw notProvable("it has no output");
  return { input: { name: input.name, count }, steps, results, outputs };
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
