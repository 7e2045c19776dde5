import type { Db } from "../storage/database.ts";
import { appendToLog, type LogEnd, type LogPlace } from "../storage/log-chain.ts";
import { digestOf, firstDigest } from "./log-digest.ts";
import { missingBodies } from "./receipt.ts";
import type { Receipt } from "./schema.ts";

/**
 * Appends an entry inside the caller's immediate transaction, so that number and predecessor are true across processes.
 * Records the receipt itself, or `value` of a subject: of a receipt a later evidence, an appraisal, its given or pruned
 * bodies, a claim or a job's outcome; of a seller its hold; of an emergency stop its order and its end; of a purchase its
 * receipt and amount, or its share; a decision.
 */
export async function appendEntry(
  tx: Db,
  options: {
    at: Date;
    /** The newest entry, where the caller has just appended it. */
    after?: LogEnd;
  } & (
    | { kind: "receipt" | "import"; receipt: Receipt }
    | {
        kind:
          | "later"
          | "appraisal"
          | "bodies"
          | "prune"
          | "claim"
          | "job"
          | "hold"
          | "stop"
          | "purchase"
          | "share"
          | "decision";
        subject: string;
        value: unknown;
      }
  ),
): Promise<LogPlace & LogEnd> {
  const { at, after } = options;
  const receiptId = "subject" in options ? options.subject : options.receipt.id;
  const digest =
    "value" in options
      ? digestOf(options.value)
      : firstDigest(options.receipt, options.receipt.later, missingBodies(options.receipt));
  return appendToLog(tx, { kind: options.kind, receiptId, digest, at: at.getTime() }, after);
}
