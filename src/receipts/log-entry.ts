import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { Db } from "../storage/database.ts";
import { missingBodies } from "./receipt.ts";
import type { Receipt } from "./schema.ts";

/** `prev` of the first entry. */
export const GENESIS = "0".repeat(64);

/** An entry as it is hashed: sha256(JCS(entry)). */
export type LogEntry = { seq: number; kind: string; receiptId: string; digest: string; at: number; prev: string };

/** sha256(JCS(entry)), hex. */
export const hashEntry = (entry: LogEntry): string => toHex(canonicalSha256(entry));

/** sha256(JCS(value)) of a later evidence or an appraisal as it stands in the receipt, hex. */
export const digestOf = (value: unknown): string => toHex(canonicalSha256(value));

/**
 * The content of a `receipt` or `import` entry: the id (the core's hash), an imported file's evidence, and its missing
 * bodies. One with both is recorded as all were before lacking bodies were.
 */
export const firstDigest = ({ id }: Receipt, later: Receipt["later"], lacking: readonly string[]): string =>
  digestOf(lacking.length === 0 ? { id, later } : { id, later, lacking });

/**
 * Appends an entry inside the caller's immediate transaction, so that number and predecessor are true across processes.
 * Records the receipt itself, or `value` of a subject: of a receipt a later evidence, an appraisal, which bodies it was
 * given, a claim or a job's outcome; of a seller its hold.
 */
export async function appendEntry(
  tx: Db,
  options: {
    at: Date;
    /** The newest entry, where the caller has just appended it. */
    after?: { seq: number; hash: string };
  } & (
    | { kind: "receipt" | "import"; receipt: Receipt }
    | { kind: "later" | "appraisal" | "bodies" | "claim" | "job" | "hold"; subject: string; value: unknown }
  ),
): Promise<NonNullable<Receipt["log"]>> {
  const last =
    options.after ??
    (await tx.selectFrom("log").select(["seq", "hash"]).orderBy("seq", "desc").limit(1).executeTakeFirst());
  const entry: LogEntry = {
    seq: (last?.seq ?? 0) + 1,
    kind: options.kind,
    receiptId: "subject" in options ? options.subject : options.receipt.id,
    digest:
      "value" in options
        ? digestOf(options.value)
        : firstDigest(options.receipt, options.receipt.later, missingBodies(options.receipt)),
    at: options.at.getTime(),
    prev: last?.hash ?? GENESIS,
  };
  const hash = hashEntry(entry);
  await tx
    .insertInto("log")
    .values({
      seq: entry.seq,
      kind: entry.kind,
      receipt_id: entry.receiptId,
      digest: entry.digest,
      at: entry.at,
      prev: entry.prev,
      hash,
    })
    .execute();
  return { seq: entry.seq, prev: entry.prev, hash };
}
