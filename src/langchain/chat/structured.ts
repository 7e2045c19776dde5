import { OutputParserException } from "@langchain/core/output_parsers";
import type { BaseMessage } from "@langchain/core/messages";
import { toJsonSchema, Validator } from "@langchain/core/utils/json_schema";
import { interopSafeParseAsync, isInteropZodSchema } from "@langchain/core/utils/types";
import { isOfModel } from "./messages.ts";
import { isRecord } from "../../evidence/record.ts";

/** A schema of an answer: zod, Standard Schema or JSON Schema. */
export type AnswerSchema = Record<string, unknown>;

/** How a structured answer is asked for. */
export const METHODS = ["jsonSchema", "functionCalling", "jsonMode"] as const;

/** What a structured answer is asked for with: its name, description and JSON Schema. */
export type Form = { name: string; description?: string; schema: Record<string, unknown> };

/** The form of a schema. A JSON Schema of OpenAI's own form, `{ name, parameters }`, names itself. */
export function formOf(schema: AnswerSchema, name: string | undefined): Form {
  const wrapped = !isInteropZodSchema(schema) && typeof schema["name"] === "string" ? schema["parameters"] : undefined;
  const json = isRecord(wrapped)
    ? wrapped
    : isInteropZodSchema(schema) || "~standard" in schema
      ? (toJsonSchema(schema as Parameters<typeof toJsonSchema>[0]) as Record<string, unknown>)
      : schema;
  const own = isRecord(wrapped) ? (schema["name"] as string) : undefined;
  const { description = schema["description"] } = json;
  return {
    name: name ?? own ?? (typeof json["title"] === "string" ? safeName(json["title"]) : "extract"),
    ...(typeof description === "string" ? { description } : {}),
    schema: json,
  };
}

/** Sellers take names of letters, digits, dashes and underscores. */
const safeName = (title: string): string => title.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 64) || "extract";

/**
 * The value in an answer, by its schema. Throws OutputParserException for an answer that has none or does not fit: it was paid
 * for all the same.
 */
export async function parseStructured(
  message: BaseMessage,
  schema: AnswerSchema,
  form: Form,
  method: (typeof METHODS)[number],
): Promise<unknown> {
  const value = method === "functionCalling" ? calledWith(message, form.name) : jsonIn(message);
  if (isInteropZodSchema(schema)) {
    const parsed = await interopSafeParseAsync(schema, value);
    if (parsed.success) return parsed.data;
    throw misfit(message, parsed.error instanceof Error ? parsed.error.message : "");
  }
  const standard = schema["~standard"] as StandardSchema | undefined;
  if (standard !== undefined) {
    const parsed = await standard.validate(value);
    if (parsed.issues === undefined) return parsed.value;
    throw misfit(message, parsed.issues.map((issue) => issue.message).join(" "));
  }
  const { valid, errors } = new Validator(form.schema).validate(value);
  if (valid) return value;
  throw misfit(message, errors.map(({ error }) => error).join(" "));
}

type StandardSchema = {
  validate: (value: unknown) => Validated | Promise<Validated>;
};
type Validated = { value: unknown; issues?: undefined } | { issues: readonly { message: string }[] };

function calledWith(message: BaseMessage, name: string): unknown {
  const calls = isOfModel(message) ? (message.tool_calls ?? []) : [];
  const call = calls.find((one) => one.name === name);
  if (call === undefined) throw misfit(message, `It makes no call of "${name}".`);
  return call.args;
}

function jsonIn(message: BaseMessage): unknown {
  try {
    return JSON.parse(message.text) as unknown;
  } catch {
    throw misfit(message, "It is no JSON.");
  }
}

const misfit = (message: BaseMessage, why: string): OutputParserException =>
  new OutputParserException(`The answer does not fit the schema. ${why}`, message.text);
