import { perBody } from "../body.ts";
import { textOf, type Bytes } from "../bytes.ts";

/** A number as its JSON text spells it: Python tells `1` from `1.0`, and holds integers of any size. */
type PythonNumber = { literal: string };

/** JSON as Python holds it: numbers unrounded, objects in the order of their text, of a repeated key the last value. */
export type PythonJson = null | boolean | string | PythonNumber | PythonJson[] | PythonObject;

/** An object of such JSON. */
export type PythonObject = Map<string, PythonJson>;

/** Deepest nesting read, so that no text exhausts the stack. */
const MAX_DEPTH = 64;

const [TAB, LINE_FEED, RETURN, SPACE, QUOTE, COMMA, COLON, OPEN_ARRAY, BACKSLASH, CLOSE_ARRAY] = [
  0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x3a, 0x5b, 0x5c, 0x5d,
];
const [F, N, T, U, OPEN_OBJECT, CLOSE_OBJECT, DELETE] = [0x66, 0x6e, 0x74, 0x75, 0x7b, 0x7d, 0x7f];
const NUMBER = /[-+.\deE]+/y;

/**
 * Reads JSON text as Python's `json.loads` does, without losing a digit or the order of an object. Undefined for other
 * text, or nested deeper than 64 levels. No library keeps that order: JavaScript's objects move keys such as "10" first.
 */
export function readPythonJson(text: string): PythonJson | undefined {
  let at = 0;

  /** The next character that is neither space nor separator. */
  const next = (): number => {
    for (; ; at += 1) {
      const character = text.charCodeAt(at);
      if (character > SPACE && character !== COMMA && character !== COLON) return character;
    }
  };
  const string = (): string => {
    const start = at;
    let end = text.indexOf('"', start + 1);
    while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
    at = end + 1;
    const raw = text.slice(start + 1, end);
    return raw.includes("\\") ? (JSON.parse(text.slice(start, at)) as string) : raw;
  };
  const word = <T>(value: T, length: number): T => {
    at += length;
    return value;
  };
  const read = (depth: number): PythonJson => {
    if (depth === 0) throw new RangeError("nested too deeply");
    switch (next()) {
      case QUOTE:
        return string();
      case OPEN_ARRAY: {
        const items: PythonJson[] = [];
        for (at += 1; next() !== CLOSE_ARRAY;) items.push(read(depth - 1));
        return word(items, 1);
      }
      case OPEN_OBJECT: {
        const members: PythonObject = new Map();
        for (at += 1; next() !== CLOSE_OBJECT;) members.set(string(), read(depth - 1));
        return word(members, 1);
      }
      case T:
        return word(true, 4);
      case F:
        return word(false, 5);
      case N:
        return word(null, 4);
      default: {
        NUMBER.lastIndex = at;
        const literal = NUMBER.exec(text)?.[0] ?? "";
        return word({ literal }, literal.length);
      }
    }
  };
  try {
    // It holds text to the grammar, so the reader above meets none but good text.
    JSON.parse(text);
    return read(MAX_DEPTH);
  } catch {
    return undefined;
  }
}

/** The object in a body, read once for each array of bytes; null for a body that is none. Readers change nothing of it. */
export const pythonObjectIn = perBody((body): PythonObject | null => {
  const value = readPythonJson(textOf(body) ?? "");
  return isPythonObject(value) ? value : null;
});

/** Whether a quote inside a string is escaped: an odd number of backslashes stands before it. */
function isEscaped(text: string, quote: number): boolean {
  let backslash = quote - 1;
  while (text.charCodeAt(backslash) === BACKSLASH) backslash -= 1;
  return (quote - backslash) % 2 === 0;
}

const BEYOND_ASCII = /[\x7f-\uffff]/;
/** The engine writes longer texts faster than a loop over them does. */
const SHORT = 64;
const encoder = new TextEncoder();
/** An escape takes six bytes. */
const MOST_PER_UNIT = 6;
const HEX = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
/** The letter of a short escape by its character, else 0. */
const SHORT_ESCAPES = new Uint8Array(DELETE);
for (const [unit, letter] of [
  [QUOTE, QUOTE],
  [BACKSLASH, BACKSLASH],
  [0x08, 0x62],
  [TAB, T],
  [LINE_FEED, N],
  [0x0c, F],
  [RETURN, 0x72],
] as const)
  SHORT_ESCAPES[unit] = letter;

/**
 * The bytes of Python's `json.dumps(value, sort_keys=True)`: keys by code point, `", "` and `": "` between, all but ASCII
 * escaped. Source: CPython `Lib/json/encoder.py`.
 */
