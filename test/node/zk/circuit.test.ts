import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BN254_R, quantiseInput, toField, WEIGHTS } from "../../../src/evidence/groth16.ts";
import { loadModel } from "../../../src/onnx/inference.ts";
import { buildCircuit, fillCircuit, type Circuit, type CircuitOptions } from "../../../src/node/zk/circuit.ts";
import { evaluateFixed, sampleInputs } from "../../../src/node/zk/fixed-point.ts";
import { valueOf } from "../../../src/node/zk/linear-combination.ts";
import { evaluate, readProgram, type Program } from "../../../src/node/zk/program.ts";
import type { Constraint } from "../../../src/node/zk/wires.ts";
import { cases, isBrief } from "../../support/campaign.ts";
import { MODELS, readModel } from "../../support/proof.ts";
import { onnxOf } from "../../support/onnx-files.ts";

const OPTIONS: CircuitOptions = { scale: 16, accumulatorBits: 44, weights: "folded", weightBits: 24 };
const fill = (circuit: Circuit, input: readonly number[]): bigint[] =>
  fillCircuit(
    circuit,
    input.map((value) => quantiseInput(value, OPTIONS.scale)!),
    [3n, 4n],
  );
const anyBroken = (constraints: readonly Constraint[], values: readonly bigint[]): boolean =>
  constraints.some(({ a, b, c }) => toField(valueOf(a, values) * valueOf(b, values) - valueOf(c, values)) !== 0n);
const isBroken = (circuit: Circuit, values: readonly bigint[]): boolean => anyBroken(circuit.constraints, values);
/** The constraints that each wire stands in. */
function constraintsByWire({ wires, constraints }: Circuit): Constraint[][] {
  const touching: Constraint[][] = Array.from({ length: wires }, () => []);
  for (const one of constraints)
    for (const at of new Set([one.a, one.b, one.c].flatMap((linear) => [...linear.keys()]))) touching[at]?.push(one);
  return touching;
}
const resultsOf = (circuit: Circuit, values: readonly bigint[]): number[] =>
  values.slice(1, 1 + circuit.results).map((value) => Number(value) / 2 ** (2 * OPTIONS.scale));

describe.each(MODELS)("%s", (name) => {
  test.each(WEIGHTS)("%s weights: the constraints hold and give the fixed-point results", async (weights) => {
    const program = readProgram(await readModel(name));
    const circuit = buildCircuit(program, { ...OPTIONS, weights });
    for (const input of sampleInputs(cases(4, 50, 12), program.input.count, 2)) {
      const values = fill(circuit, input);
      expect(isBroken(circuit, values)).toBe(false);
      expect(resultsOf(circuit, values)).toEqual(evaluateFixed(program, input, OPTIONS.scale));
    }
  });

  // Commitments have tens of constraints a weight: in a test run one model's are walked.
  test.each(isBrief && name !== MODELS[0] ? (["constant"] as const) : (["constant", "committed"] as const))(
    "every wire counts, %s weights: one more or one less anywhere breaks a constraint",
    async (weights) => {
      const program = readProgram(await readModel(name));
      const circuit = buildCircuit(program, { ...OPTIONS, weights }, 99n);
      const values = fill(circuit, sampleInputs(1, program.input.count, 2)[0]!);
      const touching = constraintsByWire(circuit);
      const free = values.flatMap((value, at) => {
        const broken = [1n, -1n].map((by) => {
          values[at] = value + by;
          return anyBroken(touching[at] ?? [], values);
        });
        values[at] = value;
        return broken.every(Boolean) ? [] : [at];
      });
      expect(free).toEqual([]);
    },
  );

  test("agrees with the runtime on 1,000 random inputs", async () => {
    const models = join(import.meta.dirname, "../../../models");
    const model = await loadModel(models, { name, file: `${name}.onnx`, sha256: await digestOf(name) });
    const program = readProgram(await readModel(name));
    let agreeing = 0;
    let largest = 0;
    for (const input of sampleInputs(1000, program.input.count, 2)) {
      const answered = await model.run([
        { name: program.input.name, datatype: "FP32", shape: [1, input.length], data: input },
      ]);
      const results = evaluateFixed(program, input, OPTIONS.scale);
      const exact = evaluate(program, input);
      largest = Math.max(largest, ...results.map((value, at) => Math.abs(value - exact[at]!)));
      agreeing += answered.every((tensor) => sameDecision(program, tensor.name, results, tensor.data.map(Number)))
        ? 1
        : 0;
    }
    await model.close();
    // The figures that this measures are part of what it shows.
    process.stdout.write(
      `${name}: ${agreeing / 10} % of 1,000 decisions agree, largest difference of a result ${largest.toExponential(2)}\n`,
    );
    expect(agreeing).toBeGreaterThanOrEqual(990);
    expect(largest).toBeLessThan(0.01);
  });
});

