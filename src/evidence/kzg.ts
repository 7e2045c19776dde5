import { bn254 } from "@noble/curves/bn254.js";
import { readG2, type G2Point } from "./bn254.ts";
import { concatBytes, fromHex, type Bytes } from "./bytes.ts";

const { Fp } = bn254.fields;
const G1 = bn254.G1.Point;
const G2 = bn254.G2.Point;

/** halo2curves keeps coordinates multiplied by this (Montgomery form) and writes them so where it writes "raw bytes". */
const MONTGOMERY = 1n << 256n;

/** A coordinate in halo2curves' raw bytes: Montgomery form, 32 bytes, the lowest first. */
const rawCoordinate = (value: bigint): Bytes =>
  fromHex(((value * MONTGOMERY) % Fp.ORDER).toString(16).padStart(64, "0")).reverse();

/** A point of G1 in halo2curves' raw bytes: x, y. Not for zero. */
export function rawG1(point: InstanceType<typeof G1>): Bytes {
  const { x, y } = point.toAffine();
  return concatBytes(rawCoordinate(x), rawCoordinate(y));
}

/** A point of G2 in halo2curves' raw bytes: x, y, of each the real part first. Not for zero. */
export function rawG2(point: G2Point): Bytes {
  const { x, y } = point.toAffine();
  return concatBytes(...[x.c0, x.c1, y.c0, y.c1].map(rawCoordinate));
}

/**
 * The smallest KZG parameters that check an opening (halo2 `ParamsKZG`, raw bytes): k = 0 as 32 bits, lowest byte first, then
 * the generator of G1 as the one power and as the one Lagrange basis, the generator of G2, and [s]G2. Checking uses
 * nothing else of a structured reference string, so that [s]G2 stands for all of it. `sG2` is EIP-197 bytes as hex; null
 * where it is no point of the group.
 */
export function kzgVerifierParams(sG2: string): Bytes | null {
  const point = readG2(sG2);
  if (point === null) return null;
  const generator = rawG1(G1.BASE);
  return concatBytes(new Uint8Array(4), generator, generator, rawG2(G2.BASE), rawG2(point));
}
