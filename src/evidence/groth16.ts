import { sha256, toHex } from "./bytes.ts";
import { SETUPS, WEIGHTS } from "./groth16-words.ts";

/** Order of BN254's groups, and so of the field that circuits compute in (EIP-196, EIP-197). */
export const BN254_R = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;

/** What becomes of proved numbers in an output tensor. `linear` is the numbers themselves. */
export const PROVED_HEADS = ["linear", "softmax", "sigmoid", "argmax"] as const;
export type ProvedHead = (typeof PROVED_HEADS)[number];

export { SETUPS, WEIGHTS };

/** One output tensor of a proved model: which of the proved numbers it is made of, and how. */
export type ProvedOutput = {
  name: string;
  head: ProvedHead;
  /** The first of its numbers among the proved ones, and how many. */
  from: number;
  count: number;
};

/**
 * A model's verification key for Groth16 proofs: its points, its number format, and its model. Its name is
 * sha256(JCS(key)); a relying party pins that, so nothing in it is the prover's word. Points are EIP-197 bytes as hex:
 * big-endian coordinates, x then y, of a G2 coordinate the imaginary part first.
 */
export type Groth16Key = {
  type: "proof402/groth16-key";
  version: 1;
  curve: "bn254";
  setup: (typeof SETUPS)[number];
  /** SHA-256 of the ONNX file whose weights are in the key, or behind its commitment, hex. */
  modelSha256: string;
  /**
   * Poseidon commitment to secret weights, decimal: the last signal of each proof. Null if the weights are public and
   * in the points: anyone with the model's file can then make this key again.
   */
  commitment: string | null;
  /** Bits after the point: an input x is proved as floor(x * 2^scale + 1/2), a result has 2 * scale of them. */
  scale: number;
  /** No sum before a ReLU or rescaling is 2^(this - 1) or larger, else there is no proof. */
  accumulatorBits: number;
  input: { name: string; count: number };
  outputs: ProvedOutput[];
  /** Numbers proved, all outputs' together. */
  results: number;
  /** How far fixed-point and floating-point results may lie apart, in units of the results; the largest seen in the sample. */
  tolerance: number;
  largestDifference: number;
  /** How many inputs, each number uniform within -range and range, the difference was seen on. */
  sample: { count: number; range: number };
  alpha1: string;
  beta2: string;
  gamma2: string;
  delta2: string;
  /** A point per public signal, and one before them. */
  ic: string[];
};

/** A proof in EIP-197 bytes: A 64, B 128, C 64. */
export const GROTH16_PROOF_BYTES = 256;

/** Inputs are below this in magnitude when quantised: far from where sums in the field could wrap around. */
const LARGEST_INPUT = 2 ** 32;

/** A number of a request as it is proved: the FP32 the model would see, in fixed point. Null where it is too large. */
export function quantiseInput(value: number, scale: number): bigint | null {
  const fixed = Math.floor(Math.fround(value) * 2 ** scale + 0.5);
  return Math.abs(fixed) < LARGEST_INPUT ? BigInt(fixed) : null;
}

/** A signed number as an element of the field. */
export const toField = (value: bigint): bigint => ((value % BN254_R) + BN254_R) % BN254_R;
/** The signed number that an element stands for: the upper half is negative. */
export const fromField = (element: bigint): bigint => (element > BN254_R / 2n ? element - BN254_R : element);

/** SHA-256 of a request's bytes in two signals, upper half first: all of it does not fit into one element. */
export function requestSignals(body: Uint8Array): [bigint, bigint] {
  const digest = toHex(sha256(body));
  return [BigInt(`0x${digest.slice(0, 32)}`), BigInt(`0x${digest.slice(32)}`)];
}

/** A key's points in the order in which contracts take them, as hex words: alpha, beta, gamma, delta, then the signals' points. */
export const keyPoints = ({ alpha1, beta2, gamma2, delta2, ic }: Groth16Key): string =>
  [alpha1, beta2, gamma2, delta2, ...ic].join("");

/** The 32-byte words of hex. */
export const wordsOf = (hex: string): bigint[] => (hex.match(/.{64}/g) ?? []).map((word) => BigInt(`0x${word}`));
