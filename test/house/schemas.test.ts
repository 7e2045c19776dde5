import { convertToOpenAITool } from "@langchain/core/utils/function_calling";
import { describe, expect, it } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { createProof402Tools } from "../../src/langchain/index.ts";
import { listedInput } from "../../mcp-server/schemas.ts";
import { tools } from "../../src/tools/index.ts";

/** The keywords that the function declarations of OpenAI, Gemini and Claude all take. */
const ALLOWED = new Set([
  "type",
  "properties",
  "required",
  "description",
  "enum",
  "items",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "format",
  // OpenAI's strict mode demands it and adapters for Gemini take it out.
  "additionalProperties",
]);
/** Gemini takes no other format of text. */
const FORMATS = new Set([undefined, "date-time"]);

type Schema = Record<string, unknown>;

function refusedIn(schema: Schema, at: string): string[] {
  const { type, properties, items, format, additionalProperties } = schema;
  const fields = Object.entries((properties ?? {}) as Record<string, Schema>);
  return [
    ...Object.keys(schema)
      .filter((word) => !ALLOWED.has(word))
      .map((word) => `${at}: ${word}`),
    ...(typeof type === "string" ? [] : [`${at}: type`]),
    ...(type === "object" && properties === undefined ? [`${at}: no properties`] : []),
    ...(FORMATS.has(format as string | undefined) ? [] : [`${at}: format`]),
    ...(additionalProperties === undefined || additionalProperties === false ? [] : [`${at}: additionalProperties`]),
    ...fields.flatMap(([name, field]) => refusedIn(field, `${at}.${name}`)),
    ...(items === undefined ? [] : refusedIn(items as Schema, `${at}[]`)),
  ];
}

describe("a tool's input schema, as a client receives it", () => {
  it("over MCP holds no keyword that a model's API refuses", () => {
    const schemas = tools.map(
      (tool) => [tool.name, listedInput(tool)["~standard"].jsonSchema.input({ target: "draft-2020-12" })] as const,
    );
    expect(schemas.flatMap(([name, schema]) => refusedIn(schema, name))).toEqual([]);
  });

  it("from LangChain holds none either", () => {
    const declared = createProof402Tools({ buyer: {} as Buyer }).map((one) => convertToOpenAITool(one).function);
    expect(declared).toHaveLength(tools.length);
    expect(declared.flatMap(({ name, parameters }) => refusedIn(parameters as Schema, name))).toEqual([]);
  });

  it("this check can fail", () => {
    const free = { type: "object", propertyNames: { type: "string" }, additionalProperties: {} };
    expect(refusedIn({ type: "object", properties: { free, at: { type: "string", format: "uri" } } }, "t")).toEqual([
      "t.free: propertyNames",
      "t.free: no properties",
      "t.free: additionalProperties",
      "t.at: format",
    ]);
  });
});
