import { randomBytes } from "node:crypto";
import type { Curve, Group } from "snarkjs";
import { concatBytes, joinBytes, toHex } from "../../evidence/bytes.ts";
import { BN254_R, toField } from "../../evidence/groth16.ts";
import { container, FIELD_BYTES, littleEndian, u32 } from "./binary.ts";
import type { Circuit } from "./circuit.ts";
import type { Linear } from "./linear-combination.ts";

const R = BN254_R;
/** 5 generates the multiplicative group, whose order 2^28 divides. */
const ROOT_POWER = 28;
const GENERATOR = 5n;

const times = (a: bigint, b: bigint): bigint => (a * b) % R;
function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = times(result, square);
    square = times(square, square);
  }
  return result;
}
const inverse = (value: bigint): bigint => power(value, R - 2n);

/** A secret number below R, from 128 bits more than it has. */
const secret = (): bigint => (BigInt(`0x${toHex(randomBytes(48))}`) % (R - 1n)) + 1n;

/** Every Lagrange polynomial of the `size`-th roots of unity, at a point outside them. */
function lagrangeAt(point: bigint, size: number): bigint[] {
  const root = power(GENERATOR, (R - 1n) / BigInt(size));
  const scale = times(toField(power(point, BigInt(size)) - 1n), inverse(BigInt(size)));
  const roots: bigint[] = [];
  for (let at = 0, w = 1n; at < size; at += 1, w = times(w, root)) roots.push(w);
  const inverses = invertAll(roots.map((w) => toField(point - w)));
  return roots.map((w, at) => times(times(scale, w), inverses[at] ?? 0n));
}

/** All inverses for the price of one (Montgomery's trick). */
function invertAll(values: readonly bigint[]): bigint[] {
  const before: bigint[] = [];
  let product = 1n;
  for (const value of values) {
    before.push(product);
    product = times(product, value);
  }
  let rest = inverse(product);
  const inverses = values.map(() => 0n);
  for (let at = values.length - 1; at >= 0; at -= 1) {
    inverses[at] = times(rest, before[at] ?? 0n);
    rest = times(rest, values[at] ?? 0n);
  }
  return inverses;
}

/** Multiples of a generator for one byte of a scalar: zero has none. */
const PER_BYTE = 255;
/** One table serves the setups of every model. */
const tables = new WeakMap<Group, Promise<Uint8Array>>();

/** A generator's multiples at every byte of a scalar, affine, one behind the other. */
function tableOf(group: Group): Promise<Uint8Array> {
  const made = tables.get(group);
  if (made !== undefined) return made;
  const points: Uint8Array[] = [];
  let base = group.toAffine(group.g);
  for (let at = 0; at < FIELD_BYTES; at += 1) {
    let point = group.add(group.zero, base);
    for (let k = 1; k <= PER_BYTE; k += 1) {
      points.push(point);
      point = group.add(point, base);
    }
    base = group.toAffine(point);
  }
  const table = group.batchToAffine(joinBytes(points));
  tables.set(group, table);
  return table;
}

/** Multiplies a group's generator: adds up in the engine's memory, for to copy sums out and in again costs twice the sums. */
async function multiplier(group: Group): Promise<(scalar: bigint) => Uint8Array> {
  const table = await tableOf(group);
  const { tm, prefix, pOp1, pOp2, pOp3, zero } = group;
  const { [`${prefix}_addMixed`]: addMixed } = tm.instance.exports;
  if (addMixed === undefined) throw new TypeError("the engine adds no affine point to a projective one");
  const affine = 2 * group.F.n8;
  return (scalar) => {
    let [sum, next] = [pOp1, pOp3];
    tm.u8.set(zero, sum);
    for (const [at, digit] of littleEndian(scalar).entries()) {
      if (digit === 0) continue;
      const place = (at * PER_BYTE + digit - 1) * affine;
      tm.u8.set(table.subarray(place, place + affine), pOp2);
      addMixed(sum, pOp2, next);
      [sum, next] = [next, sum];
    }
    return tm.u8.slice(sum, sum + zero.length);
  };
}

/** A proving key in iden3's `.zkey` form, and the same key's verification part. */
export type Keys = {
  zkey: Uint8Array;
  verification: { alpha1: string; beta2: string; gamma2: string; delta2: string; ic: string[] };
};

/**
 * Makes a circuit's keys alone and at once, in the way of snarkjs' first phase with one contribution (Groth16, eprint
 * 2016/260, gamma = 1): the secrets are drawn here and forgotten. Its runner could keep them and forge, so the keys are
 * good for development only. Production keys come from a ceremony over the circuit's `.r1cs`.
 */
