import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { broken, type Broken } from "./audit-codes.ts";
import { digestOf } from "./log-digest.ts";
import { firstGone, newestOf } from "./log-of-subjects.ts";
import { LINK_COLUMNS, SHARE_COLUMNS } from "./log-rows.ts";

/** Rows read at a time, so that memory stays bounded. */
const ROWS_PER_PAGE = 2000;

/** How far the log was followed, and its entries about purchases up to there. */
type Followed = { entries: number; logged: Readonly<Record<"purchase" | "share", number>> };

/** Which purchase has another receipt, amount or share than the log last recorded, or null. */
export async function comparePurchases(tx: Db, { entries, logged }: Followed): Promise<Broken | null> {
  const link = await differing(tx, { kind: "purchase", to: entries, count: logged.purchase }, LINK_COLUMNS, [
    "receipt_id",
  ]);
  if (link !== null) return altered(link, "Receipt or amount");
  const share = await differing(tx, { kind: "share", to: entries, count: logged.share }, SHARE_COLUMNS, [
    "reported",
    "part",
  ]);
  return share === null ? null : altered(share, "Told cost or part");
}

type Row = Partial<PurchasesTable> & { id: string };

const altered = ({ id, receipt_id: receiptId }: Row, what: string): Broken =>
  broken(null, receiptId ?? null, "purchase_altered", `${what} of purchase ${id} are not what was logged.`);

/** The first purchase whose `columns` are not as recorded, or that is recorded and has none of `present` any more; or null. */
async function differing(
  tx: Db,
  { kind, to, count }: { kind: "purchase" | "share"; to: number; count: number },
  columns: readonly (keyof PurchasesTable)[],
  present: readonly (keyof PurchasesTable)[],
): Promise<Row | null> {
  let compared = 0;
  for (let after: string | null = ""; after !== null;) {
    const rows = (await tx
      .selectFrom("purchases")
      .select(["id", ...columns])
      .where((where) => where.or(present.map((column) => where(column, "is not", null))))
      .where("id", ">", after)
      .orderBy("id")
      .limit(ROWS_PER_PAGE)
      .execute()) as Row[];
    const ids = rows.map(({ id }) => id);
    const recorded = await newestOf(tx, kind, ids, to);
    const other = rows.find((row) => recorded.get(row.id)?.digest !== digestOf(row));
    if (other !== undefined) return other;
    compared += rows.length;
    after = rows.at(-1)?.id ?? null;
  }
  // Each has an entry of its own. Where there are more entries, some have several, or one is gone.
  if (compared === count) return null;
  const stands = sql.join(
    present.map((column) => sql`${sql.ref(`kept.${column}`)} is not null`),
    sql` or `,
  );
  const gone = await firstGone(tx, [kind], "purchases", to, sql`(${stands})`);
  return gone === null ? null : { id: gone.id };
}
