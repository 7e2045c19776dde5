import { utf8 } from "../evidence/bytes.ts";
import { parseJsonText } from "../evidence/json-text.ts";

/** Largest receipt file, bytes: what is larger is neither written nor read. */
export const MAX_FILE_BYTES = 8_000_000;
/** What the core may take of it with its bodies; the rest is for later evidence and appraisals. */
export const MAX_CORE_BYTES = 7_000_000;

/** Room for the place in the log and the file's digest, which come last. */
const RESERVED_BYTES = 1000;

/** A value as a receipt file writes it, indented. */
const written = (value: unknown): string => JSON.stringify(value, null, 2);

/** Whether a receipt's core leaves room for what comes later. */
export const leavesRoom = (core: unknown): boolean => utf8(written(core)).length <= MAX_CORE_BYTES;

/** In a text this short there is no room for too many values, however they are indented. */
const SHORT_TEXT = 100_000;

/** Whether a receipt can be read back from the file it would be written to: its bytes, its values, its nesting. */
export function canBeRead(receipt: unknown): boolean {
  if (JSON.stringify(receipt).length < SHORT_TEXT) return true;
  const text = written(receipt);
  return utf8(text).length <= MAX_FILE_BYTES - RESERVED_BYTES && parseJsonText(text).ok;
}