export async function developmentSetup(curve: Curve, circuit: Circuit): Promise<Keys> {
  const { publics, wires, constraints } = circuit;
  const size = 2 ** Math.ceil(Math.log2(constraints.length + publics + 1));
  if (Math.log2(size) >= ROOT_POWER) throw new RangeError("the circuit is too large for the curve");
  const [tau, alpha, beta, delta] = [secret(), secret(), secret(), secret()];
  const lagrange = lagrangeAt(tau, size);
  const [a, b, c] = [0, 1, 2].map(() => Array.from({ length: wires }, () => 0n)) as [bigint[], bigint[], bigint[]];
  const coefficients: Uint8Array[] = [];
  // The engine multiplies these in Montgomery form and takes them times 2^512.
  const montgomery = power(2n, 512n);
  const add = (into: bigint[], linear: Linear, row: number): void => {
    for (const [at, coefficient] of linear)
      into[at] = ((into[at] ?? 0n) + toField(coefficient) * (lagrange[row] ?? 0n)) % R;
  };
  const note = (matrix: 0 | 1, linear: Linear, row: number): void => {
    for (const [at, coefficient] of linear)
      coefficients.push(u32(matrix), u32(row), u32(at), littleEndian(times(toField(coefficient), montgomery)));
  };
  for (const [row, constraint] of constraints.entries()) {
    add(a, constraint.a, row);
    add(b, constraint.b, row);
    add(c, constraint.c, row);
    note(0, constraint.a, row);
    note(1, constraint.b, row);
  }
  // A row for each public wire: no two of them hang on the same polynomial, and none on nothing.
  for (let at = 0; at <= publics; at += 1) {
    const alone: Linear = new Map([[at, 1n]]);
    add(a, alone, constraints.length + at);
    note(0, alone, constraints.length + at);
  }
  const g1 = await multiplier(curve.G1);
  const g2 = await multiplier(curve.G2);
  const many = async (group: Group, multiply: (scalar: bigint) => Uint8Array, scalars: bigint[]): Promise<Uint8Array> =>
    scalars.length === 0 ? new Uint8Array() : group.batchToAffine(joinBytes(scalars.map(multiply)));
  const overDelta = inverse(delta);
  const mixed = a.map((value, at) => toField(beta * value + alpha * (b[at] ?? 0n) + (c[at] ?? 0n)));
  const ic = await many(curve.G1, g1, mixed.slice(0, publics + 1));
  const rest = await many(
    curve.G1,
    g1,
    mixed.slice(publics + 1).map((value) => times(value, overDelta)),
  );
  // The quotient in the Lagrange basis of twice the size: at the even points it is zero.
  const odd = lagrangeAt(tau, 2 * size).filter((_value, at) => at % 2 === 1);
  const h = await many(
    curve.G1,
    g1,
    odd.map((value) => times(value, overDelta)),
  );
  const [alpha1, beta1, delta1] = [alpha, beta, delta].map((one) => curve.G1.toAffine(g1(one)));
  const [beta2, gamma2, delta2] = [beta, 1n, delta].map((one) => curve.G2.toAffine(g2(one)));
  if (alpha1 === undefined || beta1 === undefined || delta1 === undefined) throw new Error("unreachable");
  if (beta2 === undefined || gamma2 === undefined || delta2 === undefined) throw new Error("unreachable");
  const header = concatBytes(
    u32(FIELD_BYTES),
    littleEndian(curve.q),
    u32(FIELD_BYTES),
    littleEndian(R),
    ...[wires, publics, size].map(u32),
    alpha1,
    beta1,
    beta2,
    gamma2,
    delta1,
    delta2,
  );
  const zkey = container("zkey", 1, [
    [1, u32(1)],
    [2, header],
    [3, ic],
    [4, joinBytes([u32(coefficients.length / 4), ...coefficients])],
    [5, await many(curve.G1, g1, a)],
    [6, await many(curve.G1, g1, b)],
    [7, await many(curve.G2, g2, b)],
    [8, rest],
    [9, h],
    [10, concatBytes(new Uint8Array(64), u32(0))],
  ]);
  const width = 2 * curve.G1.F.n8;
  const points = Array.from({ length: publics + 1 }, (_, at) => ic.subarray(at * width, (at + 1) * width));
  return {
    zkey,
    verification: {
      alpha1: pointHex(curve.G1, alpha1),
      beta2: pointHex(curve.G2, beta2),
      gamma2: pointHex(curve.G2, gamma2),
      delta2: pointHex(curve.G2, delta2),
      ic: points.map((point) => pointHex(curve.G1, point)),
    },
  };
}

/** EIP-197 bytes of a point as hex. */
function pointHex(group: Group, point: Uint8Array): string {
  const [x, y] = group.toObject(group.toAffine(point)) as (bigint | [bigint, bigint])[];
  return coordinatesHex([x ?? 0n, y ?? 0n]);
}

/** Big-endian coordinates; of a pair, which the engine gives real part first, the imaginary part first (EIP-197). */
export const coordinatesHex = (coordinates: readonly (bigint | readonly [bigint, bigint])[]): string =>
  coordinates
    .flatMap((one) => (typeof one === "bigint" ? [one] : [one[1], one[0]]))
    .map((value) => value.toString(16).padStart(64, "0"))
    .join("");
