import { Proof402Error } from "../errors.ts";
import { combine, constant, ONE, valueOf, wire, type Linear } from "./linear.ts";
import type { Program } from "./program.ts";

/** a * b = c in the field. */
export type Constraint = { a: Linear; b: Linear; c: Linear };

/** How the wires that follow from others get their values, in order. */
type Filling =
  | { kind: "result"; wire: number; of: Linear }
  | { kind: "product"; wire: number; a: Linear; b: Linear }
  | { kind: "bits"; first: number; count: number; of: Linear };

/** A rank-1 constraint system of one model, and how to fill it. */
export type Circuit = {
  /** Wires 1 to this are public: results, inputs, the request's two halves, then weights where they are folded. */
  publics: number;
  wires: number;
  constraints: Constraint[];
  fillings: Filling[];
  results: number;
  inputs: number;
  /** The weights in the public wires after those, in fixed point. Empty where they are constants of the circuit. */
  weights: bigint[];
};

export type CircuitOptions = {
  /** Bits after the point of inputs, weights and hidden values; sums have twice as many. */
  scale: number;
  /** Sums are below 2^(this - 1) in magnitude. */
  accumulatorBits: number;
  /**
   * `folded`: weights are public signals, so that all models of one shape share a circuit and its setup; a multiplication
   * each. `constant`: weights are part of the circuit, which costs nothing in the proof and a setup per model.
   */
  weights: "folded" | "constant";
};

/** Largest weight in fixed point: far from where sums of products could wrap around in the field. */
const LARGEST_WEIGHT = 2 ** 40;

/**
 * Lays a program out as constraints: integer arithmetic that is exact in the field, as long as the verifier bounds the
 * public inputs and every sum is decomposed into `accumulatorBits` bits, of which there is only one way below 2^254.
 * Throws Proof402Error `model_not_provable` for a weight too large.
 */
