import { Proof402Error } from "../../errors.ts";
import { BN254_R, toField, type WEIGHTS } from "../../evidence/groth16.ts";
import { commitWeights, type CommittedWeight } from "./commitment.ts";
import { combine, constant, ONE, valueOf, wire, type Linear } from "./linear-combination.ts";
import type { Program } from "./program.ts";
import { createWires, signOf, weighted, type Constraint, type Filling, type Wires } from "./wires.ts";

/** A rank-1 constraint system of one model, and how to fill it. */
export type Circuit = {
  /** Wires 1 to this are public: results, inputs, the request's two halves, then the weights' commitment or folded weights. */
  publics: number;
  wires: number;
  constraints: Constraint[];
  fillings: Filling[];
  results: number;
  inputs: number;
  /** The public wire that is the commitment to the weights; null where they are public. */
  commitment: number | null;
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
   * each. `constant`: weights are part of the circuit, which costs nothing in the proof and a setup per model. Both show the
   * weights. `committed`: they stay secret behind a commitment, which takes tens of constraints a weight.
   */
  weights: (typeof WEIGHTS)[number];
  /** `committed` only: weights are below 2^(this - 1) in fixed point; biases have `scale` bits more. */
  weightBits: number;
};

/** Largest weight in fixed point: far from where sums of products could wrap around in the field. */
const LARGEST_WEIGHT = 2 ** 40;

/**
 * Lays a program out as constraints: integer arithmetic, exact in the field. The verifier bounds the public inputs, and
 * every sum is decomposed into `accumulatorBits` bits in the only way below 2^254. `opening` is the secret of committed
 * weights; without one they are committed to under 0. Throws Proof402Error `model_not_provable` for a weight too large.
 */
export function buildCircuit(program: Program, options: CircuitOptions, opening = 0n): Circuit {
  const { scale, accumulatorBits, weightBits, weights: mode } = options;
  const wires = createWires();
  const weights: bigint[] = [];
  const committed: CommittedWeight[] = [];
  const results = program.results.reduce((sum, { count }) => sum + count, 0);
  const [upper, lower] = [results + program.input.count + 1, results + program.input.count + 2];
  const commitment = mode === "committed" ? lower + 1 : null;
  const fixed = commitment ?? lower;

  /** A weight with this many bits after the point, as it stands in the circuit. */
  const weightOf = (value: number, point: number): Linear => {
    const weight = Math.round(value * 2 ** point);
    const bits = weightBits + point - scale;
    if (!(Math.abs(weight) < (mode === "committed" ? 2 ** (bits - 1) : LARGEST_WEIGHT)))
      throw new Proof402Error("model_not_provable", "This model cannot be proved: a weight is too large.", {
        next: "Scale the model's features, or compile committed weights with more bits.",
      });
    switch (mode) {
      case "constant":
        return constant(BigInt(weight));
      case "folded":
        // How many there are is known only when all were used, so private wires are moved behind them in the end.
        weights.push(BigInt(weight));
        return wire(fixed + weights.length);
      case "committed": {
        const linear = wires.given(BigInt(weight));
        committed.push({ linear, bits });
        return linear;
      }
      default:
        return mode satisfies never;
    }
  };
  const times = (value: number, by: Linear): Linear => {
    const weight = weightOf(value, scale);
    return mode === "constant" ? combine([by, weight.get(ONE) ?? 0n]) : wires.product(weight, by);
  };
  const bias = (value: number): Linear => weightOf(value, 2 * scale);

  /** max(0, sum) without its lowest `drop` bits: the top bit says that the sum is not negative. */
  const relu = (sum: Linear, drop: number): Linear => {
    const bits = wires.decompose(sum, accumulatorBits);
    return wires.product(signOf(bits), weighted(bits.slice(drop, -1)));
  };
  /** floor(sum / 2^scale). */
  const rescale = (sum: Linear): Linear =>
    combine(
      [weighted(wires.decompose(sum, accumulatorBits).slice(scale)), 1n],
      [constant(1n), -(1n << BigInt(accumulatorBits - 1 - scale))],
    );

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
  for (const [at, of] of proved.entries()) wires.publish(1 + at, of);
  // The request's halves have no part in the arithmetic; in a constraint no setup may leave them out.
  for (const half of [upper, lower]) wires.product(wire(half), wire(half));
  if (commitment !== null) wires.publish(commitment, commitWeights(wires, committed, opening));
  return { ...inPlace(wires, fixed + weights.length), results, inputs: program.input.count, commitment, weights };
}

/** Moves the private wires behind the public ones. */
function inPlace(wires: Wires, publics: number): Pick<Circuit, "publics" | "wires" | "constraints" | "fillings"> {
  const { constraints, fillings } = wires;
  const { base, count } = wires.privates();
  const place = (number: number): number => (number < base ? number : number - base + publics + 1);
  const placed = (linear: Linear): Linear => new Map([...linear].map(([at, by]) => [place(at), by]));
  return {
    publics,
    wires: 1 + publics + count,
    constraints: constraints.map(({ a, b, c }) => ({ a: placed(a), b: placed(b), c: placed(c) })),
    fillings: fillings.map((filling): Filling => {
      switch (filling.kind) {
        case "given":
          return { ...filling, wire: place(filling.wire) };
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
  };
}

/**
 * The values of all wires for an input in fixed point and the request's two halves; those of the arithmetic are signed.
 * Throws Proof402Error `not_provable` where a sum has more bits than the circuit.
 */
export function fillCircuit(circuit: Circuit, input: readonly bigint[], request: readonly [bigint, bigint]): bigint[] {
  const values = Array.from({ length: circuit.wires }, () => 0n);
  values[ONE] = 1n;
  for (const [at, value] of [...input, ...request, ...circuit.weights].entries())
    values[1 + circuit.results + at] = value;
  for (const filling of circuit.fillings) {
    switch (filling.kind) {
      case "given":
        values[filling.wire] = filling.value;
        break;
      case "result":
        values[filling.wire] = kept(valueOf(filling.of, values));
        break;
      case "product":
        values[filling.wire] = kept(valueOf(filling.a, values) * valueOf(filling.b, values));
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

/** Reads a small signed number as it is: a model's values always are small, a hash's never. */
const kept = (value: bigint): bigint => (value < BN254_R && value > -BN254_R ? value : toField(value));
