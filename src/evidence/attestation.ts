import { concatBytes, equalBytes, sha256, sha384, type Bytes } from "./bytes.ts";

/**
 * `user_data` of an attestation document that binds two keys, 68 bytes (nitriding):
 * `0x12 0x20 ‖ sha256(TLS leaf certificate DER) ‖ 0x12 0x20 ‖ sha256(signing key SPKI DER)`.
 * 0x12 0x20 is the multihash prefix of a 32-byte SHA-256.
 */
const MULTIHASH_SHA256 = new Uint8Array([0x12, 0x20]);

/** Builds the 68 bytes. `tlsCertificate` is all-zero hashed-length filler (32 zero bytes as digest) where the seller serves no TLS of its own. */
export function encodeUserData(options: { tlsCertificate: Uint8Array | null; signingKeySpki: Uint8Array }): Bytes {
  const tls = options.tlsCertificate === null ? new Uint8Array(32) : sha256(options.tlsCertificate);
  return concatBytes(MULTIHASH_SHA256, tls, MULTIHASH_SHA256, sha256(options.signingKeySpki));
}

/** The two digests, or null when the bytes have another form (length and both prefixes are compared). */
export function decodeUserData(userData: Uint8Array): { tlsCertificateSha256: Bytes; signingKeySha256: Bytes } | null {
  if (userData.length !== 68) return null;
  if (
    !equalBytes(userData.subarray(0, 2), MULTIHASH_SHA256) ||
    !equalBytes(userData.subarray(34, 36), MULTIHASH_SHA256)
  )
    return null;
  return {
    tlsCertificateSha256: new Uint8Array(userData.subarray(2, 34)),
    signingKeySha256: new Uint8Array(userData.subarray(36, 68)),
  };
}

/**
 * PCR indices that this project's nodes measure. A simulated enclave measures its models in PCR2. On Nitro hardware the first
 * are the image's (AWS, "PCR0 to PCR4 and PCR8"), and running code extends one from 16 on.
 */
export const PCR = { code: 0, runtime: 1, models: 2, extended: 16 } as const;

/** A PCR of a Nitro enclave that was extended once, from zero: SHA-384(48 zero bytes ‖ data). */
export const extendedPcr = (data: Uint8Array): Bytes => sha384(concatBytes(new Uint8Array(48), data));

/** One served model as the manifest names it. SHA-384 of the JCS bytes of the list, sorted by name, is measured. */
export type ManifestEntry = { name: string; sha256: string };
