import { Proof402Error } from "../../../errors.ts";
import { utf8 } from "../../bytes.ts";
import { isAmbiguousJson, isInteroperable } from "../../json-text.ts";
import { isConversation } from "../chat.ts";
import { unreadableAnswer, type ExchangeFormat, type UnreadableReason } from "../format.ts";
import { isPythonObject, plainOf, pythonObjectIn, type PythonObject } from "../python-json.ts";
import { calledOf, inOllamasForm } from "./openai-forms.ts";
import { readChat } from "./read-chat.ts";

const OPTIONS = ["tools", "format", "options", "temperature"];
const FIELDS = ["messages", ...OPTIONS];
const NONCE = /^[0-9a-f]{64}$/;

/**
 * Chat as Ollama has it, whole, from a gateway of Marlin's Oyster that signs the exact bytes of both parts. Ollama has no
 * field for a nonce and passes over those it does not know: `user` carries it, and the signature covers it there. An input as
 * OpenAI's clients write it is read back in Ollama's form.
 */
export const ollamaChat = {
  name: "Ollama chat",

  pathOf: () => "/api/chat-v2",

  describeInput: () => ({
    messages: `list of {role, content}: role system, user, assistant or tool; beside it ${OPTIONS.join(", ")}`,
  }),

  exampleInput: () => ({ messages: [{ role: "user", content: "Hello" }], options: { num_predict: 1 } }),

  writeRequest({ model, input, nonce }) {
    const other = Object.keys(input).find((name) => !FIELDS.includes(name));
    if (other !== undefined) throw misfit(`A chat has no "${other.slice(0, 64).toWellFormed()}".`);
    if (!isInteroperable(input)) throw misfit("The input holds what JSON cannot carry, or is nested too deeply.");
    if (!isConversation(input["messages"])) throw misfit("Messages are a list of at least one object with a role.");
    const written = inOllamasForm(input);
    if (typeof written === "string") throw misfit(written);
    const body = utf8(JSON.stringify({ model, ...written, stream: false, user: nonce }));
    return { headers: { "content-type": "application/json", accept: "application/json" }, body };
  },

  readInput,

  readAnswer(response) {
    const read = isAmbiguousJson(response) ? "inconsistent" : readWhole(response);
    if (typeof read === "string") return unreadableAnswer(response, read);
    const { text, calls, members } = read;
    const told = Object.fromEntries(
      ["model", "done_reason", "prompt_eval_count", "eval_count"].map((name) => [
        name,
        plainOf(members.get(name) ?? null),
      ]),
    );
    return { readable: true, answer: { ...(calls === null ? { text } : { tool_calls: calls, text }), ...told } };
  },

  readChat,

  nonceIn(body, part) {
    const user = part === "request" && !isAmbiguousJson(body) ? pythonObjectIn(body)?.get("user") : null;
    return typeof user === "string" && NONCE.test(user) ? user : null;
  },

  modelIn(body) {
    const model = isAmbiguousJson(body) ? null : pythonObjectIn(body)?.get("model");
    return typeof model === "string" ? model : null;
  },

  pricedBy(request) {
    const members = pythonObjectIn(request);
    return JSON.stringify([members?.get("model") ?? null, readInput(request)]);
  },

  mustCarry: { request: ["nonce", "model"], response: ["model"] },
  isAmbiguous: isAmbiguousJson,
  signed: {
    kind: "signature.oyster",
    leavesOut:
      "when it was made, so the same answer to the same request bytes could be sent again; the payment, but for its hash in the request; and the code in the enclave: Oyster's key management gives the key to an image by its word, and no hardware's document is in the receipt",
  },
} as const satisfies ExchangeFormat;

function readInput(request: Uint8Array): Record<string, unknown> | null {
  const members = pythonObjectIn(request);
  if (members === null || !Array.isArray(members.get("messages"))) return null;
  const { model: _asked, stream: _whole, user: _nonce, ...input } = plainOf(members) as Record<string, unknown>;
  return input;
}

type Whole = { text: string; calls: unknown[] | null; members: PythonObject };

function readWhole(response: Uint8Array): Whole | UnreadableReason {
  const members = pythonObjectIn(response);
  if (members === null) return "other_format";
  if (members.get("error") != null) return "states_error";
  const message = members.get("message");
  const done = members.get("done");
  if (!isPythonObject(message) || typeof done !== "boolean") return "other_format";
  if (!done) return "unfinished";
  const [text, calls] = [message.get("content") ?? "", message.get("tool_calls") ?? null];
  if (typeof text !== "string" || !(calls === null || Array.isArray(calls))) return "other_format";
  return { text, calls: calls === null ? null : calls.map(calledOf), members };
}

const misfit = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, {
    next: `Give { messages: [{ role: "user", content: "..." }] }, and of options ${OPTIONS.join(", ")}.`,
  });
