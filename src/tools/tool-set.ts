import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import { buyWithin, createBudget } from "./budget.ts";
import { callDigest, readArguments } from "./call.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "./definition.ts";

/** What a set of tools for an agents' kit is made from. */
export type Proof402ToolsOptions = {
  buyer: Buyer;
  /** Asks a person about a payment for which the policy wants one. Without it such a payment waits for `proof402 approvals`. */
  approve?: ((request: ApprovalRequest) => Promise<ApprovalDecision>) | undefined;
  /** The most that all purchases by this set of tools may cost together, in US dollars. Make a set for each run. */
  maxUsd?: number | undefined;
};

/** Runs a tool of a set, for a call by its id in the run if the kit gives one. Expected failures are outcomes. */
export type RunInSet = (
  definition: ToolDefinition,
  input: unknown,
  call: { id: string | undefined; signal: AbortSignal | undefined },
) => Promise<ToolOutcome<unknown>>;

/**
 * One budget and one run for a set of tools. `kit` begins the names of its calls. Throws Proof402Error `invalid_max_usd` for a
 * `maxUsd` that is no amount of dollars.
 */
export function createToolSet(kit: string, { buyer, approve, maxUsd }: Proof402ToolsOptions): RunInSet {
  /** Ids of tool calls repeat from run to run: some models count them. */
  const ownRun = crypto.randomUUID();
  const budgets = maxUsd === undefined ? [] : [createBudget(maxUsd, "the budget of these tools")];
  return async (definition, input, { id, signal }) => {
    const read = readArguments(definition, input);
    if (!read.ok) return read.failure;
    const callKey = id === undefined ? undefined : `${kit}-${callDigest([ownRun, id, read.args])}`;
    const run = (admit?: ToolContext["admit"]): Promise<ToolOutcome<unknown>> =>
      definition.run({ buyer, signal, callKey, approve, admit }, read.args);
    return definition.annotations.readOnlyHint ? run() : buyWithin(buyer, budgets, run);
  };
}
