import { BN254_R, toField } from "../../evidence/groth16.ts";
import { concatBytes, joinBytes, type Bytes } from "../../evidence/bytes.ts";
import type { Circuit } from "./circuit.ts";
import type { Linear } from "./linear-combination.ts";

/** Bytes of a field element in iden3's files, little-endian. */
export const FIELD_BYTES = 32;

export const u32 = (value: number): Bytes => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
};
const u64 = (value: number): Bytes => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
};

const MASK = (1n << 64n) - 1n;
/** 32 bytes, little-endian, of a number below 2^256. */
export function littleEndian(value: bigint): Bytes {
  const bytes = new Uint8Array(FIELD_BYTES);
  const view = new DataView(bytes.buffer);
  for (let word = 0; word < 4; word += 1) view.setBigUint64(word * 8, (value >> BigInt(word * 64)) & MASK, true);
  return bytes;
}

/** iden3's container (iden3/r1csfile, doc/r1cs_bin_format.md): magic, version, sections of type, size and data. */
export const container = (
  magic: string,
  version: number,
  sections: readonly (readonly [number, Uint8Array])[],
): Bytes =>
  concatBytes(
    new TextEncoder().encode(magic),
    u32(version),
    u32(sections.length),
    ...sections.flatMap(([type, data]) => [u32(type), u64(data.length), data]),
  );

/** The constraints as a `.r1cs` file: what a ceremony makes its keys from. */
export function toR1cs({ publics, wires, constraints }: Circuit): Bytes {
  const linear = (terms: Linear): Uint8Array[] => [
    u32(terms.size),
    ...[...terms]
      .toSorted(([a], [b]) => a - b)
      .flatMap(([at, coefficient]) => [u32(at), littleEndian(toField(coefficient))]),
  ];
  const header = concatBytes(
    u32(FIELD_BYTES),
    littleEndian(BN254_R),
    // Public outputs, public inputs, private inputs: what is computed and what is given makes no difference here.
    ...[wires, 0, publics, 0].map(u32),
    u64(wires),
    u32(constraints.length),
  );
  const body = joinBytes(constraints.flatMap(({ a, b, c }) => [...linear(a), ...linear(b), ...linear(c)]));
  const labels = joinBytes(Array.from({ length: wires }, (_, at) => u64(at)));
  return container("r1cs", 1, [
    [1, header],
    [2, body],
    [3, labels],
  ]);
}

/** The wires' values as a `.wtns` file. */
export const toWitness = (values: readonly bigint[]): Bytes =>
  container("wtns", 2, [
    [1, concatBytes(u32(FIELD_BYTES), littleEndian(BN254_R), u32(values.length))],
    [2, joinBytes(values.map((value) => littleEndian(toField(value))))],
  ]);
