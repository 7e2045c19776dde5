import { bn254 } from "@noble/curves/bn254.js";

const { Fp } = bn254.fields;
const G1 = bn254.G1.Point;
const G2 = bn254.G2.Point;

/** A point of either group, never its zero. */
export type G1Point = InstanceType<typeof G1>;
export type G2Point = InstanceType<typeof G2>;

/** Hex digits of one coordinate. */
const DIGITS = 64;

/** Coordinates of EIP-197 bytes as hex; null where the length is another or one is not below the modulus. */
function coordinates(hex: string, count: number): bigint[] | null {
  if (hex.length !== count * DIGITS || !/^[0-9a-f]*$/.test(hex)) return null;
  const values = Array.from({ length: count }, (_, at) => BigInt(`0x${hex.slice(at * DIGITS, (at + 1) * DIGITS)}`));
  return values.every((value) => value < Fp.ORDER) ? values : null;
}

/** A point of G1 (EIP-196): below the modulus, on the curve, not zero; else null. Every point of the curve is in the group. */
export function readG1(hex: string): G1Point | null {
  const [x, y] = coordinates(hex, 2) ?? [];
  if (x === undefined || y === undefined) return null;
  return checked(() => G1.fromAffine({ x, y }));
}

/** A point of G2 (EIP-197, imaginary parts first): below the modulus, on the twist, in the subgroup of order r, not zero; else null. */
export function readG2(hex: string): G2Point | null {
  const [xi, xr, yi, yr] = coordinates(hex, 4) ?? [];
  if (xi === undefined || xr === undefined || yi === undefined || yr === undefined) return null;
  return checked(() => G2.fromAffine({ x: { c0: xr, c1: xi }, y: { c0: yr, c1: yi } }));
}

function checked<P extends { is0(): boolean; assertValidity(): void }>(make: () => P): P | null {
  try {
    const point = make();
    if (point.is0()) return null;
    point.assertValidity();
    return point;
  } catch {
    return null;
  }
}

/** EIP-196 bytes of a point as hex. Zero is all zeros. */
export function g1Hex(point: G1Point): string {
  const { x, y } = point.is0() ? { x: 0n, y: 0n } : point.toAffine();
  return [x, y].map((value) => value.toString(16).padStart(DIGITS, "0")).join("");
}

/** The sum of points, each times a number of at most the group's order in magnitude. */
export const sumOfMultiples = (points: readonly G1Point[], factors: readonly bigint[]): G1Point =>
  points.reduce((sum, point, at) => {
    const factor = factors[at] ?? 0n;
    if (factor === 0n) return sum;
    return sum.add(factor < 0n ? point.negate().multiplyUnsafe(-factor) : point.multiplyUnsafe(factor));
  }, G1.ZERO);

/** Whether the product of the pairings is one (EIP-197). */
export const pairingsCancel = (pairs: readonly { g1: G1Point; g2: G2Point }[]): boolean => {
  // Zero pairs with anything to one, and the library refuses it.
  const product = bn254.pairingBatch(pairs.filter(({ g1, g2 }) => !g1.is0() && !g2.is0()));
  return bn254.fields.Fp12.eql(product, bn254.fields.Fp12.ONE);
};
