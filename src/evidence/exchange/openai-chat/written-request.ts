import { isRecord } from "../../record.ts";

/** The signed fields of a message by its role, of a call, of its function and of a text part. */
const MESSAGE: Readonly<Record<string, readonly string[]>> = {
  system: ["role", "content"],
  user: ["role", "content"],
  assistant: ["role", "content", "tool_calls"],
  tool: ["role", "content", "tool_call_id"],
  function: ["role", "content", "name"],
};
const CALL = ["id", "type", "function"];
const CALLED = ["name", "arguments"];
const TEXT_PART = ["type", "text"];

/** Names something in messages that no signature would cover; null without any. */
export function unsignedIn(messages: unknown): string | null {
  for (const message of listOf(messages)) {
    if (!isRecord(message)) return "a message that is no object";
    const { role, content, tool_calls: calls } = message;
    if (typeof role === "string" && !Object.hasOwn(MESSAGE, role))
      return `the role ${JSON.stringify(role.slice(0, 64))}`;
    const known = typeof role === "string" ? (MESSAGE[role] ?? []) : [];
    const found = otherField(message, known) ?? (role === "user" ? partsOf(content) : null) ?? callsOf(calls);
    if (found !== null) return found;
  }
  return null;
}

/** Of other parts sellers sign the type and the file's name, as `leavesOut` says. */
function partsOf(content: unknown): string | null {
  for (const part of listOf(content)) {
    if (!isRecord(part)) return "a part of a content that is no object";
    const found = part["type"] === "text" ? otherField(part, TEXT_PART) : null;
    if (found !== null) return found;
  }
  return null;
}

function callsOf(calls: unknown): string | null {
  for (const call of listOf(calls)) {
    if (!isRecord(call)) return "a call that is no object";
    const called = call["function"];
    const found = otherField(call, CALL) ?? (isRecord(called) ? otherField(called, CALLED) : null);
    if (found !== null) return found;
  }
  return null;
}

function otherField(record: Record<string, unknown>, known: readonly string[]): string | null {
  const other = Object.keys(record).find((field) => !known.includes(field));
  return other === undefined ? null : `"${other.slice(0, 64)}"`;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
