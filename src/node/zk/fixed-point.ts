import { quantiseInput } from "../../evidence/groth16.ts";
import { evaluate, type Program } from "./program.ts";

/** Distance between fixed point and floating point, measured on inputs drawn from the same seed each time. */
export type Sample = { count: number; range: number; largestDifference: number };

/** A program's results in fixed point as floats, for inputs whose sums stay below 2^53: for measuring, not for proving. */
export function evaluateFixed(program: Program, input: readonly number[], scale: number): number[] {
  const one = 2 ** scale;
  const rounded = (value: number, bits: number): number => Math.round(value * 2 ** bits);
  type Value = { fine: boolean; numbers: readonly number[] };
  const coarse = ({ fine, numbers }: Value): readonly number[] =>
    fine ? numbers.map((sum) => Math.floor(sum / one)) : numbers;
  const fine = (value: Value): readonly number[] => (value.fine ? value.numbers : value.numbers.map((x) => x * one));
  const values: Value[] = [{ fine: false, numbers: input.map((x) => Number(quantiseInput(x, scale) ?? Number.NaN)) }];
  const valueAt = (at: number): Value => values[at] ?? { fine: false, numbers: [] };
  for (const step of program.steps) {
    const source = valueAt(step.of);
    switch (step.op) {
      case "dense": {
        const x = coarse(source);
        const row = (weights: readonly number[], j: number): number =>
          weights.reduce((sum, w, k) => sum + rounded(w, scale) * (x[k] ?? 0), rounded(step.bias[j] ?? 0, 2 * scale));
        values.push({ fine: true, numbers: step.weights.map(row) });
        break;
      }
      case "scale": {
        const number = (x: number, k: number): number =>
          rounded(step.weights[k] ?? 0, scale) * x + rounded(step.bias[k] ?? 0, 2 * scale);
        values.push({ fine: true, numbers: coarse(source).map(number) });
        break;
      }
      case "add": {
        const other = fine(valueAt(step.and));
        values.push({ fine: true, numbers: fine(source).map((x, k) => x + (other[k] ?? 0)) });
        break;
      }
      case "relu":
        values.push({ fine: false, numbers: coarse(source).map((x) => Math.max(0, x)) });
        break;
      default:
        step satisfies never;
    }
  }
  return program.results.flatMap(({ value }) => fine(valueAt(value)).map((x) => x / 2 ** (2 * scale)));
}

/** Uniform inputs from a seed (mulberry32), a fixed one where none is given, so that a compilation can be repeated. */
export function sampleInputs(count: number, width: number, range: number, seed = 0x402): number[][] {
  let state = seed;
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const input = (): number[] => Array.from({ length: width }, () => Math.fround((2 * random() - 1) * range));
  return Array.from({ length: count }, input);
}

/** The largest difference between fixed-point and floating-point results on a sample. */
export function measureDifference(
  program: Program,
  { scale, count, range }: { scale: number; count: number; range: number },
): Sample {
  let largestDifference = 0;
  for (const input of sampleInputs(count, program.input.count, range)) {
    const exact = evaluate(program, input);
    for (const [at, value] of evaluateFixed(program, input, scale).entries())
      largestDifference = Math.max(largestDifference, Math.abs(value - (exact[at] ?? Number.NaN)));
  }
  return { count, range, largestDifference };
}
