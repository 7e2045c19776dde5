import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import { tools } from "../tools/index.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "../tools/definition.ts";
import { errorMessage, idempotencyKeyOf, type CallRuntime } from "./runtime.ts";

export type Proof402ToolsOptions = {
  buyer: Buyer;
  /**
   * `interrupt` asks a person through LangGraph's `interrupt()` where the payment policy wants one (a checkpointer is
   * needed; resume with `{ decision: "approve" | "decline", digest }`). Without it such payments are refused.
   */
  approval?: "interrupt";
  /** For tests. */
  clock?: () => Date;
};

/** What a person answers to an interrupt. `digest` is the one that was asked about: an answer to another question is none. */
export type ApprovalAnswer = { decision: "approve" | "decline"; digest: string };

/**
 * The proof402 tools for LangChain. Content is text for the model; the artifact is `{ status: "ok", data }` or
 * `{ status: "error", error }`, equal to what the other surfaces return. Expected failures come back as error messages.
 */
export function createProof402Tools(options: Proof402ToolsOptions): StructuredToolInterface[] {
  return tools.map((definition) => createTool(definition, options));
}

function createTool(definition: ToolDefinition, options: Proof402ToolsOptions): StructuredToolInterface {
  return tool(
    async (args: Record<string, unknown>, runtime: CallRuntime) => {
      const outcome = await runWithApproval(definition, options, args, runtime);
      if (outcome.status === "ok") return [outcome.text, { status: "ok", data: outcome.data }];
      const artifact = { status: "error", error: outcome.error };
      if (runtime.toolCallId === undefined) return [outcome.text, artifact];
      return [errorMessage(runtime, definition.name, outcome.text, artifact), undefined];
    },
    {
      name: definition.name,
      description: definition.description,
      schema: definition.input,
      responseFormat: "content_and_artifact",
      tags: ["proof402", ...(definition.annotations.readOnlyHint ? [] : ["x402", "paid"])],
    },
  ) as unknown as StructuredToolInterface;
}

type Finished = Exclude<ToolOutcome<unknown>, { status: "need_input" }>;

/** Runs the tool; each question becomes an interrupt, after which LangGraph runs this function again from its top. */
async function runWithApproval(
  definition: ToolDefinition,
  options: Proof402ToolsOptions,
  args: Record<string, unknown>,
  runtime: CallRuntime,
): Promise<Finished> {
  const decisions = new Map<string, ApprovalDecision>();
  for (;;) {
    const outcome = await definition.run(contextOf(options, args, runtime, decisions), args);
    if (outcome.status !== "need_input") return outcome;
    decisions.set(outcome.request.digest, decisionOf(await ask(outcome.request), outcome.request));
  }
}

function contextOf(
  { buyer, clock, approval }: Proof402ToolsOptions,
  args: Record<string, unknown>,
  runtime: CallRuntime,
  decisions: ReadonlyMap<string, ApprovalDecision>,
): ToolContext {
  const idempotencyKey = idempotencyKeyOf(runtime, args);
  const { signal, writer } = runtime;
  return {
    buyer,
    clock: clock ?? ((): Date => new Date()),
    ...(signal === undefined ? {} : { signal }),
    ...(idempotencyKey === null ? {} : { idempotencyKey }),
    ...(writer === undefined || writer === null ? {} : { progress: (update): void => writer({ proof402: update }) }),
    ...(approval === undefined
      ? {}
      : { approve: (request): Promise<ApprovalDecision> => Promise.resolve(decisions.get(request.digest) ?? "ask_later") }),
  };
}

/** Throws LangGraph's interrupt the first time, returns the person's answer after the resume. */
async function ask(request: ApprovalRequest): Promise<unknown> {
  const { interrupt } = await import("@langchain/langgraph");
  return interrupt({ type: "proof402/approval", ...request });
}

function decisionOf(answer: unknown, request: ApprovalRequest): ApprovalDecision {
  if (typeof answer !== "object" || answer === null || !("decision" in answer) || !("digest" in answer)) return "declined";
  // The offer changed since the person was asked: their answer was to another question.
  if (answer.digest !== request.digest) return "ask_later";
  return answer.decision === "approve" ? "approved" : "declined";
}
