import { PostgresAdapter, sql, type Kysely, type RawBuilder } from "kysely";
import type { Tables } from "./tables.ts";

/** Whether a handle is of PostgreSQL. One of SQLite otherwise. */
export const isOnPostgres = (db: Kysely<Tables>): boolean => db.getExecutor().adapter instanceof PostgresAdapter;

/** The order in which claims of one moment were written, for lists. PostgreSQL keeps none that can be asked for. */
export const insertionOrder = (db: Kysely<Tables>): RawBuilder<number> =>
  isOnPostgres(db) ? sql<number>`coalesce(begun_at, at)` : sql<number>`rowid`;

/**
 * What another connection's write changes: equal at two moments, nothing was written between them. Costs one small question.
 * SQLite counts (sqlite.org/pragma.html#pragma_data_version); in PostgreSQL a transaction that writes takes a number, and the
 * numbers in use are told (9.27, `pg_current_snapshot`).
 */
export async function writesSeen(db: Kysely<Tables>): Promise<string | number | undefined> {
  const question = isOnPostgres(db)
    ? sql<{ data_version: string }>`select pg_current_snapshot()::text as data_version`
    : sql<{ data_version: number }>`pragma data_version`;
  const { rows } = await question.execute(db);
  return rows[0]?.data_version;
}

/** A server's clock, unix ms: machines need not agree on the time. Of a file, this machine's. */
export async function serverTime(db: Kysely<Tables>): Promise<number> {
  if (!isOnPostgres(db)) return Date.now();
  const { rows } = await sql<{
    now: number;
  }>`select (extract(epoch from clock_timestamp()) * 1000)::bigint as now`.execute(db);
  return rows[0]?.now ?? Date.now();
}
