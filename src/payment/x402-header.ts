import { fromBase64, fromUtf8 } from "../evidence/bytes.ts";

/** Longest header that is decoded, characters. A stock seller's is about 500, with discovery some 20,000. */
const MAX_HEADER_CHARACTERS = 64_000;

/** The value in one of x402's headers, base64 of JSON with or without padding, or undefined. Nothing in it is checked. */
export function decodeHeader(header: string): unknown {
  if (header.length > MAX_HEADER_CHARACTERS) return undefined;
  const unpadded = header.replace(/={1,2}$/, "");
  try {
    return JSON.parse(fromUtf8(fromBase64(unpadded.padEnd(Math.ceil(unpadded.length / 4) * 4, "="))));
  } catch {
    return undefined;
  }
}

/**
 * Whether a value may be used further: at most `depth` levels deep, its text well-formed, and no key that objects
 * cannot hold as data. Checked for each used part, since sellers add anything to the rest.
 */
export function isPortable(value: unknown, depth: number): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return (
    depth > 0 &&
    Object.entries(value).every(
      ([key, part]) => key !== "__proto__" && key.isWellFormed() && isPortable(part, depth - 1),
    )
  );
}
