import { textOf } from "../../bytes.ts";
import { ambiguityOf } from "../../json-text.ts";
import type { UnreadableReason } from "../format.ts";
import {
  isPythonNumber,
  isPythonObject,
  isTruthy,
  readPythonJson,
  type PythonJson,
  type PythonObject,
} from "../python-json.ts";
import { readEventStream } from "./event-stream.ts";

/** What an answer says. Its text or, if it calls tools, the calls: sellers sign one of both. */
export type ChatAnswer = {
  text: string;
  /** Why the model declines, in its words; empty if it does not. No seller signs it. */
  refusal: string;
  /** Fields of the message that say something and are not read here, by name. */
  notRead: string[];
  /** The calls as they came or, of a stream, joined of their fragments. Null without any. */
  calls: PythonObject[] | null;
  streamed: boolean;
  model: string | null;
  finishReason: string | null;
  usage: PythonJson | undefined;
  /** The last frame of a stream, or the whole answer: the place of the seller's signature. */
  last: PythonObject;
};

/** The end of a stream. It may itself break off: the signed frame before it ended the answer. */
const DONE = "[DONE]";

type Frames = { streamed: boolean; frames: string[]; isDone: boolean; brokenOff: string };

/** The texts of a streamed answer's frames, or of the answer as its only one. Null if the bytes are neither. */
function framesOf(body: Uint8Array): Frames | null {
  const text = textOf(body);
  if (text === undefined) return null;
  if (/^\s*\{/.test(text)) return { streamed: false, frames: [text], isDone: true, brokenOff: "" };
  const stream = readEventStream(text);
  if (stream === null) return null;
  const { events, brokenOff } = stream;
  const isDone = events.at(-1) === DONE;
  const frames = isDone ? events.slice(0, -1) : events;
  return frames.length === 0 ? null : { streamed: true, frames, isDone, brokenOff };
}

/** Reads an answer of one choice, whole or streamed; a completion's, too. */
export function readChatAnswer(body: Uint8Array): ChatAnswer | UnreadableReason {
  const found = framesOf(body);
  if (found === null) return "other_format";
  const { streamed, isDone, brokenOff } = found;
  const frames = found.frames.map(readPythonJson);
  if (!frames.every(isPythonObject)) return "other_format";
  const last = frames.at(-1);
  if (last === undefined) return "other_format";
  if (frames.some((frame) => frame.get("error") != null)) return "states_error";
  // What follows a signed frame would be read as signed by a reader that stops at none.
  if (frames.slice(0, -1).some((frame) => frame.has("tee_signature"))) return "inconsistent";
  // Half an answer can say the opposite of the whole one.
  if (!isDone && !last.has("tee_signature")) return "unfinished";
  if (!DONE.startsWith(brokenOff)) return "inconsistent";
  const choices: PythonObject[] = [];
  for (const frame of frames) {
    const choice = choiceOf(frame, streamed);
    if (typeof choice === "string") return choice;
    if (choice !== null) choices.push(choice);
  }
  if (!streamed && choices.length === 0) return "other_format";
  const parts: MessagePart[] = [];
  for (const choice of choices) {
    const part = partOf(choice, streamed);
    if (typeof part === "string") return part;
    parts.push(part);
  }
  const lists = parts.flatMap(({ calls }) => (calls === null ? [] : [calls]));
  const calls = streamed ? joinCalls(lists.flat()) : (lists[0] ?? []);
  if (typeof calls === "string") return calls;
  const model = modelOf(frames);
  if (model === undefined) return "inconsistent";
  const text = parts.map((part) => part.text).join("");
  const refusal = parts.map((part) => part.refusal).join("");
  const notRead = [...new Set(parts.flatMap((part) => part.notRead))];
  // An empty text would stand for what the answer says in a field that is not read.
  if (notRead.length > 0 && calls.length === 0 && text + refusal === "") return "other_format";
  return {
    text,
    refusal,
    notRead,
    calls: calls.length === 0 ? null : calls,
    streamed,
    model,
    finishReason: textIn(choices, "finish_reason"),
    usage: frames.findLast((frame) => frame.get("usage") != null)?.get("usage"),
    last,
  };
}

/** Whether another reader could read another of two values in an answer, as of a model that two frames name. */
export function isAmbiguous(body: Uint8Array): boolean {
  const found = framesOf(body);
  if (found === null) return false;
  if (found.frames.some((frame) => ambiguityOf(frame) !== null)) return true;
  return found.streamed && modelOf(found.frames.map(readPythonJson).filter(isPythonObject)) === undefined;
}

/** An answer that each reader reads alike, or null. */
export function readInOneWay(body: Uint8Array): ChatAnswer | null {
  const answer = readChatAnswer(body);
  return typeof answer === "string" || isAmbiguous(body) ? null : answer;
}

/** The one choice of a frame; null if it has none. Of several only the first would be signed. */
function choiceOf(frame: PythonObject, streamed: boolean): PythonObject | UnreadableReason | null {
  const choices = frame.get("choices");
  if (choices === undefined && streamed) return null;
  if (!Array.isArray(choices)) return "other_format";
  if (choices.length > 1) return "inconsistent";
  const [choice] = choices;
  if (choice === undefined) return streamed ? null : "other_format";
  if (!isPythonObject(choice)) return "other_format";
  const index = choice.get("index");
  return index == null || (isPythonNumber(index) && index.literal === "0") ? choice : "inconsistent";
}

type MessagePart = { text: string; refusal: string; notRead: string[]; calls: PythonObject[] | null };

const READ = ["role", "content", "refusal", "tool_calls"];

/** What a choice adds: a message, a delta of one, or the text of a completion. Two of them would be two answers. */
function partOf(choice: PythonObject, streamed: boolean): MessagePart | UnreadableReason {
  if (["message", "delta", "text"].filter((field) => choice.get(field) != null).length > 1) return "inconsistent";
  if (choice.get(streamed ? "message" : "delta") != null) return "other_format";
  const message = choice.get(streamed ? "delta" : "message");
  if (message === undefined) {
    const text = choice.get("text") ?? (streamed ? "" : null);
    return typeof text === "string" ? { text, refusal: "", notRead: [], calls: null } : "other_format";
  }
  if (!isPythonObject(message)) return "other_format";
  const text = message.get("content") ?? "";
  const refusal = message.get("refusal") ?? "";
  const calls = message.get("tool_calls") ?? null;
  if (typeof text !== "string" || typeof refusal !== "string") return "other_format";
  const notRead = [...message].flatMap(([name, value]) => (!READ.includes(name) && isTruthy(value) ? [name] : []));
  if (calls === null) return { text, refusal, notRead, calls };
  return Array.isArray(calls) && calls.every(isPythonObject) ? { text, refusal, notRead, calls } : "other_format";
}

type Call = Record<"id" | "type" | "name" | "arguments", string>;

/** Joins the fragments of calls by their index, as the gateway does: those without an index are of one call. */
function joinCalls(fragments: readonly PythonObject[]): PythonObject[] | UnreadableReason {
  const byIndex = new Map<number, Call>();
  for (const fragment of fragments) {
    const index = fragment.get("index") ?? { literal: "0" };
    const called = fragment.get("function") ?? new Map<string, PythonJson>();
    if (!isPythonNumber(index) || !/^\d{1,4}$/.test(index.literal) || !isPythonObject(called)) return "other_format";
    const told = [fragment.get("id"), fragment.get("type"), called.get("name"), called.get("arguments")];
    if (!told.every((one) => one == null || typeof one === "string")) return "other_format";
    const [id = "", type = "", name = "", args = ""] = told.map((one) => one ?? "");
    const before = byIndex.get(Number(index.literal)) ?? { id: "", type: "", name: "", arguments: "" };
    // Two calls under one index: readers differ in which of them they take.
    if (isOther(before.id, id) || isOther(before.name, name)) return "inconsistent";
    byIndex.set(Number(index.literal), {
      id: before.id || id,
      type: before.type || type,
      name: before.name || name,
      arguments: before.arguments + args,
    });
  }
  return [...byIndex].toSorted(([a], [b]) => a - b).map(([, call]) => callOf(call));
}

const isOther = (before: string, told: string): boolean => before !== "" && told !== "" && before !== told;

function callOf({ id, type, name, arguments: args }: Call): PythonObject {
  const called: PythonObject = new Map([
    ["name", name],
    ["arguments", args],
  ]);
  return new Map<string, PythonJson>([
    ["id", id],
    ["type", type || "function"],
    ["function", called],
  ]);
}

/** The model that the frames name; null if none does, undefined if they name several. An empty name is none. */
function modelOf(frames: readonly PythonObject[]): string | null | undefined {
  const told = new Set(frames.map((frame) => frame.get("model")).filter((model) => model != null && model !== ""));
  const [only = null] = told;
  return told.size > 1 || (only !== null && typeof only !== "string") ? undefined : only;
}

/** The text that a field has wherever it is told; null if it is told in two ways. */
function textIn(all: readonly PythonObject[], field: string): string | null {
  const told = new Set(all.map((one) => one.get(field)).filter((one) => typeof one === "string"));
  const [only] = told;
  return told.size === 1 ? (only ?? null) : null;
}
