import { ToolMessage, type ToolCall } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import type { StructuredToolInterface, ToolRuntime } from "@langchain/core/tools";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";

/** The runtime LangChain hands to a tool's function, or the little of it outside a graph. */
export type CallRuntime = Partial<ToolRuntime>;

/** The id of the tool call being answered, or null for a direct `invoke(args)`. */
export const toolCallIdOf = (runtime: CallRuntime): string | null => runtime.toolCallId ?? runtime.toolCall?.id ?? null;

/** Threads of callers that name none: unique to this process, because tool-call ids alone repeat. */
const processThread = crypto.randomUUID();

/**
 * Names a call: thread, tool-call id and arguments. LangChain runs a tool again on retry and on resume
 * with the same three, and must then not pay again. Null for a direct call, which names no call to be the same as.
 */
export function callKeyOf(runtime: CallRuntime, args: unknown): string | null {
  const call = toolCallIdOf(runtime);
  if (call === null) return null;
  const thread: unknown = runtime.configurable?.["thread_id"] ?? runtime.config?.configurable?.["thread_id"];
  const named =
    typeof thread === "string" || typeof thread === "number" ? `thread:${thread}` : `process:${processThread}`;
  return `lc-${toHex(canonicalSha256([named, call, args]))}`;
}

type Read = { args: Record<string, unknown> } | { refusal: unknown };

/**
 * The tool, whose arguments are read before LangChain holds them to its schema: for those that do not fit LangChain throws
 * an error without code or money, and a throw can end the whole run.
 */
export function readingFirst<Tool extends StructuredToolInterface>(
  made: Tool,
  read: (args: unknown, runtime: CallRuntime) => Read,
): Tool {
  const invoke = made.invoke.bind(made);
  made.invoke = async (input: unknown, config) => {
    const call = isToolCall(input) ? input : null;
    const result = read(call === null ? input : call.args, call === null ? {} : { toolCallId: call.id ?? "" });
    if ("refusal" in result) return result.refusal;
    return (await invoke(
      (call === null ? result.args : { ...call, args: result.args }) as Parameters<typeof invoke>[0],
      config,
    )) as unknown;
  };
  return made;
}

const isToolCall = (input: unknown): input is ToolCall =>
  typeof input === "object" && input !== null && "type" in input && input.type === "tool_call";

/** A failure as the model reads it. Returned and never thrown: with middleware installed, a throw ends the whole run. */
export const errorMessage = (runtime: CallRuntime, name: string, text: string, artifact: unknown): ToolMessage =>
  new ToolMessage({ status: "error", content: text, artifact, name, tool_call_id: toolCallIdOf(runtime) ?? "" });

/** What names a call of a chat model: the run's id, and in a graph its thread and task. */
export type ChatRun = { runId?: unknown; thread?: unknown; task?: unknown };

/** Whether what was thrown is an interrupt of the graph, or the end of its run: neither is the tool's failure. */
export const goesOn = (error: unknown, signal: AbortSignal | undefined): boolean =>
  signal?.aborted === true ||
  (typeof error === "object" && error !== null && "is_bubble_up" in error && error.is_bubble_up === true);

/** The names in a call's configuration. */
export const chatRunOf = ({ runId, metadata, configurable }: RunnableConfig): ChatRun => ({
  runId,
  thread: configurable?.["thread_id"] ?? metadata?.["thread_id"],
  task: metadata?.["langgraph_checkpoint_ns"],
});

/**
 * Names a call of a chat model: by a graph's thread and task, which are the same if the task runs again, else by the run's id.
 * Null for a call without either.
 */
export function chatCallKeyOf({ runId, thread, task }: ChatRun, asked: unknown): string | null {
  const named =
    typeof task === "string" && task !== ""
      ? [typeof thread === "string" ? `thread:${thread}` : `process:${processThread}`, task]
      : typeof runId === "string"
        ? [`run:${runId}`]
        : null;
  if (named === null) return null;
  const digest = askedDigest([...named, asked]);
  return digest === null ? null : `lc-${digest}`;
}

/** The digest of what is asked. Null for what no JSON can carry: the exchange format names it. */
export function askedDigest(asked: unknown): string | null {
  try {
    return toHex(canonicalSha256(asked));
  } catch {
    return null;
  }
}
