/** Bytes of a body as they come, up to a bound. */
export type Body = {
  /** Takes what still fits. False where that is not all of it. */
  add(chunk: Uint8Array): boolean;
  size(): number;
  /** The bytes so far. Nothing is added afterwards. */
  bytes(): Uint8Array;
};

/** First size of the buffer for a body of unknown length. */
const FIRST_BUFFER_BYTES = 16_384;

/**
 * One buffer, not a list of chunks: a body sent byte by byte would cost a hundred times its size. `announced` is what the
 * server says of its length.
 */
export function createBody(maxBytes: number, announced: string | undefined): Body {
  let buffer = new Uint8Array(Math.min(Number(announced ?? FIRST_BUFFER_BYTES), maxBytes));
  let size = 0;
  return {
    add(chunk) {
      const taken = chunk.subarray(0, maxBytes - size);
      if (size + taken.length > buffer.length) buffer = grown(buffer, size + taken.length, maxBytes);
      buffer.set(taken, size);
      size += taken.length;
      return taken.length === chunk.length;
    },
    size: () => size,
    bytes: () => (size === buffer.length ? buffer : buffer.slice(0, size)),
  };
}

function grown(buffer: Uint8Array<ArrayBuffer>, needed: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.min(Math.max(needed, buffer.length * 2), maxBytes));
  larger.set(buffer);
  return larger;
}
