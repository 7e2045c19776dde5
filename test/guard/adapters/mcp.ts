import { toJsonSchema } from "@langchain/core/utils/json_schema";
import { isInteropZodSchema } from "@langchain/core/utils/types";
import * as z from "zod";
import type { GuardConfig, GuardedToolConfig } from "../../../src/guard/tool-config.ts";
import { betweenThem } from "../../support/mcp-between.ts";
import type { Acting, GuardAdapter } from "./adapter.ts";

/** The guard before an MCP server, whose tool is called over the wire. */
export const mcp: GuardAdapter = {
  name: "MCP servers",
  inProcess: false,
  async make({ name, schema, run }, { buyer, ...required }) {
    const inputSchema = jsonSchemaOf(schema);
    if (inputSchema === null) return null;
    // A file holds rules alone. What the suite judges by are functions.
    const rule = { spends: "once", ...required, notDone: [] } as unknown as GuardedToolConfig;
    const config: GuardConfig = {
      server: "suite",
      tools: new Map([[name, rule]]),
      others: "pass",
      resources: "pass",
      prompts: "pass",
      questions: "refuse",
      env: [],
      ruleOf: (asked) => (asked === name ? rule : "pass"),
    };
    const { ask } = await betweenThem(config, buyer, [{ name, inputSchema }], ({ arguments: args }) => ({
      result: { content: [{ type: "text", text: String(run(args)) }] },
    }));
    const call = (args: Record<string, unknown>): Promise<unknown> => ask("tools/call", { name, arguments: args });
    return {
      code: call,
      parallel: (args) => Promise.all([call(args), call(args), call(args)]),
      again: async (args) => {
        await call(args);
        await call(args);
      },
      listed: async (args) => {
        await ask("tools/list");
        await call(args);
      },
      claimed: (args) =>
        ask("tools/call", {
          name,
          arguments: args,
          _meta: { "proof402/claim": "c", "proof402/guard": { state: "done" } },
        }),
    };
  },
};

/** As a server lists it: before transforms and defaults; null if it is of no object, which MCP does not have. */
function jsonSchemaOf(schema: Acting["schema"]): Record<string, unknown> | null {
  try {
    const made = (
      schema instanceof z.ZodType
        ? z.toJSONSchema(schema, { io: "input", unrepresentable: "any" })
        : isInteropZodSchema(schema)
          ? toJsonSchema(schema)
          : schema
    ) as Record<string, unknown>;
    return made["type"] === "object" ? made : null;
  } catch {
    return null;
  }
}
