import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { pendingApproval } from "../buyer/pending-approval.ts";
import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import { readArguments } from "../tools/call.ts";
import { tools } from "../tools/index.ts";
import { inputSchema } from "../tools/input-schema.ts";
import type { ToolContext, ToolDefinition, ToolError, ToolOutcome } from "../tools/definition.ts";
import { errorOutcome } from "../tools/outcome.ts";
import { errorMessage, callKeyOf, readingFirst, toolCallIdOf, type CallRuntime } from "./runtime.ts";

/** What the LangChain tools are made from. */
export type Proof402ToolsOptions = {
  buyer: Buyer;
  /**
   * `interrupt` asks a person through LangGraph's `interrupt()` where the payment policy wants one (a checkpointer is
   * needed; resume with `{ decision: "approve" | "decline", digest }`). Without it such payments are refused.
   */
  approval?: "interrupt";
};

/**
 * One LangChain tool for each of proof402's, in their order. A tuple, because `createAgent` cannot type a list that has an
 * unknown number of tools before other ones: `[...createProof402Tools(options), ownTool]`.
 */
export type Proof402Tools = [
  listModels: StructuredToolInterface,
  buyInference: StructuredToolInterface,
  getReceipt: StructuredToolInterface,
  verifyReceipt: StructuredToolInterface,
  spending: StructuredToolInterface,
];

/**
 * What a person answers to an interrupt. `digest` names the question: an answer to another question counts as missing.
 */
export type ApprovalAnswer = { decision: "approve" | "decline"; digest: string };

/**
 * The proof402 tools for LangChain. Content is text for the model; the artifact is `{ status: "ok", data }` or
 * `{ status: "error", error }`, equal to what the other surfaces return. Expected failures come back as error messages.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { createProof402Tools } from "proof402/langchain";
 *
 * await using buyer = await openBuyer();
 * const tools = createProof402Tools({ buyer });
 * ```
 */
export function createProof402Tools(options: Proof402ToolsOptions): Proof402Tools {
  return tools.map((definition) => createTool(definition, options)) as Proof402Tools;
}

type Failure = Extract<ToolOutcome<unknown>, { status: "error" }>;

function createTool(definition: ToolDefinition, options: Proof402ToolsOptions): StructuredToolInterface {
  const failed = ({ text, error }: Failure, runtime: CallRuntime): [content: unknown, artifact: unknown] => {
    const artifact = { status: "error", error };
    if (toolCallIdOf(runtime) === null) return [text, artifact];
    return [errorMessage(runtime, definition.name, text, artifact), undefined];
  };
  const made = tool(
    async (args: Record<string, unknown>, runtime: CallRuntime) => {
      const outcome = await runWithApproval(definition, options, args, runtime);
      return outcome.status === "ok" ? [outcome.text, { status: "ok", data: outcome.data }] : failed(outcome, runtime);
    },
    {
      name: definition.name,
      description: definition.description,
      schema: inputSchema(definition),
      responseFormat: "content_and_artifact",
      tags: ["proof402", ...(definition.annotations.readOnlyHint ? [] : ["x402", "paid"])],
    },
  );
  return readingFirst(made as StructuredToolInterface, (given, runtime) => {
    const read = readArguments(definition, given);
    return read.ok ? { args: read.args } : { refusal: failed(read.failure, runtime)[0] };
  });
}

/** Runs the tool; each question becomes an interrupt, after which LangGraph runs this function again from its top. */
async function runWithApproval(
  definition: ToolDefinition,
  options: Proof402ToolsOptions,
  args: Record<string, unknown>,
  runtime: CallRuntime,
): Promise<ToolOutcome<unknown>> {
  const decisions = new Map<string, ApprovalDecision>();
  for (;;) {
    try {
      return await definition.run(contextOf(options, args, runtime, decisions), args);
    } catch (error) {
      const request = pendingApproval(error);
      if (request === null) throw error;
      const answer = await ask(request);
      if (answer === NO_PERSON) return errorOutcome(cannotAsk(request));
      decisions.set(request.digest, decisionOf(answer, request));
    }
  }
}

function contextOf(
  { buyer, approval }: Proof402ToolsOptions,
  args: Record<string, unknown>,
  runtime: CallRuntime,
  decisions: ReadonlyMap<string, ApprovalDecision>,
): ToolContext {
  const callKey = callKeyOf(runtime, args);
  const { signal, writer } = runtime;
  return {
    buyer,
    signal,
    callKey: callKey ?? undefined,
    progress: writer ? (update): unknown => writer({ proof402: update }) : undefined,
    approve:
      approval === undefined
        ? undefined
        : (request): Promise<ApprovalDecision> => Promise.resolve(decisions.get(request.digest) ?? "ask_later"),
  };
}

const NO_PERSON = Symbol("no person can be asked");
const cannotAsk = ({ money, idempotencyKey }: ApprovalRequest): ToolError => ({
  code: "approval_required",
  message: "This amount needs a person's approval, and no person can be asked here.",
  money,
  ...(money === "not-moved" ? {} : { idempotencyKey }),
  next: "Make the call inside a graph with a checkpointer, or have the owner raise approveAbove in the payment policy.",
});

/** Throws LangGraph's interrupt the first time, returns the person's answer after the resume; `NO_PERSON` outside a graph. */
async function ask(request: ApprovalRequest): Promise<unknown> {
  try {
    const { interrupt } = await import("@langchain/langgraph");
    return interrupt({ type: "proof402/approval", ...request });
  } catch (error) {
    // The interrupt itself travels as an exception and must reach the graph. Any other one says that there is none.
    if (error instanceof Error && error.name === "GraphInterrupt") throw error;
    return NO_PERSON;
  }
}

function decisionOf(answer: unknown, request: ApprovalRequest): ApprovalDecision {
  if (typeof answer !== "object" || answer === null || !("decision" in answer) || !("digest" in answer))
    return "declined";
  // The offer changed since the person was asked: their answer was to another question.
  if (answer.digest !== request.digest) return "ask_later";
  return answer.decision === "approve" ? "approved" : "declined";
}
