import canonicalize from "canonicalize";
import { sha256, utf8, type Bytes } from "./bytes.ts";

/** An escaped surrogate: a backslash that no backslash escapes, then `ud8` to `udf`. */
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/**
 * RFC 8785 canonical JSON bytes.
 *
 * Throws Error for what JSON cannot carry unchanged: non-finite numbers, lone surrogates, `undefined`
 * at the top, functions and symbols.
 */
export function canonicalJson(value: unknown): Bytes {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("value has no JSON form");
  // JSON.stringify writes lone surrogates, and nothing else, as \ud8xx to \udfxx escapes: RFC 8785 §3.2.2.2 wants an error.
  if (text.includes("\\ud") && LONE_SURROGATE.test(text))
    throw new TypeError("lone surrogate in a string (RFC 8785 §3.2.2.2)");
  return utf8(text);
}

/** sha256 of the RFC 8785 bytes. */
export const canonicalSha256 = (value: unknown): Bytes => sha256(canonicalJson(value));
