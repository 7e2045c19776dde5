import type { UnreadableReason } from "../format.ts";
import { isPythonNumber, isPythonObject, isTruthy, type PythonJson, type PythonObject } from "../python-json.ts";

/** The one choice of a frame; null if it has none. Of several only the first would be signed. */
export function choiceOf(frame: PythonObject, streamed: boolean): PythonObject | UnreadableReason | null {
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

/** What a choice adds to the message. `notRead` names its other fields. */
export type MessagePart = { text: string; refusal: string; notRead: string[]; calls: PythonObject[] | null };

const READ = ["role", "content", "refusal", "tool_calls"];

/** What a choice adds: a message, a delta of one, or the text of a completion. Two of them would be two answers. */
export function partOf(choice: PythonObject, streamed: boolean): MessagePart | UnreadableReason {
  if (["message", "delta", "text"].filter((field) => choice.get(field) != null).length > 1) return "inconsistent";
  if (choice.get(streamed ? "message" : "delta") != null) return "other_format";
  const message = choice.get(streamed ? "delta" : "message") ?? null;
  if (message === null) {
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

/** A fragment of a call as a stream tells it. An id, type or name that it does not tell is empty. */
export type CallFragment = Call & { index: number };
type Call = Record<"id" | "type" | "name" | "arguments", string>;

/** The calls of a stream. `unindexed` if their fragments had no index and are of several calls all the same. */
export type JoinedCalls = { calls: PythonObject[]; unindexed: boolean };

/**
 * Joins the fragments of calls by their index. Those without an index are of one call until another id or name comes: it
 * begins the next one.
 */
export type CallJoiner = {
  /** Takes a fragment and gives its reading. */
  add(fragment: PythonObject): CallFragment | UnreadableReason;
  /** The calls so far, by their index. */
  joined(): JoinedCalls;
};

/** A joiner of one stream's calls. */
export function createCallJoiner(): CallJoiner {
  const byIndex = new Map<number, Call>();
  let hasIndexes = false;
  /** The call of the fragments without an index. */
  let open = 0;
  return {
    add(fragment) {
      const told = fragment.get("index") ?? null;
      if (told !== null) hasIndexes = true;
      const index = told ?? { literal: `${open}` };
      const called = fragment.get("function") ?? new Map<string, PythonJson>();
      if (!isPythonNumber(index) || !/^\d{1,4}$/.test(index.literal) || !isPythonObject(called)) return "other_format";
      const fields = [fragment.get("id"), fragment.get("type"), called.get("name"), called.get("arguments")];
      if (!fields.every((one) => one == null || typeof one === "string")) return "other_format";
      const [id = "", type = "", name = "", args = ""] = fields.map((one) => one ?? "");
      const same = byIndex.get(Number(index.literal));
      const isNext = same !== undefined && (isOther(same.id, id) || isOther(same.name, name));
      // Two calls under one index: readers differ in which of them they take.
      if (hasIndexes && (isNext || open > 0)) return "inconsistent";
      if (isNext) open += 1;
      const at = isNext ? open : Number(index.literal);
      const before = byIndex.get(at) ?? { id: "", type: "", name: "", arguments: "" };
      byIndex.set(at, {
        id: before.id || id,
        type: before.type || type,
        name: before.name || name,
        arguments: before.arguments + args,
      });
      return { index: at, id, type, name, arguments: args };
    },
    joined: () => ({
      calls: [...byIndex].toSorted(([a], [b]) => a - b).map(([, call]) => callOf(call)),
      unindexed: open > 0,
    }),
  };
}

/** The calls of a whole stream's fragments. */
export function joinCalls(fragments: readonly PythonObject[]): JoinedCalls | UnreadableReason {
  const joiner = createCallJoiner();
  for (const fragment of fragments) {
    const read = joiner.add(fragment);
    if (typeof read === "string") return read;
  }
  return joiner.joined();
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
