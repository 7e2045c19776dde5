import type { StandardSchemaWithJSON } from "@modelcontextprotocol/server";
import * as z from "zod";
import { inputSchema, type ToolDefinition } from "proof402/tools";

type JsonSchema = Record<string, unknown>;

/**
 * A tool's input as clients see it. Lets everything through to the handler, which checks it: a misfit is then a result
 * with code, money and next step, like every other failure.
 */
export const listedInput = (definition: ToolDefinition): StandardSchemaWithJSON =>
  listed(inputSchema(definition), (value) => ({ value }));

/**
 * A tool's output as clients see it: the fields with their types and no deeper, because models read it with every
 * listing. Nothing is required, because clients of 2025 hold error results to it too. What leaves is held to the tool's own
 * schema all the same.
 */
export const listedOutput = (definition: ToolDefinition): StandardSchemaWithJSON =>
  listed(shallow(definition.output), (value) => {
    const parsed = definition.output.safeParse(value);
    return parsed.success ? { value } : { issues: parsed.error.issues };
  });

type Check = StandardSchemaWithJSON["~standard"]["validate"];

const listed = (schema: JsonSchema, validate: Check): StandardSchemaWithJSON => ({
  "~standard": { version: 1, vendor: "proof402", validate, jsonSchema: { input: () => schema, output: () => schema } },
});

function shallow(output: z.ZodObject): JsonSchema {
  const { properties = {} } = z.toJSONSchema(output, { io: "output" });
  return {
    type: "object",
    properties: {
      ...Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, typeOnly(field)])),
      error: { type: "object" },
    },
  };
}

/** The type of a field, or each of several as a schema of its own: providers of models refuse a list of types. */
function typeOnly(field: unknown): JsonSchema {
  const types = typesOf(field);
  const [one] = types;
  return types.length > 1 ? { anyOf: types.map((type) => ({ type })) } : one === undefined ? {} : { type: one };
}

function typesOf(field: unknown): unknown[] {
  if (typeof field !== "object" || field === null) return [];
  if ("type" in field) return [field.type].flat();
  return "anyOf" in field && Array.isArray(field.anyOf) ? field.anyOf.flatMap(typesOf) : [];
}
