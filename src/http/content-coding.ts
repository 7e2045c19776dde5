import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, type ZlibOptions } from "node:zlib";

/** The content coding of a body (RFC 9110 §8.4), and whether the body given beside it is decoded from it. */
export type ContentCoding = { name: string; decoded: boolean };

type Decoder = (coded: Uint8Array, options: Pick<ZlibOptions, "maxOutputLength">) => Promise<Uint8Array>;
const ungzip: Decoder = promisify(gunzip);

const DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ["gzip", ungzip],
  ["x-gzip", ungzip],
  ["deflate", promisify(inflate) as Decoder],
  ["br", promisify(brotliDecompress) as Decoder],
]);

/** A name that a receipt can hold; a list of several, and anything else, is kept under this one. */
const NAME = /^[a-z0-9-]{1,16}$/;
const OTHER = "other";

/** Whether a server names a coding at all. */
export const isCoded = (header: string | undefined): header is string =>
  header !== undefined && !/^\s*(?:identity\s*)?$/i.test(header);

export function codingName(header: string): string {
  const name = header.trim().toLowerCase();
  return NAME.test(name) ? name : OTHER;
}

/**
 * The content of a whole coded body, of at most `maxBytes`. Where it is larger, malformed or in a coding that is not known
 * here, the body stays as it came.
 */
export async function decodeContent(
  body: Uint8Array,
  header: string,
  maxBytes: number,
): Promise<{ body: Uint8Array; coding: ContentCoding }> {
  const name = codingName(header);
  const content = await DECODERS.get(name)?.(body, { maxOutputLength: maxBytes }).catch(() => undefined);
  return {
    body: content === undefined ? body : new Uint8Array(content),
    coding: { name, decoded: content !== undefined },
  };
}
