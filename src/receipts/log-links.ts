import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { broken, type Broken } from "./audit-codes.ts";
import { digestOf } from "./log-digest.ts";
import { LINK_COLUMNS, SHARE_COLUMNS } from "./log-rows.ts";

/** Rows read at a time, so that memory stays bounded. */
const ROWS_PER_PAGE = 2000;

/** What the log last recorded of purchases: digests by purchase. */
type Recorded = { links: ReadonlyMap<string, string>; shares: ReadonlyMap<string, string> };

/** Which purchase has another receipt, amount or share than the log last recorded, or null. */
export async function comparePurchases(tx: Db, { links, shares }: Recorded): Promise<Broken | null> {
  const link = await differing(tx, links, LINK_COLUMNS, ["receipt_id"]);
  if (link !== null) return altered(link, "Receipt or amount");
  const share = await differing(tx, shares, SHARE_COLUMNS, ["reported", "part"]);
  return share === null ? null : altered(share, "Told cost or part");
}

type Row = Partial<PurchasesTable> & { id: string };

const altered = ({ id, receipt_id: receiptId }: Row, what: string): Broken =>
  broken(null, receiptId ?? null, "purchase_altered", `${what} of purchase ${id} are not what was logged.`);

/** The first purchase whose `columns` are not as recorded, or that is recorded and has none of `present` any more; or null. */
async function differing(
  tx: Db,
  recorded: ReadonlyMap<string, string>,
  columns: readonly (keyof PurchasesTable)[],
  present: readonly (keyof PurchasesTable)[],
): Promise<Row | null> {
  const missing = new Set(recorded.keys());
  for (let after: string | null = ""; after !== null;) {
    const rows = (await tx
      .selectFrom("purchases")
      .select(["id", ...columns])
      .where((where) => where.or(present.map((column) => where(column, "is not", null))))
      .where("id", ">", after)
      .orderBy("id")
      .limit(ROWS_PER_PAGE)
      .execute()) as Row[];
    const other = rows.find((row) => recorded.get(row.id) !== digestOf(row));
    if (other !== undefined) return other;
    for (const { id } of rows) missing.delete(id);
    after = rows.at(-1)?.id ?? null;
  }
  const [gone] = missing;
  return gone === undefined ? null : { id: gone };
}
