import { AIMessageChunk, type UsageMetadata } from "@langchain/core/messages";
import { ChatGenerationChunk } from "@langchain/core/outputs";
import type { Told } from "../../buyer/chat-result.ts";
import type { Buyer, BuyResult } from "../../buyer/types.ts";
import type { AnswerPart, ToolCallPart } from "../../evidence/exchange/format.ts";
import type { Chat, ChatUsage } from "../../evidence/exchange/chat.ts";
import { chatFacts, type ChatFacts } from "../../tools/chat-facts.ts";

/**
 * `response_metadata.proof402` of a message. `judged` is 0 on the pieces of a stream, which nothing vouches for, and 1 on its
 * last, whole message. LangChain adds the numbers of the chunks it joins, so a joined message has 1 only if its last chunk came.
 */
export type Proof402Metadata = { judged: 0 } | ({ judged: 1 } & ChatFacts);

/** A piece of a stream as a chunk. */
export function partChunk({ text = "", refusal, toolCalls = [] }: AnswerPart): ChatGenerationChunk {
  return chunkOf(text, {
    tool_call_chunks: toolCalls.map(callChunk),
    response_metadata: {
      ...(refusal === undefined ? {} : { refusal }),
      proof402: { judged: 0 } satisfies Proof402Metadata,
    },
  });
}

/**
 * The rest of a judged answer after its pieces, with the facts of the whole. After pieces with words outside the seller's
 * signature the verdict is no better than `unverified`. Throws Proof402Error `answer_replaced` if the pieces
 * said something else.
 */
export function lastChunk(result: BuyResult, chat: Chat, told: Told, tokens: Buyer["tokens"]): ChatGenerationChunk {
  const { text, refusal, calls, isCovered } = told.restOf(result, chat);
  const { facts, summary } = chatFacts(result, chat, tokens, isCovered);
  const model = chat.model ?? summary.model;
  const proof402: Proof402Metadata = { judged: 1, ...facts };
  const response_metadata = {
    ...(refusal === "" ? {} : { refusal }),
    model_provider: "proof402",
    model_name: model,
    model,
    ...(chat.finishReason === null ? {} : { finish_reason: chat.finishReason }),
    proof402,
  };
  return chunkOf(text, { tool_call_chunks: calls.map(callChunk), response_metadata }, chat.usage);
}

const callChunk = ({ index, id, name, arguments: args = "" }: ToolCallPart) => ({
  type: "tool_call_chunk" as const,
  index,
  args,
  ...(id === undefined ? {} : { id }),
  ...(name === undefined ? {} : { name }),
});

type ChunkFields = {
  tool_call_chunks: ReturnType<typeof callChunk>[];
  response_metadata: Record<string, unknown>;
};

function chunkOf(text: string, fields: ChunkFields, usage: ChatUsage | null = null): ChatGenerationChunk {
  const message = new AIMessageChunk({ content: text, ...fields });
  // The type of a message without a structure has no usage.
  if (usage !== null) Object.assign(message, { usage_metadata: usageOf(usage) });
  return new ChatGenerationChunk({ text, message });
}

const usageOf = (usage: ChatUsage): UsageMetadata => {
  const cached = usage.prompt_tokens_details?.cached_tokens;
  const reasoning = usage.completion_tokens_details?.reasoning_tokens;
  return {
    input_tokens: usage.prompt_tokens,
    output_tokens: usage.completion_tokens,
    total_tokens: usage.total_tokens,
    ...(cached === undefined ? {} : { input_token_details: { cache_read: cached } }),
    ...(reasoning === undefined ? {} : { output_token_details: { reasoning } }),
  };
};
