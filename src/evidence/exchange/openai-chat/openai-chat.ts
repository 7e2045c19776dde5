import { Proof402Error } from "../../../errors.ts";
import { textOf, utf8 } from "../../bytes.ts";
import { perBody } from "../../body.ts";
import { isInteroperable } from "../../json-text.ts";
import { unreadableAnswer, type ExchangeFormat } from "../format.ts";
import { isPythonObject, plainOf, readPythonJson, type PythonObject } from "../python-json.ts";
import { createPartsReader } from "./answer-parts.ts";
import { isAmbiguous, readChatAnswer, readInOneWay } from "./chat-answer.ts";
import { signatureIn, signedAnswers } from "./signed-answer.ts";
import { signedRequests } from "./signed-request.ts";
import { unsignedIn } from "./written-request.ts";

/** What an input may hold beside `messages`. Sellers sign all of it but `tool_choice` and `stream`. */
const OPTIONS = [
  "temperature",
  "max_tokens",
  "stop",
  "tools",
  "tool_choice",
  "response_format",
  "reasoning_effort",
  "web_search",
  "stream",
] as const;
const FIELDS: readonly string[] = ["messages", ...OPTIONS];
/** Most stop sequences that sellers take. One of them carries the nonce. */
const MOST_STOPS = 4;

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";

const NONCE = /^proof402:([0-9a-f]+)$/;
const stopOf = (nonce: string): string => `proof402:${nonce}`;

/**
 * Chat as OpenAI's API has it, whole or streamed, and as OpenGradient's gateway signs it. The protocol has no field for a
 * nonce, and no answer repeats one. A stop sequence carries it, as the gateway signs those and gives them to no model.
 */
export const openAiChat = {
  name: "OpenAI chat",

  pathOf: (_model, request) => (request !== undefined && isCompletion(membersOf(request)) ? COMPLETIONS : CHAT),

  describeInput: () => ({
    messages: `list of {role, content}: role system, user, assistant or tool; beside it ${OPTIONS.join(", ")}`,
  }),

  writeRequest({ model, input, nonce }) {
    const other = Object.keys(input).find((name) => !FIELDS.includes(name));
    if (other !== undefined) throw misfit(`A chat has no "${other.slice(0, 64)}".`);
    if (!isInteroperable(input)) throw misfit("The input holds what JSON cannot carry, or is nested too deeply.");
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

  readInput(request) {
    const members = membersOf(request);
    if (members === null || !(Array.isArray(members.get("messages")) || isCompletion(members))) return null;
    const { model: _asked, stop, ...input } = plainOf(members) as Record<string, unknown>;
    const stops = Array.isArray(stop) && nonceOf(members) !== null ? stop.slice(0, -1) : stop;
    const none = stops === undefined || (Array.isArray(stops) && stops.length === 0);
    return none ? input : { ...input, stop: stops };
  },

  readAnswer(response) {
    const read = readChatAnswer(response);
    if (typeof read === "string") return unreadableAnswer(response, read);
    const { calls, text, refusal, notRead, model, finishReason, usage = null } = read;
    const told = {
      model,
      finish_reason: finishReason,
      usage: plainOf(usage),
      ...(refusal === "" ? {} : { refusal }),
      ...(notRead.length === 0 ? {} : { not_read: notRead }),
    };
    const answer =
      calls !== null
        ? { tool_calls: plainOf(calls), unsigned: { ...told, ...(text === "" ? {} : { text }) } }
        : // A refusal is no empty text.
          { ...(text === "" && refusal !== "" ? {} : { text }), unsigned: told };
    return { readable: true, answer };
  },

  readParts: createPartsReader,

  nonceIn(body, part) {
    const members = part === "request" && !isAmbiguous(body) ? membersOf(body) : null;
    return members === null ? null : nonceOf(members);
  },

  modelIn(body, part) {
    if (part === "response") return readInOneWay(body)?.model ?? null;
    const model = isAmbiguous(body) ? undefined : membersOf(body)?.get("model");
    return typeof model === "string" ? model : null;
  },

  mustCarry: { request: ["model"], response: [] },
  isAmbiguous,
  signed: {
    kind: "signature.opengradient",
    formsOf: (body, part) => (part === "request" ? signedRequests(body) : signedAnswers(body)),
    signatureIn,
    leavesOut:
      "of the answer all but its text or, if it calls tools, the calls: no finish reason, usage, model, refusal, images or citations; of the request all but model, messages, temperature, max_tokens, stop, tools, response_format, web_search and reasoning_effort, so no tool_choice, stream, top_p, seed, n, user, logit_bias, penalties, functions or max_completion_tokens; of messages all but role, content, tool_calls and tool_call_id, so no names; of calls all but id, type, name and arguments; of a content's parts all but their text, type and file name, so no bytes of attachments; and whether a field with an empty value or a temperature of 0 was there at all",
  },
} as const satisfies ExchangeFormat;

/** A completion asks with one text. No request of this form is written here, and others' are read. */
const isCompletion = (request: PythonObject | null): boolean =>
  request !== null && typeof request.get("prompt") === "string" && !request.has("messages");

/** The nonce that the last stop sequence carries, and no other one. */
function nonceOf(request: PythonObject): string | null {
  const stops = request.get("stop");
  const found = (Array.isArray(stops) ? stops : []).map((stop) => (typeof stop === "string" ? NONCE.exec(stop) : null));
  const nonces = found.filter((match) => match !== null);
  return nonces.length === 1 ? (found.at(-1)?.[1] ?? null) : null;
}

const membersOf = perBody((body): PythonObject | null => {
  const value = readPythonJson(textOf(body) ?? "");
  return isPythonObject(value) ? value : null;
});

const misfit = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, {
    next: `Give { messages: [{ role: "user", content: "..." }] }, and of options ${OPTIONS.join(", ")}.`,
  });
