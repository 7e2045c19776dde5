import { parseExactJson } from "../evidence/exact-json.ts";
import { ambiguityOf } from "../evidence/json-text.ts";
import type { JsonSchema } from "./input-schema.ts";
import { isRecord } from "../evidence/record.ts";

/** Whether a field takes a value as it is. */
export type Takes = (name: string, value: unknown) => boolean;

/**
 * Arguments as a tool's schema means them, from arguments as hosts write them. Changes only what its field does not take:
 * JSON text of what it takes is read, a choice in other letters is the choice, and null, empty text or the text "null" in
 * an optional field is an absent one. Leaves everything else as it is, for the schema to refuse; unknown keys too.
 */
export function readHostArguments(schema: JsonSchema, takes: Takes, given: unknown): unknown {
  if (given === undefined || given === null || given === "") return {};
  const args = typeof given === "string" ? readJson(given) : given;
  if (!isRecord(args)) return given;
  const properties = isRecord(schema["properties"]) ? schema["properties"] : {};
  const required = Array.isArray(schema["required"]) ? (schema["required"] as unknown[]) : [];
  const read = Object.entries(args).map(([name, value]): [string, unknown] => {
    const field = Object.hasOwn(properties, name) ? properties[name] : undefined;
    // Code that calls a tool may write an absent field so.
    if (value === undefined || !isRecord(field) || takes(name, value)) return [name, value];
    return [name, readField(field, value, { takes: (one) => takes(name, one), optional: !required.includes(name) })];
  });
  return Object.fromEntries(read.filter(([, value]) => value !== undefined));
}

function readField(
  field: JsonSchema,
  value: unknown,
  { takes, optional }: { takes: (value: unknown) => boolean; optional: boolean },
): unknown {
  if (optional && (value === null || value === "")) return undefined;
  if (typeof value !== "string") return value;
  const meant = readJson(value);
  if (optional && meant === null) return undefined;
  // Text within text is no other form of the same value.
  if (typeof meant !== "string" && meant !== undefined && takes(meant)) return meant;
  const choices = (Array.isArray(field["enum"]) ? (field["enum"] as unknown[]) : []).filter(
    (one) => typeof one === "string" && one.toLowerCase() === value.toLowerCase(),
  );
  return choices.length === 1 ? choices[0] : value;
}

/** Undefined for text of no JSON value, and for JSON open to two readings. No number loses a digit. */
function readJson(text: string): unknown {
  if (ambiguityOf(text) !== null) return undefined;
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}