/** Whether fixed point decides what the runtime answered: the same class, the same side of one half, a number as near as 0.01. */
function sameDecision(
  program: Program,
  name: string,
  results: readonly number[],
  answered: readonly number[],
): boolean {
  const { head, from, count } = program.outputs.find((output) => output.name === name)!;
  const own = results.slice(from, from + count);
  const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values));
  switch (head) {
    case "argmax":
      return answered[0] === largest(own);
    case "softmax":
      return largest(answered) === largest(own);
    case "sigmoid":
      return answered[0]! > 0.5 === own[0]! > 0;
    case "linear":
      return own.every((value, at) => Math.abs(value - answered[at]!) < 0.01);
    default:
      return head satisfies never;
  }
}

const digestOf = async (name: string): Promise<string> =>
  Buffer.from(await crypto.subtle.digest("SHA-256", Uint8Array.from(await readModel(name)))).toString("hex");

test("a negative sum cannot pass as a positive one: no other bits make the same sum", async () => {
  // The trap of 254-bit comparisons: x and x + r have the same residue. Here the bits end far below r.
  const program = readProgram(await readModel("eth-risk"));
  const circuit = buildCircuit(program, OPTIONS);
  const bits = circuit.fillings.filter(({ kind }) => kind === "bits");
  expect(bits.length).toBeGreaterThan(0);
  expect(bits.every((filling) => filling.kind === "bits" && 1n << BigInt(filling.count) < BN254_R)).toBe(true);
});

test("what is too large for the circuit is not proved wrongly but not at all", async () => {
  const program = readProgram(await readModel("eth-risk"));
  const circuit = buildCircuit(program, { ...OPTIONS, accumulatorBits: 20 });
  expect(() =>
    fill(
      circuit,
      Array.from({ length: 8 }, () => 2),
    ),
  ).toThrow(expect.objectContaining({ code: "not_provable" }));
});

describe("operators", () => {
  const graphs = {
    "MatMul and Add": onnxOf([
      { op: "MatMul", inputs: ["x", "w"], output: "m" },
      { op: "Add", inputs: ["m", "b"], output: "y" },
    ]),
    "Gemm after Gemm": onnxOf([
      { op: "Gemm", inputs: ["x", "w", "b"], output: "m" },
      { op: "Gemm", inputs: ["m", "v"], output: "y" },
    ]),
    "Mul, Relu and a residual Add": onnxOf([
      { op: "Mul", inputs: ["x", "s"], output: "m" },
      { op: "Relu", inputs: ["m"], output: "r" },
      { op: "Flatten", inputs: ["r"], output: "f" },
      { op: "Add", inputs: ["f", "x"], output: "y" },
    ]),
  };
  test.each(Object.entries(graphs))("%s computes what floating point does, to the last bits", (_name, file) => {
    const program = readProgram(file);
    const circuit = buildCircuit(program, OPTIONS);
    fc.assert(
      fc.property(fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 3, maxLength: 3 }), (input) => {
        const values = fill(circuit, input);
        const exact = evaluate(program, input);
        expect(isBroken(circuit, values)).toBe(false);
        expect(resultsOf(circuit, values)).toEqual(evaluateFixed(program, input, OPTIONS.scale));
        for (const [at, value] of resultsOf(circuit, values).entries())
          expect(Math.abs(value - exact[at]!)).toBeLessThan(0.002);
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ["an operator it does not know", onnxOf([{ op: "Sin", inputs: ["x"], output: "y" }])],
    ["a product of two inputs", onnxOf([{ op: "Mul", inputs: ["x", "x"], output: "y" }])],
    ["a matrix of another width", onnxOf([{ op: "MatMul", inputs: ["x", "wide"], output: "y" }])],
    ["an output that nothing makes", onnxOf([{ op: "Relu", inputs: ["x"], output: "z" }])],
  ])("%s is refused", (_what, file) => {
    expect(() => readProgram(file)).toThrow(expect.objectContaining({ code: "model_not_provable" }));
  });

  test("bytes that are no model are refused, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => readProgram(bytes)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^model_/) }));
      }),
    );
  });

  test("a model with any byte changed is read or refused, never worse", async () => {
    const file = await readModel("payroll-check");
    const codeOf = (changed: Uint8Array): unknown => {
      try {
        buildCircuit(readProgram(changed), OPTIONS);
        return "model_read";
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        expect(codeOf(file.with(at, file[at]! ^ by))).toMatch(/^model_/);
      }),
      { numRuns: cases(200, 5000) },
    );
  });
});
