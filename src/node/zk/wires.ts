import { combine, constant, ONE, wire, type Linear } from "./linear-combination.ts";

/** a * b = c in the field. */
export type Constraint = { a: Linear; b: Linear; c: Linear };

/** How the wires that follow from others get their values, in order. */
export type Filling =
  | { kind: "given"; wire: number; value: bigint }
  | { kind: "result"; wire: number; of: Linear }
  | { kind: "product"; wire: number; a: Linear; b: Linear }
  | { kind: "bits"; first: number; count: number; of: Linear };

/** Constraints as they are laid out, with the wires that they need. */
export type Wires = {
  constraints: Constraint[];
  fillings: Filling[];
  /** A private wire of this value, bound only by its uses. */
  given(value: bigint): Linear;
  /** A private wire that is the product. */
  product(a: Linear, b: Linear): Linear;
  /** Binds a public wire to a sum. */
  publish(at: number, of: Linear): void;
  /** The bits of a sum plus 2^(count - 1), lowest first: there is one way only, as long as 2^count is below the field's order. */
  decompose(sum: Linear, count: number): number[];
  /** Private wires are numbered from here until it is known how many public ones stand before them. */
  privates(): { base: number; count: number };
};

const PRIVATE_BASE = 2 ** 40;

export function createWires(): Wires {
  const constraints: Constraint[] = [];
  const fillings: Filling[] = [];
  let privates = 0;
  const fresh = (count = 1): number => {
    privates += count;
    return PRIVATE_BASE + privates - count;
  };
  return {
    constraints,
    fillings,
    given(value) {
      const at = fresh();
      fillings.push({ kind: "given", wire: at, value });
      return wire(at);
    },
    product(a, b) {
      const at = fresh();
      constraints.push({ a, b, c: wire(at) });
      fillings.push({ kind: "product", wire: at, a, b });
      return wire(at);
    },
    publish(at, of) {
      constraints.push({ a: of, b: constant(1n), c: wire(at) });
      fillings.push({ kind: "result", wire: at, of });
    },
    decompose(sum, count) {
      const of = combine([sum, 1n], [constant(1n), 1n << BigInt(count - 1)]);
      const first = fresh(count);
      const bits = Array.from({ length: count }, (_, k) => first + k);
      for (const bit of bits)
        constraints.push({ a: wire(bit), b: combine([wire(bit), 1n], [constant(1n), -1n]), c: constant(0n) });
      constraints.push({ a: weighted(bits), b: constant(1n), c: of });
      fillings.push({ kind: "bits", first, count, of });
      return bits;
    },
    privates: () => ({ base: PRIVATE_BASE, count: privates }),
  };
}

/** The number that bits make, lowest first. */
export const weighted = (bits: readonly number[]): Linear => new Map(bits.map((bit, k) => [bit, 1n << BigInt(k)]));

/** The highest of decomposed bits: one where the sum is not negative. */
export const signOf = (bits: readonly number[]): Linear => wire(bits.at(-1) ?? ONE);