export function dumpPythonJson(value: PythonJson): Bytes {
  let out = new Uint8Array(1 << 12);
  let length = 0;

  const reserve = (more: number): void => {
    if (length + more <= out.length) return;
    const grown = new Uint8Array(2 * (length + more));
    grown.set(out.subarray(0, length));
    out = grown;
  };
  const put = (ascii: string): void => {
    reserve(ascii.length);
    for (let at = 0; at < ascii.length; at += 1) out[length + at] = ascii.charCodeAt(at);
    length += ascii.length;
  };
  const putPair = (first: number, second: number): void => {
    reserve(2);
    out[length] = first;
    out[length + 1] = second;
    length += 2;
  };
  const putText = (text: string): void => {
    reserve(MOST_PER_UNIT * text.length + 2);
    if (text.length > SHORT && !BEYOND_ASCII.test(text)) {
      // JavaScript escapes the rest as Python does.
      const quoted = JSON.stringify(text);
      length += encoder.encodeInto(quoted, out.subarray(length)).written ?? 0;
      return;
    }
    // In variables of its own: this loop is where the time goes.
    const bytes = out;
    let to = length;
    bytes[to++] = QUOTE;
    for (let at = 0; at < text.length; at += 1) {
      const unit = text.charCodeAt(at);
      if (unit >= SPACE && unit < DELETE && unit !== QUOTE && unit !== BACKSLASH) {
        bytes[to++] = unit;
        continue;
      }
      bytes[to] = BACKSLASH;
      const short = unit < DELETE ? (SHORT_ESCAPES[unit] ?? 0) : 0;
      if (short !== 0) {
        bytes[to + 1] = short;
        to += 2;
        continue;
      }
      bytes[to + 1] = U;
      bytes[to + 2] = HEX[unit >> 12] ?? 0;
      bytes[to + 3] = HEX[(unit >> 8) & 15] ?? 0;
      bytes[to + 4] = HEX[(unit >> 4) & 15] ?? 0;
      bytes[to + 5] = HEX[unit & 15] ?? 0;
      to += MOST_PER_UNIT;
    }
    bytes[to] = QUOTE;
    length = to + 1;
  };
  const putByte = (byte: number): void => {
    reserve(1);
    out[length++] = byte;
  };
  const write = (one: PythonJson): void => {
    if (typeof one === "string") putText(one);
    else if (one === null || typeof one === "boolean") put(String(one));
    else if (Array.isArray(one)) {
      putByte(OPEN_ARRAY);
      for (let at = 0; at < one.length; at += 1) {
        if (at > 0) putPair(COMMA, SPACE);
        write(one[at] ?? null);
      }
      putByte(CLOSE_ARRAY);
    } else if (one instanceof Map) {
      putByte(OPEN_OBJECT);
      const { keys, values } = sortedEntries(one);
      for (let at = 0; at < keys.length; at += 1) {
        if (at > 0) putPair(COMMA, SPACE);
        putText(keys[at] ?? "");
        putPair(COLON, SPACE);
        write(values[at] ?? null);
      }
      putByte(CLOSE_OBJECT);
    } else put(numberText(one, "Infinity"));
  };
  write(value);
  return out.slice(0, length);
}

/** Python's truth of a value: null, zero and all that is empty are false. */
export function isTruthy(value: PythonJson | undefined): boolean {
  if (value === undefined || value === null || value === false || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return !isPythonNumber(value) || Number(value.literal) !== 0;
}

/** The value as JavaScript holds it. An integer that no double spells the same is its decimal text. */
export function plainOf(value: PythonJson): unknown {
  if (Array.isArray(value)) return value.map(plainOf);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, one]) => [name, plainOf(one)]));
  if (!isPythonNumber(value)) return value;
  const { literal } = value;
  const number = Number(literal);
  return /[.eE]/.test(literal) || Number.isSafeInteger(number) || String(number) === literal ? number : literal;
}

/** Whether a value is an object. */
export const isPythonObject = (value: PythonJson | undefined): value is PythonObject => value instanceof Map;

/** Whether a value is a number. */
export const isPythonNumber = (value: PythonJson | undefined): value is PythonNumber =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Map);

/** The first half of a character beyond U+FFFF, and all units after it. */
const BEYOND_UNIT_ORDER = 0xd800;
/** Objects with more members are sorted by the engine. */
const FEW = 24;

/** An object's members in the order of Python's keys. */
function sortedEntries(members: PythonObject): { keys: string[]; values: PythonJson[] } {
  if (members.size > FEW) {
    const entries = [...members].sort(([a], [b]) => compareKeys(a, b));
    return { keys: entries.map(([key]) => key), values: entries.map(([, value]) => value) };
  }
  const keys: string[] = [];
  const values: PythonJson[] = [];
  for (const [key, value] of members) {
    let at = keys.length;
    for (; at > 0 && compareKeys(keys[at - 1] ?? "", key) > 0; at -= 1) {
      keys[at] = keys[at - 1] ?? "";
      values[at] = values[at - 1] ?? null;
    }
    keys[at] = key;
    values[at] = value;
  }
  return { keys, values };
}

/** Orders by code point. JavaScript orders by UTF-16 units, which puts U+10000 before U+FFFF. */
function compareKeys(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at += 1) {
    const [ofA, ofB] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (ofA !== ofB) return ofA < BEYOND_UNIT_ORDER || ofB < BEYOND_UNIT_ORDER ? ofA - ofB : byCodePoint(a, b);
  }
  return a.length - b.length;
}

function byCodePoint(a: string, b: string): number {
  const [ofA, ofB] = [[...a], [...b]];
  const at = ofA.findIndex((character, index) => character !== ofB[index]);
  if (at === -1) return ofA.length - ofB.length;
  return (ofA[at]?.codePointAt(0) ?? 0) - (ofB[at]?.codePointAt(0) ?? -1);
}

/** A number in Python's words: an integer with all its digits, a float by its shortest ones. */
export function numberText({ literal }: PythonNumber, infinity: string): string {
  if (/[.eE]/.test(literal)) return floatText(Number(literal), infinity);
  return literal === "-0" ? "0" : literal;
}

/** Python's `repr(float)`: plain from 1e-4 to below 1e16, with an exponent of two digits or more elsewhere. */
function floatText(value: number, infinity: string): string {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(value)) return value > 0 ? infinity : `-${infinity}`;
  if (magnitude === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  if (magnitude >= 1e-4 && magnitude < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value);
  return value.toExponential().replace(/\d+$/, (digits) => digits.padStart(2, "0"));
}
