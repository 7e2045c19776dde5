import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { pendingApproval } from "../buyer/pending-approval.ts";
import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import { readArguments } from "../tools/call.ts";
import { tools } from "../tools/index.ts";
import { inputSchema } from "../tools/input-schema.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "../tools/definition.ts";
import { errorOutcome } from "../tools/outcome.ts";
import { decisionOf, questionOf, remarkIn, type Answered, type AskedCall } from "./human.ts";
import { runWatched } from "./watch.ts";
import { errorMessage, callKeyOf, readingFirst, toolCallIdOf, type CallRuntime } from "./runtime.ts";

/** What the LangChain tools are made from. */
export type Proof402ToolsOptions = {
  buyer: Buyer;
  /**
   * `interrupt` asks a person through LangGraph's `interrupt()` where the payment policy wants one, in the shape of
   * LangChain's `humanInTheLoopMiddleware` (a checkpointer is needed). Resume with `{ decisions: [{ type: "approve" }] }` or
   * `{ decisions: [{ type: "reject", message }] }`, or with an {@link ApprovalAnswer}. Without it, and outside a graph, such
   * a payment waits for the owner's `proof402 approvals`.
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

/**
 * Runs the tool; each question becomes an interrupt, after which LangGraph runs this function again from its top and gives
 * the answers so far in their order. An answer names no question, so the buyer keeps which one was shown at which place.
 */
async function runWithApproval(
  definition: ToolDefinition,
  options: Proof402ToolsOptions,
  args: Record<string, unknown>,
  runtime: CallRuntime,
): Promise<ToolOutcome<unknown>> {
  const { buyer } = options;
  const call: AskedCall = { name: definition.name, args };
  const answers = new Map<string, Answered>();
  for (let place = 0; ; place += 1) {
    try {
      const context = contextOf(options, call, runtime, answers);
      const outcome = await runWatched(definition, buyer, (admit) => definition.run({ ...context, admit }, args));
      return withRemark(outcome, answers);
    } catch (error) {
      const request = pendingApproval(error);
      if (request === null) throw error;
      const at = `${callKeyOf(runtime, args) ?? request.idempotencyKey} ${place}`;
      const answer = await ask(buyer, request, call, at);
      // Without a person here the call waits for the owner's answer in another terminal.
      if (answer === NO_PERSON) {
        const context = contextOf({ buyer }, call, runtime, answers);
        return runWatched(definition, buyer, (admit) => definition.run({ ...context, admit }, args));
      }
      answers.set(termsOf(request), { answer, toThis: await buyer.wasAsked(at, request) });
    }
  }
}

/** What the person wrote beside a refusal goes to the model, as LangChain's own middleware has it. */
function withRemark(outcome: ToolOutcome<unknown>, answers: ReadonlyMap<string, Answered>): ToolOutcome<unknown> {
  if (outcome.status === "ok" || outcome.error.code !== "approval_declined") return outcome;
  const remark = [...answers.values()].map(({ answer }) => remarkIn(answer)).findLast((one) => one !== null);
  if (remark === undefined || remark === null) return outcome;
  return errorOutcome({ ...outcome.error, message: `${outcome.error.message} The person wrote: ${remark}` });
}

function contextOf(
  { buyer, approval }: Proof402ToolsOptions,
  call: AskedCall,
  runtime: CallRuntime,
  answers: ReadonlyMap<string, Answered>,
): ToolContext {
  const callKey = callKeyOf(runtime, call.args);
  const { signal, writer } = runtime;
  return {
    buyer,
    signal,
    callKey: callKey ?? undefined,
    progress: writer ? (update): unknown => writer({ proof402: update }) : undefined,
    approve:
      approval === undefined
        ? undefined
        : (request): Promise<ApprovalDecision> =>
            Promise.resolve(answers.get(termsOf(request))).then((answered) =>
              answered === undefined ? "ask_later" : decisionOf(answered, request, call),
            ),
  };
}

/** What an answer is to: a yes to less in all is no yes to more. */
const termsOf = ({ digest, amount }: ApprovalRequest): string => `${digest} ${amount}`;

const NO_PERSON = Symbol("no person can be asked");

/**
 * Throws LangGraph's interrupt the first time, returns the person's answer after the resume; `NO_PERSON` outside a graph.
 * The question is kept before the graph hears of it.
 */
async function ask(buyer: Buyer, request: ApprovalRequest, call: AskedCall, at: string): Promise<unknown> {
  try {
    const { interrupt } = await import("@langchain/langgraph");
    return interrupt(questionOf(request, call));
  } catch (error) {
    // The interrupt itself travels as an exception and must reach the graph. Any other one says that there is none.
    if (!(error instanceof Error) || error.name !== "GraphInterrupt") return NO_PERSON;
    await buyer.keepQuestion(at, request);
    throw error;
  }
}
