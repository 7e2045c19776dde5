import { parseJsonText } from "../../json-text.ts";
import { isPythonNumber, isPythonObject, plainOf, type PythonJson } from "../python-json.ts";
import { isRecord } from "../../record.ts";

/**
 * An input in Ollama's form. What is written as OpenAI's clients write it is put in Ollama's words: `temperature` stands among
 * the options, a content is one text, the arguments of a call are an object, and a tool's result names its tool. Gives a sentence for an input
 * that has no such form.
 */
export function inOllamasForm(input: Record<string, unknown>): Record<string, unknown> | string {
  const { temperature, ...own } = input;
  if (temperature !== undefined) {
    const options = own["options"] ?? {};
    if (!isRecord(options)) return "Options are an object.";
    if (Object.hasOwn(options, "temperature")) return '"temperature" is among the options, too.';
    own["options"] = { ...options, temperature };
  }
  const messages: unknown[] = [];
  const tools = new Map<unknown, unknown>();
  for (const message of listOf(input["messages"])) {
    const written = messageOf(message, tools);
    if (typeof written === "string") return written;
    messages.push(written);
  }
  return { ...own, messages };
}

/** A message in Ollama's form, or why it has none. `tools` has the name of each called tool by its call's id. */
function messageOf(message: unknown, tools: Map<unknown, unknown>): unknown {
  if (!isRecord(message)) return message;
  const { tool_calls: calls, role, tool_call_id: of, name } = message;
  const content = contentOf(message["content"] ?? "");
  if (typeof content !== "string") return "A content is text or text parts.";
  const said = { ...message, content };
  if (role === "tool") return { tool_name: tools.get(of) ?? name, ...said };
  if (!Array.isArray(calls)) return said;
  const written: unknown[] = [];
  for (const call of calls as unknown[]) {
    const one = callOf(call);
    if (typeof one === "string") return one;
    const { id, function: called } = one;
    if (typeof id === "string" && isRecord(called)) tools.set(id, called["name"]);
    written.push(one);
  }
  return { ...said, tool_calls: written };
}

/** A content in text parts as one text. Leaves any other as it is; a field beside a part's text is no text. */
const contentOf = (content: unknown): unknown =>
  Array.isArray(content) && content.every(isText) ? content.map(({ text }) => text).join("") : content;

const isText = (part: unknown): part is { text: string } =>
  isRecord(part) && part["type"] === "text" && typeof part["text"] === "string" && Object.keys(part).length === 2;

/** A call with its arguments as an object, or why they are none. */
function callOf(call: unknown): Record<string, unknown> | string {
  if (!isRecord(call)) return "A call is no object.";
  const called = call["function"];
  if (!isRecord(called) || typeof called["arguments"] !== "string") return call;
  // Models write empty text for no arguments.
  // Ollama holds numbers as doubles. What it would hold otherwise than it is spelt is not sent.
  const read = parseJsonText(called["arguments"] || "{}");
  if (!read.ok) return `The arguments of a call: ${read.message}`;
  return isRecord(read.value)
    ? { ...call, function: { ...called, arguments: read.value } }
    : "The arguments of a call are no JSON object.";
}

/** A call of an answer. Its arguments are an object, or text if they hold an integer that no double does. */
export function calledOf(call: PythonJson): unknown {
  const called = isPythonObject(call) ? call.get("function") : undefined;
  const args = isPythonObject(called) ? called.get("arguments") : undefined;
  if (!isPythonObject(call) || !isPythonObject(called) || args === undefined || isHeld(args)) return plainOf(call);
  return plainOf(new Map([...call, ["function", new Map([...called, ["arguments", textOf(args)]])]]));
}

/** Whether JavaScript holds all numbers of a value. */
function isHeld(value: PythonJson): boolean {
  if (isPythonNumber(value)) return typeof plainOf(value) === "number";
  if (Array.isArray(value)) return value.every(isHeld);
  return !isPythonObject(value) || [...value.values()].every(isHeld);
}

/** JSON text of a value, each number as it was spelt. */
function textOf(value: PythonJson): string {
  if (isPythonNumber(value)) return value.literal;
  if (Array.isArray(value)) return `[${value.map(textOf).join(",")}]`;
  if (!isPythonObject(value)) return JSON.stringify(value);
  return `{${[...value].map(([name, one]) => `${JSON.stringify(name)}:${textOf(one)}`).join(",")}}`;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
