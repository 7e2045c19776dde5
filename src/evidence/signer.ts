import { secp256k1 } from "@noble/curves/secp256k1.js";
import { concatBytes, fromHex0x, keccak256, toHex0x } from "./bytes.ts";

/** Ethereum address of an uncompressed public key: the last 20 bytes of keccak256 over it without its first byte. */
export const addressOf = (publicKey: Uint8Array): string => toHex0x(keccak256(publicKey.subarray(1)).subarray(12));

/**
 * Recovers the address behind a 65-byte signature (r, s, 27 or 28) of a hash, lower case, null if it is invalid. Both
 * 0x hex.
 */
export function signerOf(signature: string, hash: string): string | null {
  try {
    const bytes = fromHex0x(signature.toLowerCase());
    const recovery = (bytes[64] ?? 0) - 27;
    if (bytes.length !== 65 || (recovery !== 0 && recovery !== 1)) return null;
    const key = secp256k1.recoverPublicKey(
      concatBytes(Uint8Array.of(recovery), bytes.subarray(0, 64)),
      fromHex0x(hash),
      { prehash: false },
    );
    return addressOf(secp256k1.Point.fromBytes(key).toBytes(false));
  } catch {
    return null;
  }
}
