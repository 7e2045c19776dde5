/** The used part of the GPL engine, which brings no types. Loaded in the prover's own process only. */
declare module "snarkjs" {
  type Memory = { type: "mem"; data: Uint8Array };
  export const groth16: {
    prove(
      zkey: Memory,
      witness: Memory,
    ): Promise<{ proof: { pi_a: string[]; pi_b: string[][]; pi_c: string[] }; publicSignals: string[] }>;
    verify(key: unknown, signals: unknown, proof: unknown): Promise<boolean>;
  };
  export const zKey: { exportVerificationKey(zkey: Memory): Promise<Record<string, unknown>> };
  export const curves: { getCurveFromName(name: "bn128", options?: { singleThread: true }): Promise<Curve> };

  /** Points are bytes: Montgomery form, little-endian; affine, or projective with a third coordinate. */
  export type Group = {
    g: Uint8Array;
    F: { n8: number };
    zero: Uint8Array;
    add(a: Uint8Array, b: Uint8Array): Uint8Array;
    double(a: Uint8Array): Uint8Array;
    toAffine(a: Uint8Array): Uint8Array;
    batchToAffine(points: Uint8Array): Promise<Uint8Array>;
    toObject(point: Uint8Array): unknown;
    /** Its memory and its functions, named by the group's prefix; their places for two operands and a result. */
    tm: {
      u8: Uint8Array;
      instance: { exports: Readonly<Record<string, (a: number, b: number, result: number) => void>> };
    };
    prefix: string;
    pOp1: number;
    pOp2: number;
    pOp3: number;
  };
  export type Curve = { q: bigint; r: bigint; G1: Group; G2: Group; terminate(): Promise<void> };
}
