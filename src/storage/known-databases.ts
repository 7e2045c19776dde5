import { readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "kysely";
import { isThere, removeOwn, writeNew } from "../files/write-new.ts";
import { hostOfOptions, isPostgres, shownDatabase } from "./postgres-address.ts";
import { drawnOnce, type Db } from "./database.ts";

/** Another database used with the same wallet, and the file naming it. */
export type KnownDatabase = { path: string; noted: string };

/**
 * Notes in `folder` that the database at `path` is used with a wallet. Returns the others noted there. The id inside
 * identifies a database: a moved one stays the same, a copy beside its original is another.
 *
 * Only helps: a folder that cannot be read or written says nothing.
 */
export async function noteDatabase(
  db: Db,
  { folder, address, path }: { folder: string; address: string; path: string },
): Promise<KnownDatabase[]> {
  const own = `${address}-${(await drawnOnce(db, "database_id")).slice(0, 16)}`;
  try {
    const here = await placeOf(db, path);
    const noted = await readNotes(folder, address);
    const others = await othersAmong(noted, own, here);
    const mine = noted.find(({ name }) => name === own);
    const isCopy = mine !== undefined && others.includes(mine);
    if (mine?.path !== here && !isCopy) {
      if (mine !== undefined) await removeOwn(mine.noted);
      await writeNew(join(folder, own), `${here}\n`, { mode: 0o600 });
    }
    return others;
  } catch {
    return [];
  }
}

/** The databases noted in `folder` for a wallet, other than that at `path`. Writes nothing. */
export async function otherDatabases(
  db: Db,
  { folder, address, path }: { folder: string; address: string; path: string },
): Promise<KnownDatabase[]> {
  const id = await db.selectFrom("meta").select("value").where("key", "=", "database_id").executeTakeFirst();
  const own = `${address}-${id?.value.slice(0, 16) ?? ""}`;
  try {
    return await othersAmong(await readNotes(folder, address), own, await placeOf(db, path));
  } catch {
    return [];
  }
}

/** A file's real path, or a server's address without its password, with the host and the schema that its options name. */
async function placeOf(db: Db, path: string): Promise<string> {
  if (!isPostgres(path)) return realpath(path);
  const { rows } = await sql<{ schema: string }>`select relnamespace::regnamespace::text as "schema" from pg_class
    where oid = to_regclass('schema_version')`.execute(db);
  const schema = rows[0]?.schema ?? "public";
  const host = hostOfOptions(path);
  return [
    shownDatabase(path),
    ...(host === null ? [] : [`host ${host}`]),
    ...(schema === "public" ? [] : [`schema ${schema}`]),
  ].join(", ");
}

type Note = KnownDatabase & { name: string };

/** The notes of other databases: those under another name, and an original whose copy is `here`. */
async function othersAmong(noted: readonly Note[], own: string, here: string): Promise<Note[]> {
  const isOther = await Promise.all(
    noted.map(async ({ name, path }) => name !== own || (path !== here && (isPostgres(path) || (await isThere(path))))),
  );
  return noted.filter((_one, at) => isOther[at] === true);
}

async function readNotes(folder: string, address: string): Promise<Note[]> {
  const names = await readdir(folder).catch(() => []);
  return Promise.all(
    names
      .filter((name) => name.startsWith(`${address}-`))
      .map(async (name) => {
        const noted = join(folder, name);
        return { name, noted, path: (await readFile(noted, "utf8")).trim() };
      }),
  );
}
