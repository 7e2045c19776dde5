import { combine, constant, type Linear } from "./linear-combination.ts";
import { POSEIDON_INPUTS, poseidonWires } from "./poseidon.ts";
import type { Wires } from "./wires.ts";

/** A number below this has one form in the field, even if packed from others. */
const PACKED_BITS = 253;

/** Hex digits of an opening: 31 bytes, so that each is a number below the field's order. */
export const OPENING = /^[0-9a-f]{62}$/;
/** The number of an opening. Weights that are public have none. */
export const openingOf = (opening: string | undefined): bigint => (opening === undefined ? 0n : BigInt(`0x${opening}`));

/** A private weight: its wire, and bits enough for it and its sign. */
export type CommittedWeight = { linear: Linear; bits: number };

/**
 * Commits to weights without showing them: each is bounded, as many as fit are packed into a number, and a chain of hashes
 * over those numbers begins at the opening, a secret that keeps anyone from trying weights out. How many there are, and in
 * what order, is the circuit's own shape, so two sets of weights never pack into the same numbers.
 */
export function commitWeights(wires: Wires, weights: readonly CommittedWeight[], opening: bigint): Linear {
  const packed: Linear[] = [];
  let parts: [Linear, bigint][] = [];
  let filled = 0;
  const close = (): void => {
    if (parts.length > 0) packed.push(combine(...parts));
    [parts, filled] = [[], 0];
  };
  for (const { linear, bits } of weights) {
    wires.decompose(linear, bits);
    if (filled + bits > PACKED_BITS) close();
    const positive = combine([linear, 1n], [constant(1n), 1n << BigInt(bits - 1)]);
    parts.push([positive, 1n << BigInt(filled)]);
    filled += bits;
  }
  close();
  let chain = wires.given(opening);
  const fresh = POSEIDON_INPUTS - 1;
  for (let at = 0; at === 0 || at < packed.length; at += fresh) {
    const block = Array.from({ length: fresh }, (_, k) => packed[at + k] ?? constant(0n));
    chain = poseidonWires(wires, [chain, ...block]);
  }
  return chain;
}
