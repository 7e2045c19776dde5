import type { ClaimedAction } from "../buyer/action-types.ts";
import { fromUtf8, sha256, toHex } from "../evidence/bytes.ts";
import { canonicalJson } from "../evidence/canonical.ts";
import { Proof402Error } from "../errors.ts";

/** Deepest nesting of arguments, most values in them, and most bytes of their record. */
const MAX_DEPTH = 64;
const MAX_VALUES = 100_000;
const MAX_RECORD = 1_000_000;

/**
 * A deep-frozen copy of plain data, each part of which is read once: a getter, a proxy or a change made meanwhile has
 * no second answer. Leaves out `undefined` members and writes -0 as 0, so that the record is exact.
 *
 * Throws Proof402Error `guard_arguments` for what cannot be held fixed or recorded: anything but null, booleans, finite
 * numbers, bigints, well-formed strings, arrays and plain objects of them, at most 64 levels deep and 100,000 in all.
 */
export function fix(value: unknown): unknown {
  let left = MAX_VALUES;
  const copy = (part: unknown, depth: number): unknown => {
    left -= 1;
    if (left < 0 || depth === 0) throw unfit("too large");
    if (part === null || typeof part === "boolean" || typeof part === "bigint") return part;
    if (typeof part === "number" && Number.isFinite(part)) return part === 0 ? 0 : part;
    if (typeof part === "string" && part.isWellFormed()) return part;
    if (Array.isArray(part)) {
      const { length } = part;
      if (length > left) throw unfit("too large");
      return Object.freeze(Array.from({ length }, (_hole, at) => copy(part[at], depth - 1)));
    }
    if (!isPlain(part)) throw unfit(`not plain data (${typeof part})`);
    const entries: [string, unknown][] = [];
    for (const key of Object.keys(part)) {
      if (key === "__proto__" || !key.isWellFormed()) throw unfit("not plain data (a key)");
      const member = part[key];
      if (member !== undefined) entries.push([key, copy(member, depth - 1)]);
    }
    return Object.freeze(Object.fromEntries(entries));
  };
  return copy(value, MAX_DEPTH);
}

/** An object literal or one without a prototype, of any realm. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * The record of fixed arguments. A bigint is written `{"$bigint":"5"}`, and a key of that name `$$bigint`. Throws
 * Proof402Error `guard_arguments` beyond a million bytes.
 */
export function recordOf(fixed: unknown): ClaimedAction["arguments"] {
  const bytes = canonicalJson(written(fixed));
  if (bytes.length > MAX_RECORD) throw unfit("too large");
  return { json: fromUtf8(bytes), sha256: toHex(sha256(bytes)) };
}

function written(value: unknown): unknown {
  if (typeof value === "bigint") return { $bigint: value.toString() };
  if (Array.isArray(value)) return value.map(written);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [keyOf(key), written(member)]));
}

/** The arguments in a record, as they were. */
export const argumentsOf = ({ json }: ClaimedAction["arguments"]): unknown => read(JSON.parse(json));

function read(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(read);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && first?.[0] === "$bigint" && typeof first[1] === "string") return BigInt(first[1]);
  return Object.fromEntries(entries.map(([key, part]) => [key.replace(/^\$(?=\$+bigint$)/, ""), read(part)]));
}

/** Adds a `$` to a key spelt as the mark of a bigint, so that no two values share a record. */
const keyOf = (key: string): string => (/^\$+bigint$/.test(key) ? `$${key}` : key);

const unfit = (what: string): Proof402Error =>
  new Proof402Error("guard_arguments", `The arguments, as the tool's schema reads them, are ${what}.`, {
    next: "Give the tool a schema of plain values, and let its function make other objects of them.",
  });
