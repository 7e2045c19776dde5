import { randomUUID } from "node:crypto";
import { link, rm, stat } from "node:fs/promises";
import { Proof402Error } from "../errors.ts";
import { isThere } from "../files/write-new.ts";
import { tableNames } from "./copy-rows.ts";
import { openAsItIs, openDatabase, type Db } from "./database.ts";
import { immediate, migrate } from "./migrations.ts";
import { isPostgres, shownDatabase } from "./postgres-address.ts";

/**
 * Makes a database where none is, and keeps it only if `fill` returns: on a server in one transaction, as a file under another
 * name until it is whole. Throws Proof402Error `database_not_empty`, and what `fill` throws.
 */
export const inNewPlace = <T>(place: string, fill: (tx: Db) => Promise<T>): Promise<T> =>
  isPostgres(place) ? inServer(place, fill) : inFile(place, fill);

async function inServer<T>(address: string, fill: (tx: Db) => Promise<T>): Promise<T> {
  const db = await openAsItIs(address);
  try {
    return await immediate(db, async (tx) => {
      if ((await tableNames(tx)).length > 0) throw notEmpty(address);
      await migrate(tx);
      return fill(tx);
    });
  } finally {
    await db.destroy();
  }
}

async function inFile<T>(path: string, fill: (tx: Db) => Promise<T>): Promise<T> {
  const beside = [path, `${path}-wal`, `${path}-shm`];
  for (const file of beside) if (await isThere(file)) throw notEmpty(file);
  const part = `${path}.${randomUUID()}.part`;
  try {
    const result = await filled(part, fill);
    await requireWhole(part);
    // Unlike a renaming it replaces nothing.
    await link(part, path).catch(() => {
      throw notEmpty(path);
    });
    return result;
  } finally {
    for (const end of ["", "-wal", "-shm"]) await rm(`${part}${end}`, { force: true });
  }
}

async function filled<T>(path: string, fill: (tx: Db) => Promise<T>): Promise<T> {
  const db = await openDatabase(path);
  try {
    return await immediate(db, fill);
  } finally {
    await db.destroy();
  }
}

/** Closing a database writes its log into it. What a full disk left beside the file would be lost with the file's name. */
async function requireWhole(part: string): Promise<void> {
  const log = await stat(`${part}-wal`).catch(() => null);
  if (log === null || log.size === 0) return;
  throw new Proof402Error("database_not_copied", "The copy could not be written whole, and was dropped.", {
    next: "Make room on the disk, then copy again.",
  });
}

const notEmpty = (place: string): Proof402Error =>
  new Proof402Error("database_not_empty", `${shownDatabase(place)} holds something already.`, {
    next: "Name a file that is not there, or an empty database or schema of a server.",
  });
