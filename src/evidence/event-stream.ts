/** The data of an event stream's events, one line each, in their order, and the data of one that broke off after them. */
export type EventStream = { events: string[]; brokenOff: string };

/** Reads an event stream as its text comes, in pieces of any size. */
export type EventStreamReader = {
  /** The data of the events that end in this piece. Null for a stream with two readings, from there on. */
  push(piece: string): string[] | null;
  /** The data of an event that broke off. Null for a stream with two readings. */
  end(): string | null;
};

/** Reads a whole event stream by the same grammar as {@link createEventStreamReader}. Null for a stream with two readings. */
export function readEventStream(text: string): EventStream | null {
  const reader = createEventStreamReader();
  const events = reader.push(text);
  const brokenOff = reader.end();
  return events === null || brokenOff === null ? null : { events, brokenOff };
}

/**
 * A reader of one event stream. A stream has two readings if lines end in a lone CR, if an event's data has several lines,
 * or if an event has another type than "message". An event without its empty line has not come (HTML Living Standard
 * §9.2.6).
 */
export function createEventStreamReader(): EventStreamReader {
  /** Data of the event that is under way. */
  let data: string | null = null;
  /** The beginning of a line, in pieces: joined once, at its end. */
  let begun: string[] = [];
  /** Its last character is a CR, of a line's end or alone. */
  let endsInCr = false;
  let isTwofold = false;

  /** Takes a whole line. False for one that makes two readings. */
  const take = (line: string, events: string[]): boolean => {
    if (line.includes("\r")) return false;
    if (line === "") {
      if (data !== null) events.push(data);
      data = null;
    } else if (line.startsWith("data:") && data === null) {
      data = dataIn(line);
    } else if (!UNREAD.test(line)) return false;
    return true;
  };

  const read = (piece: string): string[] | null => {
    const events: string[] = [];
    if (piece === "") return events;
    if (endsInCr && !piece.startsWith("\n")) return null;
    const [first = "", ...rest] = piece.split("\n");
    begun.push(first);
    for (const next of rest) {
      const line = begun.join("");
      begun = [next];
      if (!take(line.endsWith("\r") ? line.slice(0, -1) : line, events)) return null;
    }
    const last = begun.at(-1) ?? "";
    if (/\r(?!$)/.test(last)) return null;
    endsInCr = last.endsWith("\r");
    return events;
  };

  return {
    push(piece) {
      const events = isTwofold ? null : read(piece);
      isTwofold ||= events === null;
      return events;
    },
    end: () => (isTwofold || endsInCr ? null : data || dataIn(begun.join(""))),
  };
}

const dataIn = (line: string): string => /^data: ?(.*)/s.exec(line)?.[1] ?? "";

/** Lines without effect on an event: comments, the default type, and fields for reconnecting. */
const UNREAD = /^(?::|event: ?(?:message)?$|(?:id|retry)(?::|$))/;
