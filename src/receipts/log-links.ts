import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { broken, type Broken } from "./audit-codes.ts";
import { digestOf } from "./log-entry.ts";
import { LINK_COLUMNS } from "./log-rows.ts";

/** Rows read at a time, so that memory stays bounded. */
const ROWS_PER_PAGE = 2000;

/** Which purchase has another receipt or amount than the log last recorded, or null. `links` has the digests by purchase. */
export async function compareLinks(tx: Db, links: ReadonlyMap<string, string>): Promise<Broken | null> {
  const differs = (id: string, receiptId: string | null): Broken =>
    broken(null, receiptId, "purchase_altered", `Receipt or amount of purchase ${id} are not what was logged.`);
  const missing = new Set(links.keys());
  for (let after: string | null = ""; after !== null;) {
    const rows: Pick<PurchasesTable, (typeof LINK_COLUMNS)[number]>[] = await tx
      .selectFrom("purchases")
      .select(LINK_COLUMNS)
      .where("receipt_id", "is not", null)
      .where("id", ">", after)
      .orderBy("id")
      .limit(ROWS_PER_PAGE)
      .execute();
    const altered = rows.find((row) => links.get(row.id) !== digestOf(row));
    if (altered !== undefined) return differs(altered.id, altered.receipt_id);
    for (const { id } of rows) missing.delete(id);
    after = rows.at(-1)?.id ?? null;
  }
  const [gone] = missing;
  return gone === undefined ? null : differs(gone, null);
}
