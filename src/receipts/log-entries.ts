import { hashEntry } from "../evidence/log-chain.ts";
import type { Db } from "../storage/database.ts";
import type { EntryRow } from "./altered-part.ts";
import { broken, type Broken } from "./audit-codes.ts";

/** The entries behind `after`, in their order, at most `limit`. */
export const readEntries = (db: Db, after: number, limit: number): Promise<EntryRow[]> =>
  db.selectFrom("log").selectAll().where("seq", ">", after).orderBy("seq").limit(limit).execute();

/** Where the chain breaks at an entry behind `entries` others, the last of them with hash `head`; null if it does not. */
export function brokenEntry(row: EntryRow, entries: number, head: string): Broken | null {
  const { seq, kind, receipt_id: receiptId, digest, at, prev, hash } = row;
  if (seq !== entries + 1) return broken(entries + 1, null, "log_gap", `Entry ${entries + 1} is missing.`);
  if (hash !== hashEntry({ seq, kind, receiptId, digest, at, prev }))
    return broken(seq, receiptId, "log_entry_altered", `Entry ${seq} was altered.`);
  return prev === head ? null : broken(seq, receiptId, "log_chain", `Entry ${seq} does not follow the one before it.`);
}
