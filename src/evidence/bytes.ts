import { base32, base64, hex } from "@scure/base";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { sha256 as nobleSha256, sha384 as nobleSha384 } from "@noble/hashes/sha2.js";
import { native } from "./native.ts";

/** Bytes as hex with 0x in front. */
export type Hex = `0x${string}`;
/** An account or a contract: 0x and 20 bytes. */
export type Address = Hex;

/** Bytes backed by a plain ArrayBuffer, as WebCrypto wants them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

/** UTF-8 bytes of a string. */
export const utf8 = (text: string): Bytes => encoder.encode(text);

/** Text of UTF-8 bytes. Throws TypeError on bytes that are not UTF-8. */
export const fromUtf8 = (bytes: Uint8Array): string => strictDecoder.decode(bytes);

/** Text of UTF-8 bytes, or undefined. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return fromUtf8(bytes);
  } catch {
    return undefined;
  }
}

/** The value of JSON in UTF-8 bytes, or undefined. */
export function jsonOf(bytes: Uint8Array, parse: (text: string) => unknown = JSON.parse): unknown {
  try {
    return parse(fromUtf8(bytes));
  } catch {
    return undefined;
  }
}

/** Lower-case hex without prefix. */
export const toHex = (bytes: Uint8Array): string => hex.encode(bytes);
/** Bytes of hex without prefix. Throws on anything else. */
export const fromHex = (text: string): Bytes => hex.decode(text) as Bytes;
/** Lower-case hex with 0x. */
export const toHex0x = (bytes: Uint8Array): Hex => `0x${hex.encode(bytes)}`;
/** Hex in lower case. */
export const lowered = (text: Hex): Hex => `0x${text.slice(2).toLowerCase()}`;
/** Bytes of 0x-prefixed hex. Throws on anything else. */
export const fromHex0x = (text: string): Bytes => {
  if (!text.startsWith("0x")) throw new TypeError("expected 0x-prefixed hex");
  return hex.decode(text.slice(2)) as Bytes;
};

/** Standard base64 with padding (RFC 4648 §4). */
export const toBase64 = (bytes: Uint8Array): string => base64.encode(bytes);
/** Bytes of standard padded base64. Throws on anything else, unpadded and URL-safe forms included. */
export const fromBase64 = (text: string): Bytes => base64.decode(text) as Bytes;

/** Lower-case base32 without padding (RFC 4648 §6). */
export const toBase32 = (bytes: Uint8Array): string => base32.encode(bytes).replace(/=+$/, "").toLowerCase();

type Hash = (bytes: Uint8Array) => Bytes;
/** Takes the platform's hash if it has one: ten times as quick. */
const hashBy = (name: "sha256" | "sha384", pure: Hash): Hash => {
  const hash = native?.hash;
  return hash === undefined ? pure : (bytes) => new Uint8Array(hash(name, bytes, "buffer"));
};
/** SHA-256 digest, 32 bytes. */
export const sha256: Hash = hashBy("sha256", nobleSha256);
/** SHA-384 digest, 48 bytes. */
export const sha384: Hash = hashBy("sha384", nobleSha384);
/** Legacy Keccak-256 (Ethereum), 32 bytes. Not SHA3-256. */
export const keccak256 = (bytes: Uint8Array): Bytes => keccak_256(bytes);

/** Joins byte strings. */
export const concatBytes = (...parts: readonly Uint8Array[]): Bytes => joinBytes(parts);

/** The same of any number of parts: a call takes only so many arguments. */
export function joinBytes(parts: readonly Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Whether two byte strings are equal. Not constant-time: only for public data. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return false;
  return true;
}

/** Big-endian uint256, 32 bytes, of a non-negative safe integer or bigint below 2^256. */
export function uint256(value: number | bigint): Bytes {
  const text = BigInt(value).toString(16);
  if (text.startsWith("-") || text.length > 64) throw new RangeError("uint256 out of range");
  return fromHex(text.padStart(64, "0"));
}
