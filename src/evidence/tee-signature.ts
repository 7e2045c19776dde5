import { concatBytes, keccak256, toHex0x, uint256, type Bytes, type Hex } from "./bytes.ts";

/** Response headers that carry the signature (names as OpenGradient's gateway sends them). */
export const TEE_HEADERS = {
  signature: "x-tee-signature",
  teeId: "x-tee-id",
  timestamp: "x-tee-timestamp",
  requestHash: "x-tee-request-hash",
  outputHash: "x-tee-output-hash",
} as const;

/** RSASSA-PSS, SHA-256, MGF1-SHA-256, salt of exactly 32 bytes, over the 32-byte message hash. */
export const TEE_SIGNATURE_ALGORITHM = { name: "RSA-PSS", hash: "SHA-256", saltLength: 32 } as const;

/**
 * keccak256(requestHash ‖ outputHash ‖ uint256_be(timestamp)): what the seller signs.
 * Hashes are keccak256 of the exact body bytes; `timestamp` is unix seconds.
 * Source: OpenGradient tee-gateway `tee_manager.py`, `compute_tee_msg_hash`.
 */
export const teeMessageHash = (options: {
  requestHash: Uint8Array;
  outputHash: Uint8Array;
  timestamp: number;
}): Bytes => keccak256(concatBytes(options.requestHash, options.outputHash, uint256(options.timestamp)));

/** keccak256 of the signing key's DER SubjectPublicKeyInfo, 0x hex. */
export const teeIdOf = (spki: Uint8Array): Hex => toHex0x(keccak256(spki));
