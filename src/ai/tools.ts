import { jsonSchema, tool, type Tool, type ToolExecutionOptions } from "ai";
import type { ToolDefinition, ToolOutcome } from "../tools/definition.ts";
import { tools } from "../tools/index.ts";
import { inputSchema } from "../tools/input-schema.ts";
import { createToolSet, type Proof402ToolsOptions } from "../tools/tool-set.ts";

/** What a tool gives: data for the program, the same as on every other surface. The model reads the text. */
export type Proof402Output = ToolOutcome<unknown>;

type Names = (typeof tools)[number]["name"];

/**
 * The proof402 tools for the AI SDK, by their names. Expected failures are outputs and not thrown. Throws Proof402Error
 * `invalid_max_usd` for a `maxUsd` that is no amount of dollars.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { proof402Tools } from "proof402/ai";
 *
 * await using buyer = await openBuyer();
 * const tools = proof402Tools({ buyer, maxUsd: 0.05 });
 * ```
 */
export function proof402Tools(options: Proof402ToolsOptions): Record<Names, Tool<unknown, Proof402Output>> {
  const run = createToolSet("ai", options);
  const made = (definition: ToolDefinition): Tool<unknown, Proof402Output> =>
    tool({
      description: definition.description,
      title: definition.title,
      inputSchema: jsonSchema(inputSchema(definition)),
      execute: (input: unknown, { toolCallId, abortSignal }: ToolExecutionOptions) =>
        run(definition, input, { id: toolCallId, signal: abortSignal }),
      toModelOutput: ({ output: { status, text } }) => ({ type: status === "ok" ? "text" : "error-text", value: text }),
    });
  return Object.fromEntries(tools.map((one) => [one.name, made(one)])) as Record<Names, Tool<unknown, Proof402Output>>;
}
