import type { BaseChatModelCallOptions, BindToolsInput } from "@langchain/core/language_models/chat_models";
import type { ChatRun } from "../runtime.ts";
import { convertToOpenAITool } from "@langchain/core/utils/function_calling";

/** The options of one call, beside LangChain's own. */
export type ChatProof402CallOptions = BaseChatModelCallOptions & {
  /** Tools as `bindTools` writes them. */
  tools?: Record<string, unknown>[];
  /** The form of the answer, as OpenAI's API has it. */
  response_format?: Record<string, unknown>;
  /** One key, one payment: the same key and messages give the stored answer. */
  idempotencyKey?: string;
  /** Most this call may cost, USD. */
  maxUsd?: number;
  [RUN]?: ChatRun;
};

/** Where a call's options hold what names the call. */
export const RUN: unique symbol = Symbol("proof402.run");

/**
 * Fields of OpenAI's API that a call may give beside those with a name of LangChain's. The exchange format refuses those of
 * them unknown to its sellers. Other options are LangChain's and LangGraph's own.
 */
const PASSED = [
  "temperature",
  "top_p",
  "top_k",
  "max_tokens",
  "max_completion_tokens",
  "seed",
  "n",
  "logprobs",
  "top_logprobs",
  "logit_bias",
  "frequency_penalty",
  "presence_penalty",
  "parallel_tool_calls",
  "reasoning_effort",
  "web_search",
  "modalities",
  "prediction",
] as const;

/** The values of an input that a call's options give. */
export function inputOptions(options: ChatProof402CallOptions): Record<string, unknown> {
  const { stop, tools, tool_choice: choice, response_format: format } = options;
  const given = options as Readonly<Record<string, unknown>>;
  return defined({
    ...Object.fromEntries(PASSED.map((name) => [name, given[name]])),
    stop,
    tools: tools === undefined || tools.length === 0 ? undefined : tools,
    tool_choice: choice === undefined ? undefined : toolChoice(choice),
    response_format: format,
  });
}

/** The entries of an object that are not undefined. */
export const defined = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** LangChain's words for a choice in OpenAI's: `any` is `required`, and another word names a tool. */
function toolChoice(choice: NonNullable<BaseChatModelCallOptions["tool_choice"]>): unknown {
  if (typeof choice !== "string") return choice;
  if (choice === "any") return "required";
  return ["auto", "none", "required"].includes(choice) ? choice : { type: "function", function: { name: choice } };
}

/** Tools in OpenAI's form. */
export const toInputTools = (tools: readonly BindToolsInput[], strict?: boolean): Record<string, unknown>[] =>
  tools.map(
    (one) => convertToOpenAITool(one, strict === undefined ? {} : { strict }) as object as Record<string, unknown>,
  );
