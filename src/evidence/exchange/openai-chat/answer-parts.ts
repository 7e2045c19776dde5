import { utf8 } from "../../bytes.ts";
import type { AnswerPart, PartsReader, ToolCallPart } from "../format.ts";
import { isPythonObject, readPythonJson, type PythonJson, type PythonObject } from "../python-json.ts";
import { readChatAnswer } from "./chat-answer.ts";
import { choiceOf, createCallJoiner, partOf, type CallFragment } from "./choice.ts";
import { createEventStreamReader } from "../../event-stream.ts";

/**
 * Reads a chat's answer piece by piece, by the rules of `readChatAnswer`. Falls silent at the first frame that makes the
 * whole answer unreadable. An answer that is no stream has one piece, at its end.
 */
export function createPartsReader(): PartsReader {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const events = createEventStreamReader();
  const framePart = createFrameReader();
  /** Text that is not known to be of a stream. */
  let unknown: string[] = [];
  let form: "unknown" | "whole" | "stream" | "unreadable" = "unknown";

  const read = (text: string): AnswerPart[] => {
    const parts: AnswerPart[] = [];
    for (const event of events.push(text) ?? [null]) {
      const part = event === null ? null : framePart(event);
      if (part === null) {
        form = "unreadable";
        break;
      }
      if (part !== NOTHING) parts.push(part);
    }
    return parts;
  };

  return {
    push(bytes) {
      const text = form === "unreadable" ? "" : decoded(decoder, bytes);
      if (text === null) form = "unreadable";
      if (text === null || text === "") return [];
      if (form === "stream") return read(text);
      unknown.push(text);
      if (form === "whole" || text.trim() === "") return [];
      const begun = unknown.join("");
      form = /^\s*\{/.test(begun) ? "whole" : "stream";
      if (form === "whole") return [];
      unknown = [];
      return read(begun);
    },
    end() {
      if (form !== "whole") return [];
      const answer = readChatAnswer(utf8(unknown.join("")));
      if (typeof answer === "string") return [];
      const { text, refusal, calls } = answer;
      const part = partFrom({ text, refusal, calls: (calls ?? []).flatMap(callPart) });
      return part === NOTHING ? [] : [part];
    },
  };
}

/** A frame that says nothing. */
const NOTHING: AnswerPart = {};

/** Reads the frames of one stream in their order: what each adds, or null at the one that no answer can have. */
function createFrameReader(): (event: string) => AnswerPart | null {
  const joiner = createCallJoiner();
  let model: PythonJson | undefined;
  let isSigned = false;
  return (event) => {
    const frame = readPythonJson(event);
    if (isSigned || !isPythonObject(frame) || frame.get("error") != null) return null;
    isSigned = frame.has("tee_signature");
    const named = frame.get("model");
    if (named != null && named !== "") {
      if (typeof named !== "string" || (model ?? named) !== named) return null;
      model = named;
    }
    const choice = choiceOf(frame, true);
    if (choice === null) return NOTHING;
    const part = typeof choice === "string" ? choice : partOf(choice, true);
    if (typeof part === "string") return null;
    const calls: ToolCallPart[] = [];
    for (const fragment of part.calls ?? []) {
      const read = joiner.add(fragment);
      if (typeof read === "string") return null;
      calls.push(fragmentPart(read));
    }
    return partFrom({ ...part, calls });
  };
}

/** What of a piece says something. */
function partFrom(of: { text: string; refusal: string; calls: ToolCallPart[] }): AnswerPart {
  const { text, refusal, calls } = of;
  if (text === "" && refusal === "" && calls.length === 0) return NOTHING;
  return {
    ...(text === "" ? {} : { text }),
    ...(refusal === "" ? {} : { refusal }),
    ...(calls.length === 0 ? {} : { toolCalls: calls }),
  };
}

const fragmentPart = ({ index, id, name, arguments: args }: CallFragment): ToolCallPart => ({
  index,
  ...(id === "" ? {} : { id }),
  ...(name === "" ? {} : { name }),
  ...(args === "" ? {} : { arguments: args }),
});

/** A whole call, as its fragments would tell it. */
function callPart(call: PythonObject, index: number): ToolCallPart[] {
  const called = call.get("function");
  const [id, name, args] = [
    call.get("id"),
    ...(isPythonObject(called) ? [called.get("name"), called.get("arguments")] : []),
  ].map((one) => (typeof one === "string" ? one : ""));
  return [fragmentPart({ index, id: id ?? "", type: "", name: name ?? "", arguments: args ?? "" })];
}

/** The text that ends with these bytes, or null for bytes that are not UTF-8. */
function decoded(decoder: TextDecoder, bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes, { stream: true });
  } catch {
    return null;
  }
}
