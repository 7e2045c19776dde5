import * as z from "zod";
import { address, baseUnits, hex, hex0x, network } from "./fields.ts";

/**
 * A seller's entry in a registry of enclaves, as the buyer read it before it paid. The buyer's word: an appraisal compares
 * it with attestation, connection and policy.
 */
export const registryEvidence = z.strictObject({
  kind: z.literal("registry.tee"),
  network,
  contract: address,
  teeType: z.int().min(0).max(255),
  /** The block in whose state it was read. */
  blockNumber: baseUnits,
  /** keccak256 of the entry's key. */
  teeId: hex0x(32),
  /** Scheme, host and port of the entry's endpoint. */
  origin: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .regex(/^https?:\/\/[^\s/?#@\\]+$/, "an origin: no path, no user"),
  /** SHA-256 of the entry's TLS certificate (DER), hex. */
  certificateSha256: hex(32),
  /** keccak256(pcr0 ‖ pcr1 ‖ pcr2). */
  pcrHash: hex0x(32),
});

export type RegistryEvidence = z.infer<typeof registryEvidence>;
