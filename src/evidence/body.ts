import { fromBase64, keccak256, sha256, toBase64, toHex } from "./bytes.ts";

/** Bodies kept decoded: those of the receipt at hand. */
const MOST = 2;
const decoded: { body: string; bytes: Uint8Array }[] = [];

/** The bytes of a body in base64. Equal bodies in turn get the same array, so that each reader reads them once. */
export function bytesOf(body: string): Uint8Array {
  const known = decoded.find((one) => one.body === body);
  if (known !== undefined) return known.bytes;
  return remembered(body, fromBase64(body));
}

/** A body in base64. The bytes are the ones that are read of this text next, so nothing may change them. */
export function textOfBytes(bytes: Uint8Array): string {
  const body = toBase64(bytes);
  remembered(body, bytes);
  return body;
}

function remembered(body: string, bytes: Uint8Array): Uint8Array {
  decoded.unshift({ body, bytes });
  decoded.length = Math.min(decoded.length, MOST);
  return bytes;
}

/**
 * A reader that reads each array of bytes once. Nothing here changes a body's bytes after they came, and a result lives as
 * long as its array.
 */
export function perBody<Result>(read: (body: Uint8Array) => Result): (body: Uint8Array) => Result {
  const known = new WeakMap<Uint8Array, { result: Result }>();
  return (body) => {
    const found = known.get(body) ?? { result: read(body) };
    known.set(body, found);
    return found.result;
  };
}

/** The hashes that a receipt names a body by, hex. */
export const hashesOf = perBody((bytes) => ({ sha256: toHex(sha256(bytes)), keccak256: toHex(keccak256(bytes)) }));
