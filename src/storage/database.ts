import { closeSync, openSync } from "node:fs";
import LibsqlDatabase from "libsql";
import { Kysely, SqliteDialect, type SqliteDatabase } from "kysely";
import { migrate } from "./migrations.ts";
import type { Tables } from "./tables.ts";

export type Db = Kysely<Tables>;

/**
 * Opens the buyer's one SQLite file (journal, receipts, queue). Several processes may hold it at once.
 *
 * WAL with `synchronous=FULL`: a commit that returned survives power loss, which the money journal relies on.
 * A new file is readable by its owner only: it holds prompts, answers and the secret that nonces are derived from.
 * Throws Proof402Error `database_too_new`, or the driver's or file system's error when the file cannot be opened or is not a database.
 */
export async function openDatabase(path: string): Promise<Db> {
  if (path !== ":memory:") closeSync(openSync(path, "a", 0o600));
  const connection = new LibsqlDatabase(path, { timeout: 10_000 } as LibsqlDatabase.Options);
  connection.exec("pragma journal_mode=wal; pragma synchronous=full; pragma foreign_keys=on;");
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection as unknown as SqliteDatabase }) });
  await migrate(db);
  return db;
}
