import { numberText, type PythonJson } from "./python-json.ts";

/** All that Python escapes but the plain space: CPython, `Objects/unicodectype.c`, `_PyUnicode_IsPrintable`. */
const UNPRINTABLE = /[\p{C}\p{Z}]/u;
const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

/**
 * Python's `repr(value)`. Characters are printable by the Unicode version of this machine, and a Python has its own: they
 * differ for characters assigned between the two. Source: CPython `Objects/unicodeobject.c`, `unicode_repr`.
 */
export function pythonRepr(value: PythonJson): string {
  if (typeof value === "string") return textRepr(value);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(", ")}]`;
  if (!(value instanceof Map)) return numberText(value, "inf");
  return `{${[...value].map(([key, item]) => `${textRepr(key)}: ${pythonRepr(item)}`).join(", ")}}`;
}

function textRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inside = Array.from(text, (character) => {
    if (character === quote) return `\\${character}`;
    if (character === " " || (character !== "\\" && !UNPRINTABLE.test(character))) return character;
    return ESCAPES[character] ?? codeOf(character.codePointAt(0) ?? 0);
  });
  return `${quote}${inside.join("")}${quote}`;
}

function codeOf(point: number): string {
  const [letter, digits] = point <= 0xff ? ["x", 2] : point <= 0xffff ? ["u", 4] : ["U", 8];
  return `\\${letter}${point.toString(16).padStart(digits, "0")}`;
}
