import { sql } from "kysely";
import { copyDatabase } from "../../src/buyer/copy-database.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { isOnPostgres } from "../../src/storage/dialect.ts";
import { databasePlace } from "./database-place.ts";
import { eventually } from "./eventually.ts";

/** A copy of a database as a backup has it, and its place. A process keeps a channel for a moment after its call. */
export async function copyOf(from: string, to: string): Promise<string> {
  const place = await databasePlace(to);
  const source = await openDatabase(from);
  try {
    await eventually(() => copyDatabase(source, place, new Date()));
  } finally {
    await source.destroy();
  }
  return place;
}

/** Has a database refuse writes of one kind, as `insert on log` or `update on purchases when new.receipt_id is not null`. */
export async function refuseWrites(db: Db, what: string, words = "refused"): Promise<void> {
  if (!isOnPostgres(db)) {
    await sql.raw(`create trigger refused before ${what} begin select raise(abort, '${words}'); end`).execute(db);
    return;
  }
  const [change, condition] = what.split(" when ");
  const when = condition === undefined ? "" : `when (${condition})`;
  await sql
    .raw(
      `create or replace function refuse_write() returns trigger language plpgsql as $$ begin raise exception '${words}'; end $$`,
    )
    .execute(db);
  await sql
    .raw(`create trigger refused before ${change} for each row ${when} execute function refuse_write()`)
    .execute(db);
}

/** Takes that back. */
export async function allowWrites(db: Db, table: string): Promise<void> {
  await sql.raw(isOnPostgres(db) ? `drop trigger refused on ${table}` : "drop trigger refused").execute(db);
}

/** A row's own name in its table, as SQL: all that it holds where it has no number. */
export const rowName = (db: Db, table: string): string => (isOnPostgres(db) ? `${table}::text` : "rowid");
