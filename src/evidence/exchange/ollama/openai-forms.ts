import { parseJsonText } from "../../json-text.ts";
import { isPythonNumber, isPythonObject, plainOf, type PythonJson } from "../python-json.ts";

/** Options that OpenAI's API has beside the messages, and Ollama among its `options` under the same name. */
export const AMONG_OPTIONS = ["temperature"];

/**
 * An input in Ollama's form. What is written as OpenAI's clients write it is put in Ollama's words: `temperature` stands among
 * the options, the arguments of a call are an object, and a tool's result names its tool. Gives a sentence for an input
 * that has no such form.
 */
export function inOllamasForm(input: Record<string, unknown>): Record<string, unknown> | string {
  const own = Object.fromEntries(Object.entries(input).filter(([name]) => !AMONG_OPTIONS.includes(name)));
  const moved = Object.entries(input).filter(([name, value]) => AMONG_OPTIONS.includes(name) && value !== undefined);
  const options = own["options"] ?? {};
  if (moved.length > 0) {
    if (!isRecord(options)) return "Options are an object.";
    const twice = moved.find(([name]) => Object.hasOwn(options, name));
    if (twice !== undefined) return `"${twice[0]}" is given beside the messages and among the options.`;
    own["options"] = { ...options, ...Object.fromEntries(moved) };
  }
  const messages: unknown[] = [];
  const tools = new Map<unknown, string>();
  for (const message of listOf(input["messages"])) {
    const written = messageOf(message, tools);
    if (typeof written === "string") return written;
    messages.push(written);
  }
  return { ...own, messages };
}

/** A message in Ollama's form, or why it has none. `tools` has the name of each called tool by its call's id. */
function messageOf(message: unknown, tools: Map<unknown, string>): unknown {
  if (!isRecord(message)) return message;
  const { tool_calls: calls, role, tool_call_id: of } = message;
  const name = tools.get(of);
  if (role === "tool" && name !== undefined && message["tool_name"] === undefined)
    return { ...message, tool_name: name };
  if (!Array.isArray(calls)) return message;
  const written: unknown[] = [];
  for (const call of calls as unknown[]) {
    const one = callOf(call);
    if (typeof one === "string") return one;
    const { id, function: called } = one;
    if (typeof id === "string" && isRecord(called) && typeof called["name"] === "string") tools.set(id, called["name"]);
    written.push(one);
  }
  return { ...message, tool_calls: written };
}

/** A call with its arguments as an object, or why they are none. */
function callOf(call: unknown): Record<string, unknown> | string {
  if (!isRecord(call)) return "A call of a tool is no object.";
  const called = call["function"];
  if (!isRecord(called) || typeof called["arguments"] !== "string") return call;
  // Ollama holds numbers as doubles. What it would hold otherwise than it is spelt is not sent.
  const read = parseJsonText(called["arguments"]);
  if (!read.ok) return `The arguments of a call are not in JSON: ${read.message}`;
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
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
