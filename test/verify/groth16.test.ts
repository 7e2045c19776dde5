import { bn254 } from "@noble/curves/bn254.js";
import fc from "fast-check";
import { groth16 } from "snarkjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BN254_R } from "../../src/evidence/groth16.ts";
import { isProved } from "../../src/verify/computation/groth16.ts";
import { createProver } from "../../src/node/zk/prover.ts";
import { cases } from "../support/campaign.ts";
import { compiled, proveFor, snarkjsForm, words, type Proof } from "../support/proof.ts";

const FEATURES = [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21];
const MUTATIONS = cases(30, 1000, 150);
const prover = createProver();
let genuine: Proof;
beforeAll(async () => {
  const made = await compiled(prover, "eth-risk");
  genuine = { key: made.key, ...(await proveFor(prover, "eth-risk", made, FEATURES)) };
});
afterAll(() => prover.close());

const P = bn254.fields.Fp.ORDER;
const hexOf = (values: readonly bigint[]): string =>
  values.map((value) => value.toString(16).padStart(64, "0")).join("");

const accepts = async (one: Proof): Promise<{ ours: boolean; theirs: boolean }> => ({
  ours: isProved(one),
  theirs: await groth16.verify(...snarkjsForm(one)).catch(() => false),
});

/** Replaces the proof's word at a place; A has 0 and 1, B 2 to 5, C 6 and 7. */
const withWord = (at: number, change: (word: bigint) => bigint): Proof => ({
  ...genuine,
  proof: hexOf(words(genuine.proof).map((word, place) => (place === at ? change(word) : word))),
});

describe("a proof made by snarkjs", () => {
  test("verifies in both", async () => {
    expect(await accepts(genuine)).toEqual({ ours: true, theirs: true });
  });

  test("has one form only: its other forms are refused", () => {
    const coordinates = words(genuine.proof).map((_word, at) => isProved(withWord(at, (word) => word + P)));
    expect(coordinates).toEqual(Array.from({ length: 8 }, () => false));
    const signals = genuine.signals.map((signal, at) =>
      isProved({ ...genuine, signals: genuine.signals.with(at, String(BigInt(signal) + BN254_R)) }),
    );
    expect(signals).toEqual(genuine.signals.map(() => false));
  });

  test.each([
    ["A", 0, 2],
    ["B", 2, 6],
    ["C", 6, 8],
  ])("with %s zero is refused", (_name, from, to) => {
    const proof = hexOf(words(genuine.proof).map((word, at) => (at >= from && at < to ? 0n : word)));
    expect(isProved({ ...genuine, proof })).toBe(false);
  });

  test("with a point on the twist outside the subgroup is refused", () => {
    const { Fp2 } = bn254.fields;
    const { b } = bn254.G2.Point.CURVE();
    const right = (x: bigint) => Fp2.add(Fp2.pow(Fp2.create({ c0: x, c1: 0n }), 3n), b);
    const isSquare = (value: ReturnType<typeof right>): boolean => {
      try {
        Fp2.sqrt(value);
        return true;
      } catch {
        return false;
      }
    };
    const x = Array.from({ length: 40 }, (_, k) => BigInt(k + 1)).find((one) => isSquare(right(one)))!;
    const y = Fp2.sqrt(right(x));
    expect(Fp2.eql(Fp2.sqr(y), right(x))).toBe(true);
    const [a0, a1] = words(genuine.proof);
    const [c0, c1] = words(genuine.proof).slice(6);
    expect(isProved({ ...genuine, proof: hexOf([a0!, a1!, 0n, x, y.c1, y.c0, c0!, c1!]) })).toBe(false);
  });

  test("with the signs of A and B turned is still of the same statement, which is why nothing hangs on a proof's bytes", () => {
    const turned = hexOf(words(genuine.proof).map((word, at) => ([1, 4, 5].includes(at) ? P - word : word)));
    expect(isProved({ ...genuine, proof: turned })).toBe(true);
  });

  test(`changed anywhere is refused by both, ${MUTATIONS} times`, async () => {
    const key = genuine.key;
    const nibble = (text: string, at: number, by: number): string =>
      text.slice(0, at) + ((Number.parseInt(text[at]!, 16) + by) % 16).toString(16) + text.slice(at + 1);
    const by = fc.integer({ min: 1, max: 15 });
    const point = fc.constantFrom("alpha1", "beta2", "gamma2", "delta2");
    const mutation = fc.oneof(
      fc
        .tuple(fc.nat(511), by)
        .map(([at, change]): Proof => ({ ...genuine, proof: nibble(genuine.proof, at, change) })),
      fc
        .tuple(fc.nat(genuine.signals.length - 1), fc.bigInt({ min: 1n, max: BN254_R - 1n }))
        .map(([at, change]): Proof => ({
          ...genuine,
          signals: genuine.signals.with(at, String((BigInt(genuine.signals[at]!) + change) % BN254_R)),
        })),
      fc
        .tuple(point, fc.nat(127), by)
        .map(([name, at, change]): Proof => ({ ...genuine, key: { ...key, [name]: nibble(key[name], at, change) } })),
      fc.tuple(fc.nat(key.ic.length - 1), fc.nat(127), by).map(([which, at, change]): Proof => ({
        ...genuine,
        key: { ...key, ic: key.ic.with(which, nibble(key.ic[which]!, at, change)) },
      })),
    );
    // What only they accept would be a point of another form; what only we accept would be a hole.
    await fc.assert(
      fc.asyncProperty(mutation, async (changed) => {
        expect(await accepts(changed)).toEqual({ ours: false, theirs: false });
      }),
      { numRuns: MUTATIONS },
    );
  });

  test("of other weights of the same circuit is refused under this model's key", async () => {
    const other = await compiled(prover, "payroll-check", { weights: "folded" });
    const proof = await proveFor(prover, "payroll-check", other, FEATURES);
    expect(isProved({ key: other.key, ...proof })).toBe(true);
    expect(isProved({ key: genuine.key, ...proof })).toBe(false);
    expect(isProved({ key: { ...genuine.key, ic: genuine.key.ic.with(0, other.key.ic[0]!) }, ...proof })).toBe(false);
  });
});
