import { equalBytes, type Bytes } from "../../bytes.ts";
import { perBody } from "../../body.ts";
import type { SignedForm } from "../format.ts";
import {
  dumpPythonJson,
  isPythonNumber,
  isPythonObject,
  isTruthy,
  pythonObjectIn,
  type PythonJson,
  type PythonObject,
} from "../python-json.ts";
import { pythonRepr } from "../python-repr.ts";

/**
 * The forms in which OpenGradient's gateway signed requests since February 2026. They differ for contents that are lists.
 * `web_search` came with V3 and `reasoning_effort` with V4. Earlier gateways leave them out: then the form is of another
 * request, too. All else has the same bytes in each.
 */
const ERAS = ["V1", "V2", "V3", "V4"] as const;
type Era = (typeof ERAS)[number];

/** The gateway answers no such request, or its form is not known. */
const REFUSED = Symbol("refused");
/** A field of a form; undefined leaves it out. */
type Field = PythonJson | undefined | typeof REFUSED;

/**
 * A request's bytes in each form of the gateway, which signs their Keccak-256. Forms with the same bytes are one.
 * Empty for a request that it does not answer. Source: OpenGradient tee-gateway, `chat_controller.py`
 * (`_chat_request_to_dict`) and `completions_controller.py`.
 */
export const signedRequests = perBody((body): SignedForm[] => {
  const request = pythonObjectIn(body);
  if (request === null) return [];
  const form = request.has("messages") ? chatForm : completionForm;
  const forms: { eras: Era[]; bytes: Bytes; ofAnother: boolean }[] = [];
  for (const era of ERAS) {
    const members = form(request, era);
    if (members === REFUSED) continue;
    const bytes = dumpPythonJson(members);
    const ofAnother = isOfAnother(request.get("messages"), era) || lacksOption(request, era);
    const same = forms.find((one) => equalBytes(one.bytes, bytes));
    if (same === undefined) forms.push({ eras: [era], bytes, ofAnother });
    else {
      same.eras.push(era);
      same.ofAnother ||= ofAnother;
    }
  }
  return forms.map(({ eras, bytes, ofAnother }) => ({ name: eras.join(", "), bytes, ofAnother }));
});

