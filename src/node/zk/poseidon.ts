import { grainGenConstants, poseidon } from "@noble/curves/abstract/poseidon.js";
import { bn254 } from "@noble/curves/bn254.js";
import { toField } from "../../evidence/groth16.ts";
import { combine, constant, type Linear } from "./linear-combination.ts";
import type { Wires } from "./wires.ts";

/** Numbers hashed at once. */
export const POSEIDON_INPUTS = 4;

/**
 * Poseidon over BN254's scalar field with x^5, width 5, 8 full and 60 partial rounds (eprint 2019/458, table 8), constants by
 * its Grain LFSR: the instance that circom's library calls Poseidon(4).
 */
const INSTANCE = { Fp: bn254.fields.Fr, t: POSEIDON_INPUTS + 1, roundsFull: 8, roundsPartial: 60, sboxPower: 5 };

let made: ReturnType<typeof grainGenConstants> | null = null;
/** Made at the first use: it takes tens of milliseconds. */
const constants = (): ReturnType<typeof grainGenConstants> => (made ??= grainGenConstants(INSTANCE));

/** The hash of four numbers below the field's order. */
export const poseidonOf = (inputs: readonly bigint[]): bigint =>
  poseidon({ ...INSTANCE, ...constants() })([0n, ...inputs])[0] ?? 0n;

/** The same as constraints: the wire sum that is the hash of four others. */
export function poseidonWires(wires: Wires, inputs: readonly Linear[]): Linear {
  const { mds, roundConstants } = constants();
  const power = (x: Linear): Linear => {
    const square = wires.product(x, x);
    return wires.product(wires.product(square, square), x);
  };
  let state: readonly Linear[] = [constant(0n), ...inputs];
  for (const [round, added] of roundConstants.entries()) {
    const before = round - INSTANCE.roundsFull / 2;
    const isFull = before < 0 || before >= INSTANCE.roundsPartial;
    const boxed = state
      .map((one, at) => combine([one, 1n], [constant(1n), added[at] ?? 0n]))
      .map((one, at) => (isFull || at === 0 ? power(one) : one));
    state = mds.map((row) => reduced(combine(...boxed.map((one, at) => [one, row[at] ?? 0n] as const))));
  }
  return state[0] ?? constant(0n);
}

/** Coefficients grow with each round unless they are kept below the field's order. */
const reduced = (linear: Linear): Linear => new Map([...linear].map(([at, by]) => [at, toField(by)]));
