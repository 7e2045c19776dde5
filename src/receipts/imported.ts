import { sql } from "kysely";
import type { Db } from "../storage/database.ts";

/**
 * A stored receipt's row was made elsewhere and imported: the log says so, and no purchase of this buyer's has that receipt. For
 * queries over `receipts`, in both databases' words.
 */
export const IS_IMPORTED = sql<boolean>`(exists (select 1 from log where kind = 'import' and log.receipt_id = receipts.id)
  and not exists (select 1 from purchases where purchases.receipt_id = receipts.id))`;

/** The receipts among these that were imported: bought by another buyer, with another's money and times. */
export async function importedAmong(db: Db, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await db.selectFrom("receipts").select("id").where("id", "in", ids).where(IS_IMPORTED).execute();
  return new Set(rows.map(({ id }) => id));
}
