import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import LibsqlDatabase from "libsql";
import { Kysely } from "kysely";
import { Proof402Error } from "../errors.ts";
import { OTHERS, rightsProblem } from "../files/read-file.ts";
import { migrate, schemaVersion } from "./migrations.ts";
import { isPostgres } from "./postgres-address.ts";
import { patientPostgres } from "./postgres.ts";
import { execute, patientSqlite } from "./sqlite.ts";
import type { Tables } from "./tables.ts";

export type Db = Kysely<Tables>;

/**
 * Opens the buyer's database (journal, receipts, queue): one SQLite file, or a PostgreSQL database by its address. Several
 * processes may hold it at once.
 *
 * WAL with `synchronous=FULL`: a commit survives power loss, and the money journal relies on it. A new file is readable
 * by its owner only: it holds prompts, answers and a secret that nonces may be derived from. Throws Proof402Error
 * `database_permissions` where others may write to the file, `database_too_new` and `database_busy`, or the driver's or
 * file system's error when the file cannot be opened or is not a database. Any later use of the handle may throw
 * `database_busy`, and of a server's `database_unreachable`, `database_unusable`, `database_permissions` and `peers_missing`.
 */
export async function openDatabase(path: string): Promise<Db> {
  if (isPostgres(path)) return openServer(path);
  if (path !== ":memory:") await prepareFile(path);
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

async function openServer(address: string): Promise<Db> {
  const db = await openAsItIs(address);
  await orClose(db, (own) => migrate(own));
  return db;
}

/** Opens a server's database and makes nothing in it. */
export const openAsItIs = async (address: string): Promise<Db> =>
  new Kysely<Tables>({ dialect: await patientPostgres(address) });

async function orClose<T>(db: Db, work: (db: Db) => Promise<T>): Promise<T> {
  try {
    return await work(db);
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

/**
 * Opens a database that is there already, for looks alone: nothing is made, migrated or written through this handle. Its
 * schema may be another than this program's. Throws the driver's error for a file that is no database.
 */
export async function openToRead(path: string): Promise<{ db: Db; schema: number }> {
  if (isPostgres(path)) {
    const db = new Kysely<Tables>({ dialect: await patientPostgres(path, { readOnly: true }) });
    return { db, schema: await orClose(db, schemaVersion) };
  }
  const database = new LibsqlDatabase(path);
  try {
    await execute(database, "pragma query_only=on");
    const db = new Kysely<Tables>({ dialect: patientSqlite(database) });
    return { db, schema: await schemaVersion(db) };
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Makes a database's file and folder where they are not there yet, for their owner alone. Who else can write to the file can
 * undo caps and payments in it: throws Proof402Error `database_permissions` then.
 */
export async function prepareFile(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await requireOwnRights(path);
  createFor(path);
}

/** Throws Proof402Error `database_permissions` where others may write to a database. */
export async function requireOwnRights(path: string): Promise<void> {
  // Who may write to a server's database is the server's to say.
  if (isPostgres(path)) return;
  for (const file of [path, `${path}-wal`]) {
    const found = await rightsProblem(file, OTHERS.write);
    if (found?.problem !== "permissions") continue;
    throw new Proof402Error(
      "database_permissions",
      found.of === "file"
        ? `The database ${file} can be written by others than its owner.`
        : `Everyone may write to the folder of the database ${file}.`,
      {
        next: `Run chmod ${found.of === "file" ? "go-w on it" : "o-w on the folder"}, and look for what others may have changed in it.`,
        details: { mode: found.mode },
      },
    );
  }
}

/**
 * Creates the file for its owner alone, where it is not there yet. Never opens an existing one: closing any descriptor
 * drops every lock of this process on that file (POSIX). Another process could then believe itself alone and delete the
 * log in use here.
 */
function createFor(path: string): void {
  try {
    closeSync(openSync(path, "ax", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

/** A random value of the file, 32 bytes as hex, drawn once at the first request. */
export async function drawnOnce(db: Db, key: "journal_secret" | "database_id"): Promise<string> {
  const read = () => db.selectFrom("meta").select("value").where("key", "=", key).executeTakeFirst();
  const known = await read();
  if (known !== undefined) return known.value;
  await db
    .insertInto("meta")
    .values({ key, value: randomBytes(32).toString("hex") })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const made = await read();
  if (made === undefined) throw new Error(`${key} was not stored`);
  return made.value;
}
