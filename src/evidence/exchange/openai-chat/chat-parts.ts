import { Proof402Error } from "../../../errors.ts";
import { sha256, toHex, utf8 } from "../../bytes.ts";
import { isInteroperable } from "../../json-text.ts";
import { unreadableAnswer, type ExchangeFormat } from "../format.ts";
import { isPythonObject, plainOf, pythonObjectIn, type PythonObject } from "../python-json.ts";
import { createPartsReader } from "./answer-parts.ts";
import { isAmbiguous, readChatAnswer, readInOneWay } from "./chat-answer.ts";
import { compareModels } from "./served-model.ts";

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";

/** The field that carries a payment's nonce in requests, by the form of a kind of seller. */
export type Carrier = {
  /** The nonce in a request, or null. */
  nonceOf: (request: PythonObject) => string | null;
  /** The request's fields without the nonce. */
  withoutNonce: (fields: Record<string, unknown>, request: PythonObject) => Record<string, unknown>;
};

/** What all sellers of chats share: OpenAI's paths, the reading of requests and answers, and the names of models. */
export const chatParts = ({ nonceOf, withoutNonce }: Carrier) =>
  ({
    pathOf: (_model, request) => (request !== undefined && isCompletion(pythonObjectIn(request)) ? COMPLETIONS : CHAT),

    exampleInput: () => ({ messages: [{ role: "user", content: "Hello" }], max_tokens: 1 }),

    pricedBy(request) {
      const members = pythonObjectIn(request);
      const asked = members === null ? null : withoutNonce(fieldsOf(members), members);
      return toHex(sha256(utf8(JSON.stringify(asked))));
    },

    readInput(request) {
      const members = pythonObjectIn(request);
      if (members === null || !(Array.isArray(members.get("messages")) || isCompletion(members))) return null;
      const { model: _asked, ...input } = withoutNonce(fieldsOf(members), members);
      return input;
    },

    readAnswer(response) {
      const read = isAmbiguous(response) ? "inconsistent" : readChatAnswer(response);
      if (typeof read === "string") return unreadableAnswer(response, read);
      const { calls, text, refusal, notRead, model, finishReason, usage = null } = read;
      const told = {
        model,
        finish_reason: finishReason,
        usage: plainOf(usage),
        ...(refusal === "" ? {} : { refusal }),
        ...(notRead.length === 0 ? {} : { not_read: [...notRead] }),
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
      const members = part === "request" && !isAmbiguous(body) ? pythonObjectIn(body) : null;
      return members === null ? null : nonceOf(members);
    },

    modelIn(body, part) {
      if (part === "response") return readInOneWay(body)?.model ?? null;
      const model = isAmbiguous(body) ? undefined : pythonObjectIn(body)?.get("model");
      return typeof model === "string" ? model : null;
    },

    // OpenGradient's gateway adds it to an answer, and to a stream's last frame.
    costIn(response) {
      const told = readInOneWay(response)?.last.get("opengradient");
      const amount = isPythonObject(told) ? told.get("cost_opg") : undefined;
      return typeof amount === "string" ? { amount, symbol: "OPG" } : null;
    },

    compareModels,
    isAmbiguous,
  }) as const satisfies Partial<ExchangeFormat>;

/** The options of a chat and those of a completion, as a kind of seller takes them. */
export type Options = { chat: readonly string[]; completion: readonly string[] };

/** Describes the input of a chat in a few words. */
export const describeChat = ({ chat, completion }: Options): Record<string, string> => ({
  messages: `list of {role, content}: role system, user, assistant or tool; beside it ${chat.join(", ")}`,
  prompt: `text of a completion, in place of messages; beside it ${completion.join(", ")}`,
});

/** Throws Proof402Error `invalid_input` for an input that is neither a chat nor a completion with known options. */
export function checkInput(input: Record<string, unknown>, options: Options): void {
  const misfit = (message: string): Proof402Error => misfitOf(message, options);
  const isChat = !Object.hasOwn(input, "prompt");
  const known = isChat ? ["messages", ...options.chat] : ["prompt", ...options.completion];
  const other = Object.keys(input).find((name) => !known.includes(name));
  if (other !== undefined)
    throw misfit(`A ${isChat ? "chat" : "completion"} has no "${other.slice(0, 64).toWellFormed()}".`);
  if (!isInteroperable(input)) throw misfit("The input holds what JSON cannot carry, or is nested too deeply.");
  if (!isChat && typeof input["prompt"] !== "string") throw misfit("A prompt is a text.");
}

/** The error of an input that no request is written for. */
export const misfitOf = (message: string, { chat }: Options): Proof402Error =>
  new Proof402Error("invalid_input", message, {
    next: `Give { messages: [{ role: "user", content: "..." }] } or { prompt: "..." }, and of options ${chat.join(", ")}.`,
  });

/** A completion asks with one text. */
const isCompletion = (request: PythonObject | null): boolean =>
  request !== null && typeof request.get("prompt") === "string" && !request.has("messages");

const fieldsOf = (members: PythonObject): Record<string, unknown> => plainOf(members) as Record<string, unknown>;
