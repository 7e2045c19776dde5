import type {
  CallToolResult,
  InputRequiredResult,
  ServerContext,
  StandardSchemaWithJSON,
} from "@modelcontextprotocol/server";
import { tools, type ToolDefinition } from "proof402/tools";
import { createCaller } from "./call.ts";
import { listedOutput } from "./schemas.ts";

/** Calls of the tools by their names, and the check of what leaves. */
export type Calls = {
  call(name: string, args: unknown, context: ServerContext): Promise<CallToolResult | InputRequiredResult>;
  check: (name: string, value: unknown) => ReturnType<StandardSchemaWithJSON["~standard"]["validate"]>;
};

/** Loaded at the first call: a client that only lists waits for none of it. */
export function createCalls(options: Parameters<typeof createCaller>[0]): Calls {
  const call = createCaller(options);
  const named = (name: string): ToolDefinition => {
    const found = tools.find((tool) => tool.name === name);
    if (found === undefined) throw new TypeError(`listed, and no tool: ${name}`);
    return found;
  };
  return {
    call: (name, args, context) => call(named(name), args, context),
    check: (name, value) => listedOutput(named(name))["~standard"].validate(value),
  };
}
