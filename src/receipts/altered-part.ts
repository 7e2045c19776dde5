import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import type { LogTable, ReceiptsTable } from "../storage/tables.ts";
import { digestOf, firstDigest, SETS_OF_BODIES } from "./log-digest.ts";
import { missingBodies } from "./receipt.ts";
import type { Receipt } from "./schema.ts";
import { checkRow } from "./stored-rows.ts";

/** An entry of the log as it is stored. */
export type EntryRow = Omit<LogTable, "seq"> & { seq: number };

/** What the log says about one receipt; the lists are digests. */
export type Recorded = Record<"later" | "appraisal" | "claim" | "job", string[]> & {
  first: EntryRow;
  /** Bodies that it was given, and those pruned, in order. */
  bodies: Pick<EntryRow, "kind" | "digest">[];
};

/** A stored receipt beside what the log recorded of it. */
export type Compared = { row: ReceiptsTable; recorded: Recorded };

/** Receipts beside the log's record of them, with the contents of their rows. */
export type ComparedPage = { pairs: readonly Compared[]; contents: ReadonlyMap<string, string> };

/** Finds the part of each stored receipt unlike its log entry, or null. */
export const alteredParts = ({ pairs, contents }: ComparedPage): (string | null)[] =>
  pairs.map(({ row, recorded }) => alteredPart(row, recorded, contents));

function alteredPart(row: ReceiptsTable, recorded: Recorded, contents: ReadonlyMap<string, string>): string | null {
  const { first, later, appraisal } = recorded;
  const checked = checkRow(row, contents);
  if (!checked.ok || checked.receipt.id !== row.id) return "content";
  const { receipt } = checked;
  // Evidence that an imported receipt came with is recorded with its import and not one by one.
  const came = receipt.later.length - later.length;
  if (came < 0 || (first.kind === "receipt" && came > 0)) return "later evidence";
  const lacking = recordedLacking(recorded, receipt, came);
  if (lacking === null) return "core";
  if (!sameList(lacking, missingBodies(receipt))) return "bodies";
  if (!sameList(receipt.later.slice(came).map(digestOf), later)) return "later evidence";
  if (!sameList(receipt.appraisals.map(digestOf), appraisal)) return "list of appraisals";
  const { log } = receipt;
  if (log?.seq !== first.seq || log.hash !== first.hash || log.prev !== first.prev) return "place in the log";
  const indexed =
    row.verdict === (receipt.appraisals.at(-1)?.verdict ?? "") &&
    row.seller_id === receipt.core.seller.id &&
    row.model === receipt.core.request.model &&
    row.created_at === first.at &&
    row.payment_nonce === purchaseNonceOf(receipt.core.payment);
  return indexed ? null : "index";
}

/** Which bodies a receipt lacks by the log: those of its first entry, without those it was given. Null of another core. */
function recordedLacking({ first, bodies }: Recorded, receipt: Receipt, came: number): readonly string[] | null {
  const lacked = SETS_OF_BODIES.find((set) => firstDigest(receipt, receipt.later.slice(0, came), set) === first.digest);
  if (lacked === undefined) return null;
  const now = bodies.reduce<readonly string[]>(after, lacked);
  return ["request", "response"].filter((part) => now.includes(part));
}

/** The lacking bodies after an entry about bodies. */
function after(lacking: readonly string[], { kind, digest }: Recorded["bodies"][number]): readonly string[] {
  const parts = SETS_OF_BODIES.find((set) => digestOf(set) === digest) ?? [];
  return kind === "prune" ? [...lacking, ...parts] : lacking.filter((part) => !parts.includes(part));
}

/** Whether bodies of a receipt were pruned and not given again since. */
export const isPruned = ({ bodies }: Recorded): boolean => {
  const pruned = bodies.reduce<readonly string[]>(after, []);
  return pruned.length > 0;
};

/** Whether two lists of texts are the same. */
export const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item, index) => item === b[index]);
