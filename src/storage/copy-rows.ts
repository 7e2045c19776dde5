import { sql, type Kysely } from "kysely";
import { isOnPostgres } from "./dialect.ts";
import type { Tables } from "./tables.ts";

type Db = Kysely<Tables>;
type Row = Record<string, string | number | Uint8Array | null>;
/** Row counts by table. */
export type Counts = Record<string, number>;

/** Rows read and written at a time: a receipt may have some hundred kB. */
const PAGE = 100;
/** Tables of a database's own bookkeeping, and the one of rows without a row number in SQLite. */
const OWN = ["commit_marks", "schema_version", "sqlite_sequence"];
const WITHOUT_NUMBERS = "spend";
/** Tables whose numbers the database gives, with the column of it. */
const NUMBERED = ["jobs", "guard_stops"] as const;

/** Names of all tables with the buyer's records, in order. */
export async function tableNames(db: Db): Promise<string[]> {
  const question = isOnPostgres(db)
    ? sql<{
        name: string;
      }>`select table_name as name from information_schema.tables where table_schema = current_schema()`
    : sql<{ name: string }>`select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`;
  const { rows } = await question.execute(db);
  return rows.flatMap(({ name }) => (OWN.includes(name) ? [] : [name])).toSorted();
}

/** Counts the rows of each table. */
export async function countRows(db: Db): Promise<Counts> {
  const counts: Counts = {};
  for (const name of await tableNames(db)) {
    const { rows } = await sql<{ total: number }>`select count(*) as total from ${sql.table(name)}`.execute(db);
    counts[name] = rows[0]?.total ?? 0;
  }
  return counts;
}

/**
 * Copies every row into a database with the same tables, all empty. Both handles are in transactions that no other write
 * enters. The log's highest number goes along, so that an audit of the copy misses a cut-off end as one of the original does.
 */
export async function copyRows(from: Db, into: Db): Promise<void> {
  for (const table of await tableNames(into))
    for await (const rows of isOnPostgres(from) ? pagesOfServer(from, table) : pagesOfFile(from, table))
      await into
        .insertInto(table as keyof Tables)
        .values(rows)
        .execute();
  const { rows } = await sql<{ seq: number }>`select seq from sqlite_sequence where name = 'log'`.execute(from);
  const highest = rows[0]?.seq ?? 0;
  if (isOnPostgres(into)) {
    await sql`update sqlite_sequence set seq = ${highest} where name = 'log'`.execute(into);
    for (const table of NUMBERED)
      await sql`select setval(pg_get_serial_sequence(${table}, 'id'), (select max(id) from ${sql.table(table)}))`.execute(
        into,
      );
  } else {
    await sql`delete from sqlite_sequence where name = 'log'`.execute(into);
    if (highest > 0) await sql`insert into sqlite_sequence (name, seq) values ('log', ${highest})`.execute(into);
  }
}

async function* pagesOfServer(from: Db, table: string): AsyncGenerator<Row[]> {
  const order = table === "receipt_claims" ? sql` order by at, begun_at` : sql``;
  await sql`declare copied no scroll cursor for select * from ${sql.table(table)}${order}`.execute(from);
  for (;;) {
    const { rows } = await sql<Row>`${sql.raw(`fetch ${PAGE} from copied`)}`.execute(from);
    if (rows.length === 0) break;
    yield rows;
  }
  await sql`close copied`.execute(from);
}

async function* pagesOfFile(from: Db, table: string): AsyncGenerator<Row[]> {
  if (table === WITHOUT_NUMBERS) {
    const { rows } = await sql<Row>`select * from spend`.execute(from);
    for (let at = 0; at < rows.length; at += PAGE) yield rows.slice(at, at + PAGE);
    return;
  }
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const { rows }: { rows: Row[] } = await sql<Row>`select rowid as copied_row, * from ${sql.table(table)}
      where rowid > ${after} order by rowid limit ${PAGE}`.execute(from);
    if (rows.length === 0) return;
    after = Number(rows.at(-1)?.["copied_row"]);
    yield rows.map((row) => Object.fromEntries(Object.entries(row).filter(([column]) => column !== "copied_row")));
  }
}
