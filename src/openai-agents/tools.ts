import { tool, type FunctionTool } from "@openai/agents";
import { tools } from "../tools/index.ts";
import { inputSchema } from "../tools/input-schema.ts";
import { createToolSet, type Proof402ToolsOptions } from "../tools/tool-set.ts";

/**
 * The proof402 tools as function tools of the OpenAI Agents SDK. Their output is text for the model; `customData` of the run's
 * item is the data for the program, `{ status: "ok", data }` or `{ status: "error", error }`. Throws Proof402Error
 * `invalid_max_usd` for a `maxUsd` that is no amount of dollars.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { proof402Tools } from "proof402/openai-agents";
 *
 * await using buyer = await openBuyer();
 * const tools = proof402Tools({ buyer, maxUsd: 0.05 });
 * ```
 */
export function proof402Tools<Context = unknown>(options: Proof402ToolsOptions): FunctionTool<Context>[] {
  const run = createToolSet("oa", options);
  /** Of each run, by the ids of its calls, until the run's item is made. */
  const outcomes = new WeakMap<object, Map<string, object>>();
  return tools.map((definition) =>
    tool({
      name: definition.name,
      description: definition.description,
      parameters: inputSchema(definition) as never,
      strict: false,
      execute: async (input: unknown, context: object | undefined, details: Details = {}) => {
        const callId = details.toolCall?.callId;
        const { text, ...data } = await run(definition, input, { id: callId, signal: details.signal });
        if (callId !== undefined && context !== undefined) {
          const ofRun = outcomes.get(context) ?? new Map<string, object>();
          outcomes.set(context, ofRun.set(callId, data));
        }
        return text;
      },
      customDataExtractor: ({ runContext, toolCall: { callId } }) => {
        const ofRun = outcomes.get(runContext);
        const data = ofRun?.get(callId) ?? {};
        ofRun?.delete(callId);
        // What is no JSON would end the run.
        return JSON.parse(JSON.stringify(data)) as Record<string, unknown>;
      },
    }),
  );
}

type Details = { toolCall?: { callId: string }; signal?: AbortSignal };
