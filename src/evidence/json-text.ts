import { perBody } from "./body.ts";
import { textOf } from "./bytes.ts";

/** Deepest nesting read. A receipt needs about eight levels. */
const MAX_DEPTH = 64;

/** Most values read. A receipt with all that it may hold has some ten thousand, and may be filled to 100,000. */
const MAX_VALUES = 102_000;

const NUMBER = /-?\d[\d.eE+-]*/y;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** A value read from JSON text, or one sentence about why it is not read. */
export type ParsedJson = { ok: true; value: unknown } | { ok: false; message: string };

/**
 * Reads JSON text from outside. Never throws.
 *
 * Scans the text once before `JSON.parse`. Bounds nesting and the number of values, so no input exhausts stack or
 * memory. Refuses an object with a key given twice, because readers disagree about such keys (RFC 8259 §4). Grammar
 * itself is left to `JSON.parse`. Numbers out of range and lone surrogates are refused (RFC 7493 §2.1, §2.2): they have
 * no canonical form. A whole number beyond 2^53 is refused unless it is spelt as RFC 8785 writes the double it is read
 * as: another reader would hold another number.
 */
export function parseJsonText(text: string, values = MAX_VALUES): ParsedJson {
  try {
    const problem = scan(text, { values, exactNumbers: true });
    if (problem !== null) return { ok: false, message: problem };
    const value: unknown = JSON.parse(text);
    return isInteroperable(value)
      ? { ok: true, value }
      : { ok: false, message: "A number or a string has no exact JSON form." };
  } catch {
    return { ok: false, message: "The text is not JSON." };
  }
}

/**
 * Why two readers could hold another value of a JSON text: a key that one object names twice, however it is spelt, or
 * `__proto__`. Null where none could, or where the text is no JSON. Numbers are their readers' concern.
 */
export function ambiguityOf(text: string): string | null {
  try {
    return scan(text, { values: Infinity, exactNumbers: false });
  } catch {
    return null;
  }
}

/** Whether another reader could take another of two values under one key of a body for the one that counts. */
export const isAmbiguousJson = perBody((body) => ambiguityOf(textOf(body) ?? "") !== null);

/**
 * Whether RFC 8785 can write a value so that every reader reads it back the same: I-JSON (RFC 7493), nested at most
 * `depth` levels deep.
 */
export function isInteroperable(value: unknown, depth = MAX_DEPTH): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isFinite(value);
  if (value === null || typeof value === "boolean") return true;
  if (typeof value !== "object" || depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isInteroperable(item, depth - 1));
  // A member that is `undefined` is one that is not there.
  return Object.entries(value).every(
    ([key, item]) => key.isWellFormed() && (item === undefined || isInteroperable(item, depth - 1)),
  );
}

function scan(text: string, limits: { values: number; exactNumbers: boolean }): string | null {
  // The keys of each open object; null for an array.
  const open: (Set<string> | null)[] = [];
  let values = 0;
  let expectKey = false;
  for (let position = 0; position < text.length; position += 1) {
    const character = text.charCodeAt(position);
    if (character === QUOTE) {
      const end = stringEnd(text, position);
      const keys = open.at(-1);
      if (expectKey && keys instanceof Set) {
        const key = readKey(text.slice(position, end));
        if (keys.has(key)) return `An object names a key twice (at character ${position}).`;
        // Objects cannot hold this key as data.
        if (key === "__proto__") return `An object has a key that is not allowed (at character ${position}).`;
        keys.add(key);
      }
      expectKey = false;
      position = end - 1;
    } else if (character === OPEN_OBJECT || character === OPEN_ARRAY) {
      if (open.length === MAX_DEPTH) return `Nested deeper than ${MAX_DEPTH} levels.`;
      open.push(character === OPEN_OBJECT ? new Set() : null);
      expectKey = character === OPEN_OBJECT;
      values += 1;
    } else if (character === CLOSE_OBJECT || character === CLOSE_ARRAY) {
      open.pop();
      expectKey = false;
    } else if (character === COMMA) {
      expectKey = open.at(-1) instanceof Set;
      values += 1;
    } else if (isDigit(character) || character === MINUS) {
      const number = numberAt(text, position);
      if (limits.exactNumbers && !isExact(number))
        return `A whole number has more digits than every reader holds (at character ${position}).`;
      position += number.length - 1;
    }
    if (values > limits.values) return `More than ${limits.values} values.`;
  }
  return null;
}

/**
 * The members of a JSON object, each as its text stands. Null for any other text, and for one that two readers could hold to be
 * two values.
 */
export function membersIn(text: string): ReadonlyMap<string, string> | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value) || ambiguityOf(text) !== null) return null;
    const members = new Map<string, string>();
    let [depth, key, from] = [0, "", 0];
    const take = (to: number): void => {
      if (key !== "") members.set(key.slice(1), text.slice(from, to).trim());
      key = "";
    };
    for (let position = 0; position < text.length; position += 1) {
      const character = text.charCodeAt(position);
      if (character === QUOTE) {
        const end = stringEnd(text, position);
        if (depth === 1 && key === "") {
          key = `=${readKey(text.slice(position, end))}`;
          from = text.indexOf(":", end) + 1;
        }
        position = end - 1;
      } else if (character === OPEN_OBJECT || character === OPEN_ARRAY) depth += 1;
      else if (character === COMMA && depth === 1) take(position);
      else if (character === CLOSE_OBJECT || character === CLOSE_ARRAY) {
        depth -= 1;
        if (depth === 0) take(position);
      }
    }
    return members;
  } catch {
    return null;
  }
}

/** The numbers of a JSON text that `JSON.stringify` would write in another way, as they are spelt. */
export function respeltNumbers(text: string): string[] {
  const found: string[] = [];
  for (let position = 0; position < text.length; position += 1) {
    const character = text.charCodeAt(position);
    if (character === QUOTE) position = stringEnd(text, position) - 1;
    else if (isDigit(character) || character === MINUS) {
      const number = numberAt(text, position);
      if (JSON.stringify(Number(number)) !== number) found.push(number);
      position += number.length - 1;
    }
  }
  return found;
}

const isDigit = (character: number): boolean => character >= ZERO && character <= NINE;

/** The number that begins here, as it is spelt; a lone sign as itself. */
function numberAt(text: string, position: number): string {
  NUMBER.lastIndex = position;
  return NUMBER.exec(text)?.[0] ?? "-";
}

/** Whether a number has a fraction or an exponent, is within 2^53, or is spelt as the double that it is read as. */
const isExact = (number: string): boolean =>
  !/^-?\d+$/.test(number) || Number.isSafeInteger(Number(number)) || String(Number(number)) === number;

/** Index after the closing quote of the string that starts at `start`. Throws SyntaxError where it never closes. */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
  }
  throw new SyntaxError("unterminated string");
}

/** The key a quoted text means. Throws SyntaxError where it is no JSON string. */
const readKey = (quoted: string): string => (quoted.includes("\\") ? String(JSON.parse(quoted)) : quoted.slice(1, -1));
