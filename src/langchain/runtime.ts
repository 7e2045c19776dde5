import { ToolMessage } from "@langchain/core/messages";
import type { ToolRuntime } from "@langchain/core/tools";
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

/** A failure as the model reads it. Returned and never thrown: with middleware installed, a throw ends the whole run. */
export const errorMessage = (runtime: CallRuntime, name: string, text: string, artifact: unknown): ToolMessage =>
  new ToolMessage({ status: "error", content: text, artifact, name, tool_call_id: toolCallIdOf(runtime) ?? "" });