/** A text that Python prints of a list of parts. */
const PRINTED_PARTS = /^\[\{'[^]*\}\]$/;

/**
 * Whether another request has the same bytes: a list is a text in V1, and a missing content the text "None". The text is
 * of another, too, as no hash shows which form had it.
 */
function isOfAnother(messages: PythonJson | undefined, era: Era): boolean {
  return (Array.isArray(messages) ? messages : []).some((message) => {
    if (!isPythonObject(message) || message.get("role") !== "user") return false;
    const content = message.get("content");
    if (Array.isArray(content)) return era === "V1";
    return content === undefined || (isText(content) && PRINTED_PARTS.test(content));
  });
}

/** Options of a request by the form that came with them. */
const LATER: Readonly<Record<"web_search" | "reasoning_effort", Era>> = { web_search: "V3", reasoning_effort: "V4" };

/** Whether a request has an option that gateways of this form did not know. Completions never had an effort. */
const lacksOption = (request: PythonObject, era: Era): boolean =>
  (isTruthy(request.get("web_search")) && isBefore(era, LATER.web_search)) ||
  (request.has("messages") && isTruthy(request.get("reasoning_effort")) && isBefore(era, LATER.reasoning_effort));

function chatForm(request: PythonObject, era: Era): PythonObject | typeof REFUSED {
  const messages = request.get("messages");
  const { model, stop, web_search } = commonFields(request, era);
  return membersOf({
    model,
    messages: Array.isArray(messages) ? listOf(messages.map((message) => messageForm(message, era))) : REFUSED,
    temperature: floatOf(request.get("temperature") ?? null),
    max_tokens: numberOf(request.get("max_tokens") ?? null),
    stop,
    tools: truthy(request.get("tools"), Array.isArray),
    response_format: truthy(request.get("response_format"), isPythonObject),
    web_search,
    reasoning_effort: isBefore(era, LATER.reasoning_effort)
      ? undefined
      : truthy(request.get("reasoning_effort"), isText),
  });
}

function completionForm(request: PythonObject, era: Era): PythonObject | typeof REFUSED {
  const prompt = request.get("prompt");
  return membersOf({
    ...commonFields(request, era),
    prompt: isText(prompt) ? prompt : REFUSED,
    temperature: request.has("temperature") ? floatOf(request.get("temperature")) : { literal: "1.0" },
    max_tokens: request.has("max_tokens") ? numberOf(request.get("max_tokens")) : { literal: "16" },
  });
}

function commonFields(request: PythonObject, era: Era): Record<"model" | "stop" | "web_search", Field> {
  const model = request.get("model");
  return {
    model: isText(model) ? model : REFUSED,
    stop: truthy(request.get("stop"), (stop) => isText(stop) || Array.isArray(stop)),
    web_search: !isBefore(era, LATER.web_search) && isTruthy(request.get("web_search")) ? true : undefined,
  };
}

function messageForm(message: PythonJson, era: Era): Field {
  if (!isPythonObject(message)) return REFUSED;
  const role = message.get("role");
  const content = message.get("content");
  const words = isText(content) || Array.isArray(content) ? content : REFUSED;
  switch (role) {
    case "system":
      return membersOf({ role, content: words });
    case "user":
      return membersOf({ role, content: userContent(content, era) });
    case "assistant":
      return membersOf({ role, content: isTruthy(content) ? words : "", tool_calls: callsOf(message) });
    case "tool":
      return membersOf({ role, content: words, tool_call_id: nameOf(message, "tool_call_id") });
    case "function":
      return membersOf({ role, content: isText(content) ? content : REFUSED, name: nameOf(message, "name") });
    default:
      return REFUSED;
  }
}

/** A list was hashed as Python prints it, then as JSON, then without the bytes of what is attached. */
function userContent(content: PythonJson | undefined, era: Era): Field {
  if (isText(content)) return content;
  if (content === undefined) return era === "V2" ? null : "None";
  if (!Array.isArray(content)) return REFUSED;
  if (era === "V1") return pythonRepr(content);
  return era === "V2" ? content : listOf(content.map(partForm));
}

function partForm(part: PythonJson): Field {
  if (isText(part)) return membersOf({ type: "text", text: part });
  if (Array.isArray(part)) return REFUSED;
  if (!isPythonObject(part)) return membersOf({ type: "text", text: pythonRepr(part) });
  const type = part.get("type");
  if (!isText(type)) return REFUSED;
  if (type === "text") return membersOf({ type, text: truthy(part.get("text"), isText) ?? "" });
  const file = part.get("file");
  const named = isPythonObject(file) && isTruthy(file.get("filename")) ? file : part;
  return membersOf({ type, filename: truthy(named.get("filename"), isText) });
}

/** The gateway writes null for an id or a type that is missing. */
function callsOf(message: PythonObject): Field {
  const calls = truthy(message.get("tool_calls"), Array.isArray);
  return Array.isArray(calls) ? listOf(calls.map(callForm)) : calls;
}

function callForm(call: PythonJson): Field {
  const called = isPythonObject(call) ? call.get("function") : undefined;
  if (!isPythonObject(call) || !isPythonObject(called)) return REFUSED;
  const [name, args] = [called.get("name"), called.get("arguments")];
  return membersOf({
    id: call.get("id") ?? null,
    type: call.get("type") ?? null,
    function: isText(name) && isText(args) ? membersOf({ name, arguments: args }) : REFUSED,
  });
}

/** A name that is missing is null; one that is null or no text is refused. */
function nameOf(message: PythonObject, field: string): Field {
  const name = message.get(field);
  return name === undefined ? null : isText(name) ? name : REFUSED;
}

const isBefore = (era: Era, first: Era): boolean => ERAS.indexOf(era) < ERAS.indexOf(first);

/** A field that counts if Python takes it for true. */
const truthy = (value: PythonJson | undefined, is: (value: PythonJson) => boolean): Field =>
  value === undefined || !isTruthy(value) ? undefined : is(value) ? value : REFUSED;

const numberOf = (value: PythonJson | undefined): Field =>
  value === null ? undefined : isPythonNumber(value) ? value : REFUSED;

/** Python's `float(value)`, and 0.0 for null: an exponent makes a float of an integer. `-0.0` keeps its sign. */
function floatOf(value: PythonJson | undefined): Field {
  if (value === null) return { literal: "0.0" };
  if (!isPythonNumber(value)) return REFUSED;
  const { literal } = value;
  return { literal: /[.eE]/.test(literal) ? literal : literal === "-0" ? "0.0" : `${literal}e0` };
}

function membersOf(fields: Readonly<Record<string, Field>>): PythonObject | typeof REFUSED {
  const members: PythonObject = new Map();
  for (const [name, field] of Object.entries(fields)) {
    if (field === REFUSED) return REFUSED;
    if (field !== undefined) members.set(name, field);
  }
  return members;
}

function listOf(items: readonly Field[]): Field {
  const known = items.filter((item) => item !== REFUSED && item !== undefined);
  return known.length === items.length ? known : REFUSED;
}

const isText = (value: PythonJson | undefined): value is string => typeof value === "string";
