import canonicalize from "canonicalize";
import { sha256, utf8, type Bytes } from "./bytes.ts";

/**
 * RFC 8785 canonical JSON bytes.
 *
 * Throws TypeError for what JSON cannot carry unchanged: non-finite numbers, lone surrogates, `undefined`
 * at the top, functions and symbols.
 */
export function canonicalJson(value: unknown): Bytes {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("value has no JSON form");
  if (!text.isWellFormed()) throw new TypeError("lone surrogate in a string (RFC 8785 §3.2.2.2)");
  return utf8(text);
}

/** sha256 of the RFC 8785 bytes. */
export const canonicalSha256 = (value: unknown): Bytes => sha256(canonicalJson(value));
