import { utf8 } from "../evidence/bytes.ts";
import { parseJsonText } from "../evidence/json-text.ts";

/** What evidence may fill of a receipt, bytes and values. */
const MAX_FILLED = { bytes: 8_000_000, values: 100_000 };
/**
 * Stays free above that for verdicts, and as much again for contradictions, disputes and worse verdicts. So there is room
 * against the fullest file. A contradiction has 300 bytes and 8 values. An appraisal has 25,000 bytes and 150 values at
 * most. A verdict can get worse three times.
 */
export const KEPT_FREE = { bytes: 100_000, values: 1_000, pieces: 16, appraisals: 3 };
/** Steps into the free room: 0 for evidence, 1 for a verdict, 2 for a contradiction, a dispute or a worse verdict. */
export type Reach = 0 | 1 | 2;

/** Largest receipt file, bytes: what is larger is neither written nor read. */
export const MAX_FILE_BYTES = MAX_FILLED.bytes + 2 * KEPT_FREE.bytes;
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
export function canBeRead(receipt: unknown, reach: Reach): boolean {
  if (JSON.stringify(receipt).length < SHORT_TEXT) return true;
  const text = written(receipt);
  const bytes = MAX_FILLED.bytes - RESERVED_BYTES + reach * KEPT_FREE.bytes;
  return utf8(text).length <= bytes && parseJsonText(text, MAX_FILLED.values + reach * KEPT_FREE.values).ok;
}
