import { closeSync, openSync } from "node:fs";
import LibsqlDatabase from "libsql";
import { Kysely } from "kysely";
import { migrate } from "./migrations.ts";
import { execute, patientSqlite } from "./sqlite.ts";
import type { Tables } from "./tables.ts";

export type Db = Kysely<Tables>;

/**
 * Opens the buyer's one SQLite file (journal, receipts, queue). Several processes may hold it at once.
 *
 * WAL with `synchronous=FULL`: a commit that returned survives power loss, which the money journal relies on.
 * A new file is readable by its owner only: it holds prompts, answers and a secret that nonces may be derived from.
 * Throws Proof402Error `database_too_new` and `database_busy`, or the driver's or file system's error when the file
 * cannot be opened or is not a database. Any later use of the handle may throw `database_busy`.
 */
export async function openDatabase(path: string): Promise<Db> {
  if (path !== ":memory:") createFor(path);
  const database = new LibsqlDatabase(path);
  try {
    for (const pragma of ["journal_mode=wal", "synchronous=full", "foreign_keys=on"])
      await execute(database, `pragma ${pragma}`);
    const db = new Kysely<Tables>({ dialect: patientSqlite(database) });
    await migrate(db);
    return db;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Creates the file for its owner alone, where it is not there yet. One that is must not be opened, for closing it would take
 * away every lock that this process holds on it (POSIX), those of an open handle included, and another process that then
 * believes itself alone deletes the log that this one writes to.
 */
function createFor(path: string): void {
  try {
    closeSync(openSync(path, "ax", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}
