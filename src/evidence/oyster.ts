import { concatBytes, equalBytes, fromHex, keccak256, toHex0x, utf8, type Bytes, type Hex } from "./bytes.ts";

/** The exchange that a signature is of. */
export type SignedExchange = { method: string; path: string; request: Uint8Array; response: Uint8Array };

/**
 * The hash that Marlin's Oyster signs of an exchange: Keccak-256 of a mark, then method, path with query, request and answer,
 * each after its length, big-endian, of 4 bytes for the first two and of 8 for the bodies. Source: marlinprotocol
 * x402-gateway, `oyster-signature-v2`.
 */
export const oysterMessageHash = ({ method, path, request, response }: SignedExchange): Bytes =>
  keccak256(
    concatBytes(
      utf8("oyster-signature-v2\0"),
      ...withLength(utf8(method), 4),
      ...withLength(utf8(path), 4),
      ...withLength(request, 8),
      ...withLength(response, 8),
    ),
  );

function withLength(bytes: Uint8Array, size: 4 | 8): [Uint8Array, Uint8Array] {
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(bytes.length));
  return [new Uint8Array(length.buffer).subarray(8 - size), bytes];
}

/** DER of a SubjectPublicKeyInfo of secp256k1, up to its point (RFC 5480 §2.1; SEC 2 §2.4.1 for the curve's identifier). */
const SPKI_HEAD = Uint8Array.from([
  0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
  0x0a, 0x03, 0x42, 0x00, 0x04,
]);

/** The SubjectPublicKeyInfo of a point, given as its two coordinates, 64 bytes. */
export const spkiOfPoint = (point: Uint8Array): Bytes => concatBytes(SPKI_HEAD, point);

/** The two coordinates in a SubjectPublicKeyInfo of secp256k1; null for one of another form. */
export function pointIn(spki: Uint8Array): Uint8Array | null {
  const isOne = spki.length === SPKI_HEAD.length + 64 && equalBytes(spki.subarray(0, SPKI_HEAD.length), SPKI_HEAD);
  return isOne ? spki.subarray(SPKI_HEAD.length) : null;
}

/** The id of a point's key, as of any signing key: Keccak-256 of its SubjectPublicKeyInfo, 0x hex. `point` is hex. */
export const keyIdOfPoint = (point: string): Hex => toHex0x(keccak256(spkiOfPoint(fromHex(point))));
