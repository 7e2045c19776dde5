import * as z from "zod";
import type { ToolDefinition } from "./definition.ts";

/** JSON Schema of an object's fields. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A tool's schema is the same for each of its calls. */
const made = new WeakMap<z.ZodObject, JsonSchema>();

/**
 * A tool's input as each client receives it. Leaves out what zod writes besides and some models' APIs refuse: the dialect,
 * the pattern beside a format, and that a free object takes anything.
 *
 * @example
 * ```ts
 * import { inputSchema, tools } from "proof402/tools";
 *
 * const schemas = tools.map((tool) => inputSchema(tool));
 * ```
 */
export const inputSchema = ({ input }: Pick<ToolDefinition, "input">): JsonSchema => {
  const known = made.get(input);
  if (known !== undefined) return known;
  const { $schema: _dialect, ...schema } = z.toJSONSchema(input, {
    io: "input",
    override: ({ jsonSchema }) => {
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
      if (jsonSchema.additionalProperties !== false) delete jsonSchema.additionalProperties;
    },
  });
  made.set(input, schema);
  return schema;
};
