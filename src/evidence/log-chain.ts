import { toHex } from "./bytes.ts";
import { canonicalSha256 } from "./canonical.ts";

/** `prev` of the first entry. */
export const GENESIS = "0".repeat(64);

/** An entry as it is hashed: sha256(JCS(entry)). */
export type LogEntry = { seq: number; kind: string; receiptId: string; digest: string; at: number; prev: string };

/** sha256(JCS(entry)), hex. */
export const hashEntry = (entry: LogEntry): string => toHex(canonicalSha256(entry));
