import { utf8 } from "../../bytes.ts";
import { isConversation } from "../chat.ts";
import type { ExchangeFormat } from "../format.ts";
import type { PythonObject } from "../python-json.ts";
import { chatParts, checkInput, describeChat, misfitOf, type Options } from "./chat-parts.ts";
import { readChat } from "./read-chat.ts";

const COMMON = ["temperature", "top_p", "max_tokens", "stop", "seed", "stream", "stream_options"];
const OPTIONS: Options = {
  chat: [
    ...COMMON,
    "max_completion_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "frequency_penalty",
    "presence_penalty",
  ],
  completion: [...COMMON, "frequency_penalty", "presence_penalty"],
};

const NONCE = /^[0-9a-f]{64}$/;
const nonceOf = (request: PythonObject): string | null => {
  const user = request.get("user");
  return typeof user === "string" && NONCE.test(user) ? user : null;
};

/**
 * Chat as OpenAI's API has it, from any seller, without a signature of its form. `user` carries the nonce: OpenAI's API has
 * it for an opaque name of the caller, 64 characters at the most. Servers pass it on or drop it, and show it to no model.
 * The other fields would change the answer or be refused: reasoning models take no `stop`, `seed` and messages reach the model, and
 * `metadata` asks OpenAI to store the chat. No answer repeats it: the bytes sent show their payment, and nothing from the
 * seller does.
 */
export const plainChat = {
  name: "OpenAI-compatible",
  ...chatParts({
    nonceOf,
    withoutNonce({ user, ...fields }, request) {
      return nonceOf(request) === null && user !== undefined ? { ...fields, user } : fields;
    },
  }),

  readChat: (answer) => readChat(answer, false),

  describeInput: () => describeChat(OPTIONS),

  writeRequest({ model, input, nonce }) {
    checkInput(input, OPTIONS);
    if (!Object.hasOwn(input, "prompt") && !isConversation(input["messages"]))
      throw misfitOf("Messages are a list of at least one object with a role.", OPTIONS);
    const body = utf8(JSON.stringify({ model, ...input, user: nonce }));
    return { headers: { "content-type": "application/json", accept: "application/json, text/event-stream" }, body };
  },

  mustCarry: { request: ["nonce", "model"], response: [] },
} as const satisfies ExchangeFormat;
