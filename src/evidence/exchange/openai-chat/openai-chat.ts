import { utf8 } from "../../bytes.ts";
import type { ExchangeFormat } from "../format.ts";
import type { PythonObject } from "../python-json.ts";
import { chatParts, checkInput, describeChat, misfitOf, type Options } from "./chat-parts.ts";
import { readChat } from "./read-chat.ts";
import { bearsSignature, signatureIn, signedAnswers } from "./signed-answer.ts";
import { signedRequests } from "./signed-request.ts";
import { unsignedIn } from "./written-request.ts";

/** Sellers sign all of a chat's options but `tool_choice` and `stream`, and all of a completion's but `stream`. */
const OPTIONS: Options = {
  chat: [
    "temperature",
    "max_tokens",
    "stop",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "web_search",
    "stream",
  ],
  completion: ["temperature", "max_tokens", "stop", "web_search", "stream"],
};
/** Most stop sequences that sellers take. One of them carries the nonce. */
const MOST_STOPS = 4;

const NONCE = /^proof402:([0-9a-f]+)$/;
const stopOf = (nonce: string): string => `proof402:${nonce}`;

/**
 * Chat as OpenAI's API has it, whole or streamed, and as OpenGradient's gateway signs it. The protocol has no field for a
 * nonce, and no answer repeats one. A stop sequence carries it, as the gateway signs those and gives them to no model.
 */
export const openAiChat = {
  name: "OpenAI chat",
  ...chatParts({
    nonceOf,
    withoutNonce({ stop, ...fields }, request) {
      const stops = Array.isArray(stop) && nonceOf(request) !== null ? stop.slice(0, -1) : stop;
      const none = stops === undefined || (Array.isArray(stops) && stops.length === 0);
      return none ? fields : { ...fields, stop: stops };
    },
  }),

  readChat: (answer) => readChat(answer, true),

  describeInput: () => describeChat(OPTIONS),

  writeRequest({ model, input: given, nonce }) {
    const input = inSignedWords(given);
    const misfit = (message: string): Error => misfitOf(message, OPTIONS);
    checkInput(input, OPTIONS);
    const unsigned = unsignedIn(input["messages"]);
    if (unsigned !== null)
      throw misfit(`Sellers do not sign ${unsigned} in a message, so another could be sent in its place.`);
    const { stop = [], ...rest } = input;
    const stops: unknown[] = Array.isArray(stop) ? stop : [stop];
    if (stops.length >= MOST_STOPS || stops.some((one) => typeof one !== "string" || NONCE.test(one)))
      throw misfit(`"stop" is a text or a list of at most ${MOST_STOPS - 1} texts.`);
    const body = utf8(JSON.stringify({ model, ...rest, stop: [...stops, stopOf(nonce)] }));
    const forms = signedRequests(body);
    if (forms.length === 0) throw misfit("A message or an option has a form that sellers refuse.");
    if (forms.every((form) => form.ofAnother))
      throw misfit("A content is missing, or is a text that sellers could have signed for a list of contents.");
    return { headers: { "content-type": "application/json", accept: "application/json, text/event-stream" }, body };
  },

  mustCarry: { request: ["model"], response: [] },
  forwards: true,
  signed: {
    kind: "signature.opengradient",
    formsOf: (body, part) => (part === "request" ? signedRequests(body) : signedAnswers(body)),
    signatureIn,
    bearsSignature,
    leavesOut:
      "of the answer all but its text or, if it calls tools, the calls: no finish reason, usage, model, refusal, images or citations; of the request all but model, messages, temperature, max_tokens, stop, tools, response_format, web_search and reasoning_effort, so no tool_choice, stream, top_p, seed, n, user, logit_bias, penalties, functions or max_completion_tokens; of messages all but role, content, tool_calls and tool_call_id, so no names; of calls all but id, type, name and arguments; of a content's parts all but their text, type and file name, so no bytes of attachments; whether a field with an empty value or a temperature of 0 was there at all",
  },
} as const satisfies ExchangeFormat;

/**
 * An input in the words that sellers sign. `max_completion_tokens` is OpenAI's newer name of `max_tokens`. A wish for a stream's
 * usage stays here: each stream of these sellers has it in its last frame.
 */
function inSignedWords({
  stream_options: options,
  max_completion_tokens: most,
  ...input
}: Record<string, unknown>): Record<string, unknown> {
  const isForUsage = JSON.stringify(options) === '{"include_usage":true}';
  return {
    ...input,
    ...(options === undefined || isForUsage ? {} : { stream_options: options }),
    ...(most === undefined
      ? {}
      : { [input["max_tokens"] === undefined ? "max_tokens" : "max_completion_tokens"]: most }),
  };
}

/** The nonce that the last stop sequence carries, and no other one. */
function nonceOf(request: PythonObject): string | null {
  const stops = request.get("stop");
  const found = (Array.isArray(stops) ? stops : []).map((stop) => (typeof stop === "string" ? NONCE.exec(stop) : null));
  const nonces = found.filter((match) => match !== null);
  return nonces.length === 1 ? (found.at(-1)?.[1] ?? null) : null;
}
