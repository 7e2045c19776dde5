import { resolve } from "node:path";
import type { Command } from "commander";
import { copyDatabase } from "../buyer/copy-database.ts";
import { isThere } from "../files/write-new.ts";
import { openDatabase } from "../storage/database.ts";
import { isPostgres, shownDatabase } from "../storage/postgres-address.ts";
import { EXIT, globals, print, printResult } from "./globals.ts";
import { shownJson } from "./quoted.ts";
import { busy } from "./progress.ts";
import { unusable, usable } from "./session.ts";

/** `proof402 db copy`: between a file and a server, in either direction. */
export async function copyDb(given: { from: string; to: string }, command: Command): Promise<number> {
  const { json = false } = globals(command);
  const [from, to] = [placeOf(given.from), placeOf(given.to)];
  if (!isPostgres(from) && !(await isThere(from))) throw unusable(from);
  const source = await usable(from, () => openDatabase(from));
  let copy;
  try {
    copy = await busy("Copying and auditing the database", () =>
      usable(to, () => copyDatabase(source, to, new Date())),
    );
  } finally {
    await source.destroy();
  }
  const next = `Use one of the two from now on: each counts its own spending. For the copy write "database": ${shownJson(shownDatabase(to))} into the configuration of every process, then start them again.`;
  if (json) printResult({ from: shownDatabase(from), to: shownDatabase(to), ...copy }, next);
  else {
    const rows = Object.values(copy.rows).reduce((sum, one) => sum + one, 0);
    print(
      `Copied ${rows} rows. The copy's log is whole: ${copy.entries} entries, ${copy.receipts} receipts, ${copy.decisions} decisions. Head ${copy.head}`,
    );
    print(next);
  }
  return EXIT.ok;
}

const placeOf = (database: string): string => (isPostgres(database) ? database : resolve(database));
