import { lstatSync } from "node:fs";
import { isPostgres } from "./postgres-address.ts";
import { isThere, removeOwn, writeNew } from "../files/write-new.ts";

/** The file that stops every guard over a database while it is there. Null of a database in memory, and of a server's. */
export const stopFileOf = (database: string): string | null =>
  database === ":memory:" || isPostgres(database) ? null : `${database}.guard-stop`;

/**
 * Whether a stop file is there. One that cannot be looked for counts as there. Asks at once: every action asks, and SQLite's
 * own file beside it is read in the same way.
 */
export function isStopFileThere(file: string): boolean {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/** Writes the file, where none is there yet. Throws Proof402Error `file_unwritable`. */
export async function writeStopFile(file: string, reason: string): Promise<void> {
  if (await isThere(file)) return;
  await writeNew(file, `${reason}\n`, { mode: 0o600 });
}

/** Removes the file, also one made by hand. */
export const removeStopFile = (file: string): Promise<void> => removeOwn(file);