export function buildCircuit(program: Program, { scale, accumulatorBits, weights: mode }: CircuitOptions): Circuit {
  const constraints: Constraint[] = [];
  const fillings: Filling[] = [];
  const weights: bigint[] = [];
  const results = program.results.reduce((sum, { count }) => sum + count, 0);
  const fixed = results + program.input.count + 2;
  // Weights come right after, and how many there are is known only when all were used: private wires are moved behind.
  const privateBase = 2 ** 40;
  let privates = 0;
  const fresh = (count = 1): number => {
    privates += count;
    return privateBase + privates - count;
  };
  const publicWeight = (value: bigint): Linear => {
    weights.push(value);
    return wire(fixed + weights.length);
  };
  const asWeight = (value: number, bits: number): bigint => {
    const rounded = Math.round(value * 2 ** bits);
    if (!(Math.abs(rounded) < LARGEST_WEIGHT))
      throw new Proof402Error("model_not_provable", "This model cannot be proved: a weight is too large.", {
        next: "Scale the model's features.",
      });
    return BigInt(rounded);
  };

  const times = (value: number, by: Linear): Linear => {
    const weight = asWeight(value, scale);
    if (mode === "constant") return combine([by, weight]);
    const [a, product] = [publicWeight(weight), fresh()];
    constraints.push({ a, b: by, c: wire(product) });
    fillings.push({ kind: "product", wire: product, a, b: by });
    return wire(product);
  };
  const bias = (value: number): Linear => {
    const weight = asWeight(value, 2 * scale);
    return mode === "constant" ? constant(weight) : publicWeight(weight);
  };

  /** The bits of a sum plus 2^(accumulatorBits - 1), lowest first. */
  const decompose = (sum: Linear): number[] => {
    const of = combine([sum, 1n], [constant(1n), 1n << BigInt(accumulatorBits - 1)]);
    const first = fresh(accumulatorBits);
    const bits = Array.from({ length: accumulatorBits }, (_, k) => first + k);
    for (const bit of bits)
      constraints.push({ a: wire(bit), b: combine([wire(bit), 1n], [constant(1n), -1n]), c: constant(0n) });
    constraints.push({ a: weighted(bits), b: constant(1n), c: of });
    fillings.push({ kind: "bits", first, count: accumulatorBits, of });
    return bits;
  };
  const weighted = (bits: readonly number[]): Linear => new Map(bits.map((bit, k) => [bit, 1n << BigInt(k)]));

  /** max(0, sum) without its lowest `drop` bits: the top bit says that the sum is not negative. */
  const relu = (sum: Linear, drop: number): Linear => {
    const bits = decompose(sum);
    const [a, b, product] = [wire(bits.at(-1) ?? ONE), weighted(bits.slice(drop, -1)), fresh()];
    constraints.push({ a, b, c: wire(product) });
    fillings.push({ kind: "product", wire: product, a, b });
    return wire(product);
  };
  /** floor(sum / 2^scale). */
  const rescale = (sum: Linear): Linear =>
    combine([weighted(decompose(sum).slice(scale)), 1n], [constant(1n), -(1n << BigInt(accumulatorBits - 1 - scale))]);

  type Value = { fine: boolean; numbers: Linear[] };
  const coarse = ({ fine, numbers }: Value): Linear[] => (fine ? numbers.map(rescale) : numbers);
  const fineOf = ({ fine, numbers }: Value): Linear[] =>
    fine ? numbers : numbers.map((one) => combine([one, 1n << BigInt(scale)]));
  const values: Value[] = [
    { fine: false, numbers: Array.from({ length: program.input.count }, (_, k) => wire(results + 1 + k)) },
  ];
  const valueAt = (at: number): Value => values[at] ?? { fine: false, numbers: [] };
  for (const step of program.steps) {
    const source = valueAt(step.of);
    switch (step.op) {
      case "dense": {
        const x = coarse(source);
        const row = (numbers: readonly number[], j: number): Linear =>
          combine(...numbers.map((weight, k): [Linear, bigint] => [times(weight, x[k] ?? constant(0n)), 1n]), [
            bias(step.bias[j] ?? 0),
            1n,
          ]);
        values.push({ fine: true, numbers: step.weights.map(row) });
        break;
      }
      case "scale": {
        const numbers = coarse(source).map((x, k) =>
          combine([times(step.weights[k] ?? 0, x), 1n], [bias(step.bias[k] ?? 0), 1n]),
        );
        values.push({ fine: true, numbers });
        break;
      }
      case "add": {
        const other = fineOf(valueAt(step.and));
        const numbers = fineOf(source).map((x, k) => combine([x, 1n], [other[k] ?? constant(0n), 1n]));
        values.push({ fine: true, numbers });
        break;
      }
      case "relu":
        values.push({ fine: false, numbers: source.numbers.map((sum) => relu(sum, source.fine ? scale : 0)) });
        break;
      default:
        step satisfies never;
    }
  }
  const proved = program.results.flatMap(({ value }) => fineOf(valueAt(value)));
  for (const [at, of] of proved.entries()) {
    constraints.push({ a: of, b: constant(1n), c: wire(1 + at) });
    fillings.push({ kind: "result", wire: 1 + at, of });
  }
  // The request's halves have no part in the arithmetic; in a constraint no setup may leave them out.
  for (const half of [fixed - 1, fixed]) {
    const square = fresh();
    constraints.push({ a: wire(half), b: wire(half), c: wire(square) });
    fillings.push({ kind: "product", wire: square, a: wire(half), b: wire(half) });
  }

  const publics = fixed + weights.length;
  const place = (number: number): number => (number < privateBase ? number : number - privateBase + publics + 1);
  const placed = (linear: Linear): Linear => new Map([...linear].map(([at, by]) => [place(at), by]));
  return {
    publics,
    wires: 1 + publics + privates,
    constraints: constraints.map(({ a, b, c }) => ({ a: placed(a), b: placed(b), c: placed(c) })),
    fillings: fillings.map((filling): Filling => {
      switch (filling.kind) {
        case "result":
          return { ...filling, of: placed(filling.of) };
        case "product":
          return { ...filling, wire: place(filling.wire), a: placed(filling.a), b: placed(filling.b) };
        case "bits":
          return { ...filling, first: place(filling.first), of: placed(filling.of) };
        default:
          return filling satisfies never;
      }
    }),
    results,
    inputs: program.input.count,
    weights,
  };
}

/**
 * The values of all wires for an input in fixed point and the request's two halves; signed, not reduced.
 * Throws Proof402Error `not_provable` where a sum has more bits than the circuit.
 */
export function fillCircuit(circuit: Circuit, input: readonly bigint[], request: readonly [bigint, bigint]): bigint[] {
  const values = Array.from({ length: circuit.wires }, () => 0n);
  values[ONE] = 1n;
  for (const [at, value] of [...input, ...request, ...circuit.weights].entries())
    values[1 + circuit.results + at] = value;
  for (const filling of circuit.fillings) {
    switch (filling.kind) {
      case "result":
        values[filling.wire] = valueOf(filling.of, values);
        break;
      case "product":
        values[filling.wire] = valueOf(filling.a, values) * valueOf(filling.b, values);
        break;
      case "bits": {
        const sum = valueOf(filling.of, values);
        if (sum < 0n || sum >> BigInt(filling.count) !== 0n)
          throw new Proof402Error("not_provable", "A value on the way is too large for the circuit.", {
            next: "Compile the model with more accumulator bits, or scale its features.",
          });
        for (let k = 0; k < filling.count; k += 1) values[filling.first + k] = (sum >> BigInt(k)) & 1n;
        break;
      }
      default:
        filling satisfies never;
    }
  }
  return values;
}
