import { textOf } from "../../bytes.ts";
import { perBody } from "../../body.ts";
import { ambiguityOf } from "../../json-text.ts";
import type { UnreadableReason } from "../format.ts";
import { isPythonObject, isTruthy, readPythonJson, type PythonJson, type PythonObject } from "../python-json.ts";
import { choiceOf, joinCalls, partOf, type MessagePart } from "./choice.ts";
import { readEventStream } from "../../event-stream.ts";

/** What an answer says. Its text or, if it calls tools, the calls: sellers sign one of both. */
export type ChatAnswer = {
  text: string;
  /** Why the model declines, in its words; empty if it does not. No seller signs it. */
  refusal: string;
  /** Fields of the message that say something and are not read here, by name. */
  notRead: string[];
  /** The calls as they came or, of a stream, joined of their fragments. Null without any. */
  calls: PythonObject[] | null;
  /** The calls came without an index. Sellers sign them as one. */
  unindexed: boolean;
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
  const answer = readAll(body);
  // An empty text would stand for what the answer says in a field that is not read.
  return typeof answer !== "string" && isSilent(answer) && answer.notRead.length > 0 ? "other_format" : answer;
}

const isSilent = ({ calls, text, refusal }: ChatAnswer): boolean => calls === null && text + refusal === "";

/** The field of images, in a message and in a stream's last frame. */
const IMAGES = "images";

/** An answer that says nothing but images, or null. */
export function readImages(body: Uint8Array): ChatAnswer | null {
  const answer = readAll(body);
  if (typeof answer === "string" || isAmbiguous(body) || !isSilent(answer)) return null;
  return answer.notRead.includes(IMAGES) && answer.notRead.every((field) => field === IMAGES) ? answer : null;
}

const readAll = perBody((body): ChatAnswer | UnreadableReason => {
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
  const joined = streamed ? joinCalls(lists.flat()) : { calls: lists[0] ?? [], unindexed: false };
  if (typeof joined === "string") return joined;
  const { calls, unindexed } = joined;
  const model = modelOf(frames);
  if (model === undefined) return "inconsistent";
  const text = parts.map((part) => part.text).join("");
  const refusal = parts.map((part) => part.refusal).join("");
  const notRead = [
    ...new Set([...parts.flatMap((part) => part.notRead), ...(isTruthy(last.get(IMAGES)) ? [IMAGES] : [])]),
  ];
  return {
    text,
    refusal,
    notRead,
    calls: calls.length === 0 ? null : calls,
    unindexed,
    streamed,
    model,
    finishReason: textIn(choices, "finish_reason"),
    usage: frames.findLast((frame) => frame.get("usage") != null)?.get("usage"),
    last,
  };
});

/** Whether another reader could read another of two values in an answer, as of a model that two frames name. */
export const isAmbiguous = perBody((body): boolean => {
  const found = framesOf(body);
  if (found === null) return false;
  if (found.frames.some((frame) => ambiguityOf(frame) !== null)) return true;
  return found.streamed && modelOf(found.frames.map(readPythonJson).filter(isPythonObject)) === undefined;
});

/** An answer that each reader reads alike, or null. */
export function readInOneWay(body: Uint8Array): ChatAnswer | null {
  const answer = readChatAnswer(body);
  return typeof answer === "string" || isAmbiguous(body) ? null : answer;
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
