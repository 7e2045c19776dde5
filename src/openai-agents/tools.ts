import { tool, type FunctionTool } from "@openai/agents";
import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import { buyWithin, createBudget } from "../tools/budget.ts";
import { callDigest, readArguments } from "../tools/call.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "../tools/definition.ts";
import { tools } from "../tools/index.ts";
import { inputSchema } from "../tools/input-schema.ts";

/** What the tools for the OpenAI Agents SDK are made from. */
export type Proof402ToolsOptions = {
  buyer: Buyer;
  /** Asks a person about a payment for which the policy wants one. Without it such a payment waits for `proof402 approvals`. */
  approve?: ((request: ApprovalRequest) => Promise<ApprovalDecision>) | undefined;
  /** The most that all purchases by these tools may cost together, in US dollars. Make a set for each run. */
  maxUsd?: number | undefined;
};

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
  const { buyer, approve, maxUsd } = options;
  /** Ids of tool calls repeat from run to run: some models count them. */
  const ownRun = crypto.randomUUID();
  const budgets = maxUsd === undefined ? [] : [createBudget(maxUsd, "the budget of these tools")];
  /** Of each run, by the ids of its calls, until the run's item is made. */
  const outcomes = new WeakMap<object, Map<string, object>>();
  const outcomeOf = async (
    definition: ToolDefinition,
    input: unknown,
    details: Details,
  ): Promise<ToolOutcome<unknown>> => {
    const read = readArguments(definition, input);
    if (!read.ok) return read.failure;
    const { toolCall, signal } = details;
    const callKey = toolCall === undefined ? undefined : `oa-${callDigest([ownRun, toolCall.callId, read.args])}`;
    const run = (admit?: ToolContext["admit"]): Promise<ToolOutcome<unknown>> =>
      definition.run({ buyer, signal, callKey, approve, admit }, read.args);
    return definition.annotations.readOnlyHint ? run() : buyWithin(buyer, budgets, run);
  };
  return tools.map((definition) =>
    tool({
      name: definition.name,
      description: definition.description,
      parameters: inputSchema(definition) as never,
      strict: false,
      execute: async (input: unknown, context: object | undefined, details: Details = {}) => {
        const { text, ...data } = await outcomeOf(definition, input, details);
        const callId = details.toolCall?.callId;
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
