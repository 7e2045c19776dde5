import { textOf } from "../../bytes.ts";
import { ambiguityOf } from "../../json-text.ts";
import type { UnreadableReason } from "../format.ts";
import { isPythonNumber, readPythonJson, type PythonJson } from "../python-json.ts";
import { dataOfEvents } from "./event-stream.ts";

/** What an answer says. Its text or, if it calls tools, the calls: sellers sign one of both. */
export type ChatAnswer = {
  text: string;
  /** The calls as they came or, of a stream, joined of their fragments. Null without any. */
  calls: Members[] | null;
  streamed: boolean;
  model: string | null;
  finishReason: string | null;
  usage: PythonJson | undefined;
  /** The last frame of a stream, or the whole answer: the place of the seller's signature. */
  last: Members;
};

export type Members = Map<string, PythonJson>;

/** The end of a stream. */
const DONE = "[DONE]";

/** The texts of a streamed answer's frames, or of the answer as its only one. Null if the bytes are neither. */
function framesOf(body: Uint8Array): { streamed: boolean; frames: string[] } | null {
  const text = textOf(body);
  if (text === undefined) return null;
  if (/^\s*\{/.test(text)) return { streamed: false, frames: [text] };
  const events = dataOfEvents(text);
  if (events === null) return null;
  const frames = events.at(-1) === DONE ? events.slice(0, -1) : events;
  return frames.length === 0 ? null : { streamed: true, frames };
}

/** Reads an answer of one choice, whole or streamed; a completion's, too. */
export function readChatAnswer(body: Uint8Array): ChatAnswer | UnreadableReason {
  const found = framesOf(body);
  if (found === null) return "other_format";
  const { streamed } = found;
  const frames = found.frames.map(readPythonJson);
  if (!frames.every(isMembers)) return "other_format";
  const last = frames.at(-1);
  if (last === undefined) return "other_format";
  if (frames.some((frame) => frame.get("error") != null)) return "states_error";
  // What follows a signed frame would be read as signed by a reader that stops at none.
  if (frames.slice(0, -1).some((frame) => frame.has("tee_signature"))) return "inconsistent";
  const choices: Members[] = [];
  for (const frame of frames) {
    const choice = choiceOf(frame, streamed);
    if (typeof choice === "string") return choice;
    if (choice !== null) choices.push(choice);
  }
  if (!streamed && choices.length === 0) return "other_format";
  const parts = choices.map((choice) => partOf(choice, streamed));
  if (!parts.every((part) => part !== null)) return "other_format";
  const lists = parts.flatMap(({ calls }) => (calls === null ? [] : [calls]));
  const calls = streamed ? joinCalls(lists.flat()) : (lists[0] ?? []);
  if (calls === null) return "other_format";
  return {
    text: parts.map(({ text }) => text).join(""),
    calls: calls.length === 0 ? null : calls,
    streamed,
    model: textIn(frames, "model"),
    finishReason: textIn(choices, "finish_reason"),
    usage: frames.findLast((frame) => frame.get("usage") != null)?.get("usage"),
    last,
  };
}

/** Whether another reader could read another of two values in an answer, or find other frames in it. */
export function isAmbiguous(body: Uint8Array): boolean {
  const found = framesOf(body);
  return found !== null && found.frames.some((frame) => ambiguityOf(frame) !== null);
}

/** The one choice of a frame; null if it has none. Of several only the first would be signed. */
function choiceOf(frame: Members, streamed: boolean): Members | UnreadableReason | null {
  const choices = frame.get("choices");
  if (choices === undefined && streamed) return null;
  if (!Array.isArray(choices)) return "other_format";
  if (choices.length > 1) return "inconsistent";
  const [choice] = choices;
  if (choice === undefined) return streamed ? null : "other_format";
  if (!isMembers(choice)) return "other_format";
  const index = choice.get("index");
  return index == null || (isPythonNumber(index) && index.literal === "0") ? choice : "inconsistent";
}

/** What a choice adds: a message, a delta of one, or the text of a completion. */
function partOf(choice: Members, streamed: boolean): { text: string; calls: Members[] | null } | null {
  const message = choice.get(streamed ? "delta" : "message");
  if (message === undefined) {
    const text = choice.get("text") ?? (streamed ? "" : null);
    return typeof text === "string" ? { text, calls: null } : null;
  }
  if (!isMembers(message)) return null;
  const text = message.get("content") ?? "";
  const calls = message.get("tool_calls") ?? null;
  if (typeof text !== "string") return null;
  if (calls === null) return { text, calls };
  return Array.isArray(calls) && calls.every(isMembers) ? { text, calls } : null;
}

type Call = Record<"id" | "type" | "name" | "arguments", string>;

/** Joins the fragments of calls by their index, as the gateway does: those without an index are of one call. */
function joinCalls(fragments: readonly Members[]): Members[] | null {
  const byIndex = new Map<number, Call>();
  for (const fragment of fragments) {
    const index = fragment.get("index") ?? { literal: "0" };
    const called = fragment.get("function") ?? new Map<string, PythonJson>();
    if (!isPythonNumber(index) || !/^\d{1,4}$/.test(index.literal) || !isMembers(called)) return null;
    const told = [fragment.get("id"), fragment.get("type"), called.get("name"), called.get("arguments")];
    if (!told.every((one) => one == null || typeof one === "string")) return null;
    const [id = "", type = "", name = "", args = ""] = told.map((one) => one ?? "");
    const before = byIndex.get(Number(index.literal)) ?? { id: "", type: "", name: "", arguments: "" };
    byIndex.set(Number(index.literal), {
      id: before.id || id,
      type: before.type || type,
      name: before.name || name,
      arguments: before.arguments + args,
    });
  }
  return [...byIndex].toSorted(([a], [b]) => a - b).map(([, call]) => callOf(call));
}

function callOf({ id, type, name, arguments: args }: Call): Members {
  const called: Members = new Map([
    ["name", name],
    ["arguments", args],
  ]);
  return new Map<string, PythonJson>([
    ["id", id],
    ["type", type || "function"],
    ["function", called],
  ]);
}

/** The text that a field has wherever it is told; null if it is told in two ways. */
function textIn(all: readonly Members[], field: string): string | null {
  const told = new Set(all.map((one) => one.get(field)).filter((one) => typeof one === "string"));
  const [only] = told;
  return told.size === 1 ? (only ?? null) : null;
}

const isMembers = (value: PythonJson | undefined): value is Members => value instanceof Map;
