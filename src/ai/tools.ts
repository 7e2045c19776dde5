import { jsonSchema, tool, type Tool, type ToolExecutionOptions } from "ai";
import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import { buyWithin, createBudget } from "../tools/budget.ts";
import { callDigest, readArguments } from "../tools/call.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "../tools/definition.ts";
import { tools } from "../tools/index.ts";
import { inputSchema } from "../tools/input-schema.ts";

/** What the tools for the AI SDK are made from. */
export type Proof402ToolsOptions = {
  buyer: Buyer;
  /** Asks a person about a payment for which the policy wants one. Without it such a payment waits for `proof402 approvals`. */
  approve?: ((request: ApprovalRequest) => Promise<ApprovalDecision>) | undefined;
  /** The most that all purchases by this set of tools may cost together, in US dollars. Make a set for each run. */
  maxUsd?: number | undefined;
};

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
  const { buyer, approve, maxUsd } = options;
  /** Ids of tool calls repeat from run to run: some models count them. */
  const ownRun = crypto.randomUUID();
  const budgets = maxUsd === undefined ? [] : [createBudget(maxUsd, "the budget of these tools")];
  const made = (definition: ToolDefinition): Tool<unknown, Proof402Output> =>
    tool({
      description: definition.description,
      title: definition.title,
      inputSchema: jsonSchema(inputSchema(definition)),
      async execute(input: unknown, { toolCallId, abortSignal: signal }: ToolExecutionOptions) {
        const read = readArguments(definition, input);
        if (!read.ok) return read.failure;
        const callKey = `ai-${callDigest([ownRun, toolCallId, read.args])}`;
        const run = (admit?: ToolContext["admit"]): Promise<Proof402Output> =>
          definition.run({ buyer, signal, callKey, approve, admit }, read.args);
        return definition.annotations.readOnlyHint ? run() : buyWithin(buyer, budgets, run);
      },
      toModelOutput: ({ output: { status, text } }) => ({ type: status === "ok" ? "text" : "error-text", value: text }),
    });
  return Object.fromEntries(tools.map((one) => [one.name, made(one)])) as Record<Names, Tool<unknown, Proof402Output>>;
}
