/** The data of an event stream's events, one line each, in their order, and the data of one that broke off after them. */
export type EventStream = { events: string[]; brokenOff: string };

/**
 * Reads an event stream. Null for a stream with two readings: lines that end in a lone CR, data of several lines, events
 * of another type than "message". An event without its empty line has not come (HTML Living Standard §9.2.6).
 */
export function readEventStream(text: string): EventStream | null {
  if (/\r(?!\n)/.test(text)) return null;
  const events: string[] = [];
  let data: string | null = null;
  const lines = text.split(/\r?\n/);
  const cut = lines.pop() ?? "";
  for (const line of lines) {
    if (line === "") {
      if (data !== null) events.push(data);
      data = null;
    } else if (line.startsWith("data:") && data === null) {
      data = dataIn(line);
    } else if (!UNREAD.test(line)) return null;
  }
  return { events, brokenOff: data || dataIn(cut) };
}

const dataIn = (line: string): string => /^data: ?(.*)/s.exec(line)?.[1] ?? "";

/** Lines without effect on an event: comments, the default type, and fields for reconnecting. */
const UNREAD = /^(?::|event: ?(?:message)?$|(?:id|retry)(?::|$))/;
