import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import type { EntryRow, Recorded } from "./altered-part.ts";

/** What the log recorded of subjects, read by its index: an audit keeps none of it. */

const FIRST = `('receipt', 'import')`;
const APPENDED = ["later", "appraisal", "bodies", "prune", "claim", "job"] as const;

/**
 * Finds the first entry after `after`, up to `to`, that cannot come at its place: a receipt is recorded once and before what
 * is appended to it, a decision once.
 */
export async function misplacedEntry(db: Db, after: number, to: number): Promise<number | null> {
  const earlier = (kinds: string) =>
    sql.raw(`exists (select 1 from log as earlier where earlier.receipt_id = entry.receipt_id and earlier.seq > 0
      and earlier.seq < entry.seq and earlier.kind in ${kinds})`);
  const appended = sql.raw(`('${APPENDED.join("', '")}')`);
  const { rows } = await sql<{
    seq: number;
  }>`select seq from log as entry where seq > ${after} and seq <= ${to} and case
    when kind in ${sql.raw(FIRST)} then ${earlier(FIRST)}
    when kind in ${appended} then not ${earlier(FIRST)}
    when kind = 'decision' then ${earlier("('decision')")}
    else kind not in ('hold', 'stop', 'purchase', 'share') end
    order by seq limit 1`.execute(db);
  return rows[0]?.seq ?? null;
}

/** What the log up to an entry recorded of receipts, by their ids. One without an entry of its own is left out. */
export async function recordedOf(db: Db, ids: readonly string[], to: number): Promise<Map<string, Recorded>> {
  const entries: EntryRow[] = await db
    .selectFrom("log")
    .selectAll()
    .where("receipt_id", "in", ids)
    .where("seq", ">", 0)
    .where("seq", "<=", to)
    .orderBy("seq")
    .execute();
  const recorded = new Map<string, Recorded>();
  for (const entry of entries) {
    const known = recorded.get(entry.receipt_id);
    const kind = APPENDED.find((one) => one === entry.kind);
    if (kind === "bodies" || kind === "prune") known?.bodies.push({ kind, digest: entry.digest });
    else if (kind !== undefined) known?.[kind].push(entry.digest);
    else if (known === undefined && FIRST.includes(`'${entry.kind}'`))
      recorded.set(entry.receipt_id, { first: entry, later: [], appraisal: [], bodies: [], claim: [], job: [] });
  }
  return recorded;
}

/** The newest entries of a kind up to one, by their subjects. */
export async function newestOf(
  db: Db,
  kind: "purchase" | "share" | "decision",
  ids: readonly string[],
  to: number,
): Promise<Map<string, Pick<EntryRow, "seq" | "digest" | "at">>> {
  if (ids.length === 0) return new Map();
  const entries = await db
    .selectFrom("log")
    .select(["seq", "receipt_id", "digest", "at"])
    .where("receipt_id", "in", ids)
    .where("kind", "=", kind)
    .where("seq", ">", 0)
    .where("seq", "<=", to)
    .orderBy("seq")
    .execute();
  return new Map(entries.map((entry) => [entry.receipt_id, entry]));
}

/** The first recorded subject of a kind with no row any more. Reads the whole log: asked only if one is known to be gone. */
export async function firstGone(
  db: Db,
  kinds: readonly string[],
  table: "receipts" | "purchases" | "decisions",
  to: number,
  present = sql`true`,
): Promise<{ id: string; seq: number } | null> {
  const { rows } = await sql<{ id: string; seq: number }>`select receipt_id as id, seq from log
    where seq > 0 and seq <= ${to} and kind in (${sql.join(kinds)})
    and not exists (select 1 from ${sql.table(table)} as kept where kept.id = log.receipt_id and ${present})
    order by seq limit 1`.execute(db);
  return rows[0] ?? null;
}
