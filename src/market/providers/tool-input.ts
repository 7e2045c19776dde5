import { isRecord } from "../../evidence/record.ts";
import { cleanSellerText } from "../seller-text.ts";
import type { ListedModel } from "../types.ts";

const MAX_ARGUMENTS = 64;
const MAX_WORDS = 160;
const MAX_DEPTH = 8;
/** Places of numbers in one tool's arguments. */
const MAX_NUMBERS = 256;
/** Values in one example. */
const MAX_VALUES = 100_000;

/**
 * Reads a tool's JSON Schema: a few words for each argument, the least fitting arguments, and the places of numbers alone. Follows no
 * reference and no choice of schemas. Never throws.
 */
export function takenBy(schema: unknown): NonNullable<ListedModel["takes"]> {
  const { properties, required } = isRecord(schema) ? schema : {};
  const named = isRecord(properties) ? Object.entries(properties).slice(0, MAX_ARGUMENTS) : [];
  const needed = Array.isArray(required) ? required : [];
  const shown = named.filter(([name]) => name !== "" && cleanSellerText(name, 128) === name);
  let left = MAX_VALUES;

  const exampleOf = (value: unknown, depth: number): unknown => {
    left -= 1;
    if (!isRecord(value) || depth === 0 || left < 0) return null;
    const { const: only, default: usual, enum: among, minimum, minLength, minItems, items } = value;
    const given: unknown = [only, Array.isArray(among) ? among[0] : undefined, usual].find((one) => one !== undefined);
    if (given !== undefined) return given;
    const type: unknown = Array.isArray(value["type"]) ? value["type"][0] : value["type"];
    if (type === "boolean") return false;
    if (type === "number" || type === "integer") return typeof minimum === "number" ? minimum : 0;
    if (type === "string") return "x".repeat(countOf(minLength, 1, 256));
    if (type === "array") return Array.from({ length: countOf(minItems, 0, 4096) }, () => exampleOf(items, depth - 1));
    return type === "object" ? exampleOfObject(value, depth - 1) : null;
  };
  const exampleOfObject = (value: Record<string, unknown>, depth: number): Record<string, unknown> => {
    const members = isRecord(value["properties"]) ? value["properties"] : {};
    const names = Array.isArray(value["required"]) ? value["required"] : [];
    return Object.fromEntries(
      names.flatMap((name: unknown) => (typeof name === "string" ? [[name, exampleOf(members[name], depth)]] : [])),
    );
  };

  return {
    description: Object.fromEntries(shown.map(([name, of]) => [name, wordsOf(of, needed.includes(name))])),
    example: isRecord(schema) ? exampleOfObject(schema, MAX_DEPTH) : {},
    numbers: numbersIn(schema).slice(0, MAX_NUMBERS),
  };
}

function numbersIn(schema: unknown, place: readonly (string | null)[] = []): (string | null)[][] {
  if (!isRecord(schema) || place.length > MAX_DEPTH) return [];
  const { type, items, properties } = schema;
  const types: unknown[] = Array.isArray(type) ? type : [type];
  const takesNumbers = types.some((one) => one === "integer" || one === "number") && !types.includes("string");
  const members = isRecord(properties) ? Object.entries(properties).slice(0, MAX_ARGUMENTS) : [];
  return [
    ...(takesNumbers ? [[...place]] : []),
    ...numbersIn(items, [...place, null]),
    ...members.flatMap(([name, one]) => numbersIn(one, [...place, name])),
  ];
}

const countOf = (value: unknown, least: number, most: number): number =>
  typeof value === "number" && Number.isSafeInteger(value) ? Math.min(Math.max(value, least), most) : least;

function wordsOf(schema: unknown, isNeeded: boolean): string {
  const { type, description, enum: among } = isRecord(schema) ? schema : {};
  const kind = Array.isArray(among) ? `one of ${JSON.stringify(among)}` : typeof type === "string" ? type : "any value";
  const said = typeof description === "string" ? `: ${description}` : "";
  return cleanSellerText(`${kind}${isNeeded ? "" : ", optional"}${said}`, MAX_WORDS);
}
