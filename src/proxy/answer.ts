import type { PlacedToken } from "../chain/money-text.ts";
import type { BuyResult } from "../buyer/types.ts";
import type { Chat } from "../evidence/exchange/chat.ts";
import type { AnswerPart, ToolCallPart } from "../evidence/exchange/format.ts";
import { chatFacts, type ChatFacts } from "../tools/chat-facts.ts";

/** What an answer of the proxy says of its purchase, beside OpenAI's fields. */
type Proof402Fields = ChatFacts & {
  not_proven: string[];
  /** Fields of the seller's message that this version does not read. The receipt has them. */
  not_shown?: unknown;
};

/** One answer's form: a chat or a completion, with what all its frames share. */
export type Shape = { kind: "chat" | "completion"; id: string; created: number; model: string };

/** The `proof402` member of an answer. Of an answer told in pieces `isCovered` says whether all of them were signed. */
export function proof402Of(
  result: BuyResult,
  chat: Chat,
  tokens: readonly PlacedToken[],
  isCovered = true,
): Proof402Fields {
  const { facts, summary } = chatFacts(result, chat, tokens, isCovered);
  const { unsigned } = result.answer as { unsigned?: unknown };
  const notShown = typeof unsigned === "object" && unsigned !== null && "not_read" in unsigned ? unsigned.not_read : [];
  return {
    ...facts,
    not_proven: summary.notProven,
    ...(Array.isArray(notShown) && notShown.length > 0 ? { not_shown: notShown } : {}),
  };
}

/** A whole answer in OpenAI's form. */
export function wholeAnswer({ kind, ...head }: Shape, chat: Chat, proof402: Proof402Fields): object {
  const finish_reason = reasonOf(chat);
  const choice =
    kind === "completion"
      ? { index: 0, text: chat.text, logprobs: null, finish_reason }
      : { index: 0, message: messageOf(chat), logprobs: null, finish_reason };
  const object = kind === "completion" ? "text_completion" : "chat.completion";
  return { ...head, object, choices: [choice], ...(chat.usage === null ? {} : { usage: chat.usage }), proof402 };
}

const messageOf = ({ text, refusal, calls, unsigned }: Chat): object => ({
  role: "assistant",
  content: text === "" && (calls.length > 0 || refusal !== "" || unsigned.refusal !== "") ? null : text,
  refusal: refusal === "" ? null : refusal,
  ...(calls.length === 0
    ? {}
    : {
        tool_calls: calls.map(({ id, name, arguments: args }) => ({
          id,
          type: "function",
          function: { name, arguments: args },
        })),
      }),
});

const reasonOf = ({ finishReason, calls }: Chat): string => finishReason ?? (calls.length > 0 ? "tool_calls" : "stop");

/** Writes the frames of a stream. */
export type Frames = {
  /** The role, before all else. Null in a completion. */
  first: () => object | null;
  part: (part: AnswerPart) => object;
  /** The last frame, the only one with the verdict of the whole. */
  last: (chat: Chat, proof402: Proof402Fields) => object;
  usage: (chat: Chat) => object;
};

/** The frames of one stream. Each piece is marked as unverified. */
export function framesOf({ kind, ...head }: Shape): Frames {
  const object = kind === "completion" ? "text_completion" : "chat.completion.chunk";
  const begun = new Set<number>();
  const frame = (delta: object, finish_reason: string | null, rest: object): object => ({
    ...head,
    object,
    choices: [
      kind === "completion"
        ? { index: 0, text: "", ...delta, logprobs: null, finish_reason }
        : { index: 0, delta, logprobs: null, finish_reason },
    ],
    ...rest,
  });
  const deltaOf = ({ text, refusal, toolCalls }: AnswerPart): object =>
    kind === "completion"
      ? { text: text ?? "" }
      : {
          ...(text === undefined ? {} : { content: text }),
          ...(refusal === undefined ? {} : { refusal }),
          ...(toolCalls === undefined ? {} : { tool_calls: toolCalls.map((call) => callDelta(call, begun)) }),
        };
  return {
    first: () => (kind === "completion" ? null : frame({ role: "assistant", content: "" }, null, {})),
    part: (part) => frame(deltaOf(part), null, { proof402: { unverified: true } }),
    last: (chat, proof402) => frame({}, reasonOf(chat), { proof402 }),
    usage: ({ usage }) => ({ ...head, object, choices: [], usage }),
  };
}

/** Clients want the type of a call where it begins. */
function callDelta({ index, id, name, arguments: args }: ToolCallPart, begun: Set<number>): object {
  const isFirst = !begun.has(index);
  begun.add(index);
  return {
    index,
    ...(id === undefined ? {} : { id }),
    ...(isFirst ? { type: "function" } : {}),
    function: {
      ...(name === undefined ? {} : { name }),
      ...(args === undefined && !isFirst ? {} : { arguments: args ?? "" }),
    },
  };
}
