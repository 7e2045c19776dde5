import * as z from "zod";
import { GROTH16_PROOF_BYTES, PROVED_HEADS, SETUPS } from "../evidence/groth16.ts";
import { base64, hex } from "./fields.ts";

/** More signals than any model this version proves has inputs and results. */
const MAX_SIGNALS = 4096;

const place = z.int().min(0).max(MAX_SIGNALS);
/** An element of the field, decimal. */
const element = z.string().regex(/^(?:0|[1-9][0-9]{0,76})$/);
const finite = z.number().min(0).max(1e9);

/** A Groth16 verification key with its model and number format. See `Groth16Key`. */
const groth16KeySchema = z.strictObject({
  type: z.literal("proof402/groth16-key"),
  version: z.literal(1),
  curve: z.literal("bn254"),
  setup: z.enum(SETUPS),
  modelSha256: hex(32),
  commitment: element.nullable(),
  scale: z.int().min(1).max(24),
  accumulatorBits: z.int().min(8).max(128),
  input: z.strictObject({ name: z.string().max(128), count: place.min(1) }),
  outputs: z
    .array(z.strictObject({ name: z.string().max(128), head: z.enum(PROVED_HEADS), from: place, count: place.min(1) }))
    .min(1)
    .max(64),
  results: place.min(1),
  tolerance: finite,
  largestDifference: finite,
  sample: z.strictObject({ count: z.int().min(1).max(1_000_000), range: finite }),
  alpha1: hex(64),
  beta2: hex(128),
  gamma2: hex(128),
  delta2: hex(128),
  ic: z.array(hex(64)).min(4).max(MAX_SIGNALS),
});

/** A zero-knowledge proof of the computation. The key travels with it and is believed only where its hash is pinned. */
export const groth16Evidence = z.strictObject({
  kind: z.literal("zk.groth16"),
  key: groth16KeySchema,
  /** Points A, B and C in EIP-197 bytes, hex. */
  proof: hex(GROTH16_PROOF_BYTES),
  /**
   * The public signals, decimal: results, inputs, the two halves of the request's SHA-256, the upper first, and the commitment
   * to the weights where they are secret.
   */
  signals: z.array(element).max(MAX_SIGNALS),
});

/**
 * A proof made by EZKL (halo2, KZG), each file in its exact bytes, base64. Key and settings travel with it and are believed
 * only where their hashes are pinned; what the proof is checked against, [s]G2 of a setup, never travels.
 */
export const ezklEvidence = z.strictObject({
  kind: z.literal("zk.ezkl"),
  /** `proof.json`: at most a megabyte. */
  proof: base64(1_400_000),
  /** `vk.key`. */
  key: base64(2_800_000),
  /** `settings.json`: at most 256 KiB. */
  settings: base64(349_528),
});
