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
export const canonicalJson = (value: unknown): Bytes => utf8(canonicalText(value));

/** sha256 of the RFC 8785 bytes. */
export const canonicalSha256 = (value: unknown): Bytes => sha256(canonicalJson(value));

/** The text of {@link canonicalJson}. Throws as it does. */
export function canonicalText(value: unknown): string {
  const text = plainText(value, MAX_PLAIN_DEPTH) ?? canonicalize(value);
  if (text === undefined) throw new TypeError("value has no JSON form");
  // JSON.stringify writes lone surrogates, and nothing else, as \ud8xx to \udfxx escapes: RFC 8785 §3.2.2.2 wants an error.
  if (text.includes("\\ud") && LONE_SURROGATE.test(text))
    throw new TypeError("lone surrogate in a string (RFC 8785 §3.2.2.2)");
  return text;
}

/** An object's text from the texts of its members. */
export const canonicalObject = (members: Readonly<Record<string, string>>): string =>
  `{${Object.keys(members)
    .toSorted()
    .map((key) => `${JSON.stringify(key)}:${members[key]}`)
    .join()}}`;

const MAX_PLAIN_DEPTH = 64;
/** A key that JSON writes as it is. */
const PLAIN_KEY = /^[\w.:-]*$/;

/**
 * Writes plain data as `canonicalize` does, several times as quick: nearly all that is hashed. Gives undefined for anything
 * else, left to `canonicalize`: an object of a class, a number without JSON form, a gap in a list.
 */
function plainText(value: unknown, depth: number): string | undefined {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : undefined;
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value !== "object" || depth === 0) return undefined;
  return Array.isArray(value) ? plainList(value, depth - 1) : plainObject(value, depth - 1);
}

function plainList(value: readonly unknown[], depth: number): string | undefined {
  if ("toJSON" in value) return undefined;
  let text = "";
  for (const item of value) {
    const part = plainText(item, depth);
    if (part === undefined) return undefined;
    text += text === "" ? part : `,${part}`;
  }
  return `[${text}]`;
}

function plainObject(value: object, depth: number): string | undefined {
  const kind: unknown = Object.getPrototypeOf(value);
  if ((kind !== Object.prototype && kind !== null) || "toJSON" in value) return undefined;
  const keys = Object.keys(value);
  let text = "";
  for (const key of isAscending(keys) ? keys : keys.toSorted()) {
    const item = (value as Record<string, unknown>)[key];
    // A member that is `undefined` is one that is not there.
    if (item === undefined) continue;
    const part = plainText(item, depth);
    if (part === undefined) return undefined;
    text += `${text === "" ? "" : ","}${PLAIN_KEY.test(key) ? `"${key}"` : JSON.stringify(key)}:${part}`;
  }
  return `{${text}}`;
}

const isAscending = (keys: readonly string[]): boolean => {
  for (let at = 1; at < keys.length; at += 1) if ((keys[at - 1] ?? "") > (keys[at] ?? "")) return false;
  return true;
};
