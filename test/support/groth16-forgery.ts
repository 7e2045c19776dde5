import { bn254 } from "@noble/curves/bn254.js";
import type { Groth16Key } from "../../src/evidence/groth16.ts";

const word = (value: bigint): string => value.toString(16).padStart(64, "0");
export const g1 = (factor: bigint): string => {
  const { x, y } = bn254.G1.Point.BASE.multiply(factor).toAffine();
  return word(x) + word(y);
};
const g2 = (factor: bigint): string => {
  const { x, y } = bn254.G2.Point.BASE.multiply(factor).toAffine();
  return [x.c1, x.c0, y.c1, y.c0].map(word).join("");
};
const { Fr } = bn254.fields;

/** What the maker of a development setup knows, and can prove anything with. */
export const SECRET = { alpha: 3n, beta: 5n, gamma: 7n, delta: 11n, ic: [2n, 13n, 17n, 19n, 23n, 29n, 31n, 37n] };
/** The key of that setup, of a model that gives two numbers for two. */
export const keyOf = (changes: Partial<Groth16Key> = {}): Groth16Key => {
  const signals = 2 + 2 + 2 + ((changes.commitment ?? null) === null ? 0 : 1);
  return {
    type: "proof402/groth16-key",
    version: 1,
    curve: "bn254",
    setup: "ceremony",
    modelSha256: "5a".repeat(32),
    commitment: null,
    scale: 4,
    accumulatorBits: 64,
    input: { name: "x", count: 2 },
    outputs: [{ name: "y", head: "linear", from: 0, count: 2 }],
    results: 2,
    tolerance: 0.5,
    largestDifference: 0.25,
    sample: { count: 10, range: 1 },
    alpha1: g1(SECRET.alpha),
    beta2: g2(SECRET.beta),
    gamma2: g2(SECRET.gamma),
    delta2: g2(SECRET.delta),
    ic: SECRET.ic.slice(0, signals + 1).map(g1),
    ...changes,
  };
};
/** A proof of any signals, as only that maker can make one. */
export function forged(signals: readonly string[]): string {
  const [a, b] = [41n, 43n];
  const { alpha, beta, gamma, delta, ic } = SECRET;
  const inputs = signals.reduce((sum, signal, at) => sum + BigInt(signal) * ic[at + 1]!, ic[0]!);
  const c = Fr.div(Fr.create(a * b - alpha * beta - inputs * gamma), delta);
  return g1(a) + g2(b) + g1(c);
}
