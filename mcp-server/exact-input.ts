import { Transform, type Readable } from "node:stream";
import { exactJsonText } from "proof402/tools";

/** Longest line that is read ahead, bytes: as much as its reader takes. It refuses the rest of a longer one. */
const MOST_BYTES = 10 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * A stream of one JSON message a line, with each number as text that its reader would round. Ends and fails with its source. The
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
  const exact = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        begun.push(chunk.subarray(from, end));
        size += end - from;
        from = end + 1;
        this.push(`${exactJsonText(take().toString("utf8"))}\n`);
      }
      begun.push(chunk.subarray(from));
      size += chunk.length - from;
      if (size > MOST_BYTES) this.push(take());
      done();
    },
    flush(done) {
      done(null, take());
    },
  });
  source.once("error", (error) => exact.destroy(error));
  source.once("close", () => exact.end());
  return source.pipe(exact);
}
