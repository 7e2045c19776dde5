import { textOf } from "../../../evidence/bytes.ts";
import { createEventStreamReader, readEventStream } from "../../../evidence/event-stream.ts";
import { isRecord } from "../../../evidence/record.ts";

/** Whether a text is the one response to a request (JSON-RPC 2.0 §5). */
function answers(text: string, id: string): boolean {
  try {
    const message: unknown = JSON.parse(text);
    return (
      isRecord(message) &&
      message["jsonrpc"] === "2.0" &&
      message["id"] === id &&
      ("result" in message || "error" in message)
    );
  } catch {
    return false;
  }
}

/** Whether an answer comes as an event stream. */
export const isStream = (headers: Readonly<Record<string, string>>): boolean =>
  /^\s*text\/event-stream\s*(?:;|$)/i.test(headers["content-type"] ?? "");

/**
 * The text of the response to a request in an answer over HTTP, alone or in an event stream (Model Context Protocol, Streamable HTTP). The
 * first one counts. Notifications, requests of the server, lists of messages and responses to other requests are passed over.
 * Null if there is none.
 */
export function responseIn(headers: Readonly<Record<string, string>>, body: Uint8Array, id: string): string | null {
  const text = textOf(body);
  if (text === undefined) return null;
  const texts = isStream(headers) ? (readEventStream(text)?.events ?? []) : [text];
  return texts.find((one) => answers(one, id)) ?? null;
}

/** Tells by the pieces of a stream when the response to a request is in it: its server may leave the stream open after it. */
export function awaitResponse(id: string): {
  onHead: (head: { headers: Readonly<Record<string, string>> }) => void;
  isWhole: (chunk: Uint8Array) => boolean;
} {
  const decoder = new TextDecoder();
  let reader: ReturnType<typeof createEventStreamReader> | null = null;
  return {
    onHead({ headers }) {
      reader = isStream(headers) ? createEventStreamReader() : null;
    },
    isWhole: (chunk) =>
      reader?.push(decoder.decode(chunk, { stream: true }))?.some((event) => answers(event, id)) === true,
  };
}
