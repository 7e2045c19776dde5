import { Transform, type Readable } from "node:stream";

/** Longest line that is read ahead, bytes: as much as its reader takes. It refuses the rest of a longer one. */
const MOST_BYTES = 10 * 1024 * 1024;
const NEWLINE = 0x0a;
/** A sign of a number beyond a double, somewhere in a line. */
const MAYBE_LONG = /[0-9]{16}|[0-9][eE]/;

/**
 * A stream of one JSON message a line, with numbers of a call's arguments as texts, if its reader would round them. Ends and fails with its source. The
 * protocol's reader hands over values alone, so this stands before it.
 */
export function exactInput(source: Readable): Transform {
  let begun: Buffer[] = [];
  let size = 0;
  const take = (): Buffer => {
    const line = Buffer.concat(begun, size);
    begun = [];
    size = 0;
    return line;
  };
  const read = async (exact: Transform, chunk: Buffer): Promise<void> => {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      begun.push(chunk.subarray(from, end));
      size += end - from;
      from = end + 1;
      exact.push(`${await exactly(take().toString("utf8"))}\n`);
    }
    begun.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > MOST_BYTES) exact.push(take());
  };
  const exact = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      // oxlint-disable-next-line promise/no-callback-in-promise -- a stream's part is told to be done by its callback
      read(this, chunk).then(() => done(), done);
    },
    flush(done) {
      done(null, take());
    },
  });
  source.once("error", (error) => exact.destroy(error));
  source.once("close", () => exact.end());
  return source.pipe(exact);
}

/** The line with such numbers as texts. A line without one loads nothing. */
const exactly = async (line: string): Promise<string> =>
  MAYBE_LONG.test(line) ? (await import("proof402/tools")).exactArgumentsText(line) : line;
