import { native } from "./native.ts";
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
 * Checks an RSA-PSS signature of {@link TEE_SIGNATURE_ALGORITHM}. Node does it at once on this thread: handing it to another
 * takes longer than the check.
 */
export async function isPssSigned(key: CryptoKey, signature: Bytes, message: Bytes): Promise<boolean> {
  if (native === undefined) return crypto.subtle.verify(TEE_SIGNATURE_ALGORITHM, key, signature, message);
  const padding = native.constants.RSA_PKCS1_PSS_PADDING;
  const { saltLength } = TEE_SIGNATURE_ALGORITHM;
  return native.verify("sha256", message, { key: native.KeyObject.from(key), padding, saltLength }, signature);
}

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
