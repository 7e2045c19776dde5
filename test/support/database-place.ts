import { createHash, randomUUID } from "node:crypto";
import { isPostgres } from "../../src/storage/postgres-address.ts";

/** The server of a run on PostgreSQL (vitest.postgres.config.ts). */
const SERVER = process.env["PROOF402_TEST_POSTGRES"];
const NAME = / search_path=(t[0-9a-f]{24})$/;
const made = new Set<string>();

/**
 * The database at a path: the file itself, or, in a run on PostgreSQL, the address of a schema that stands for it, also in other
 * processes. The schema is made by `databasePlace`, and so by the first opening of it in a test's process.
 */
export function placeOf(path: string): string {
  if (SERVER === undefined || isPostgres(path)) return path;
  const of = path === ":memory:" ? randomUUID() : path;
  const url = new URL(SERVER);
  url.searchParams.set("options", `-c search_path=t${createHash("sha256").update(of).digest("hex").slice(0, 24)}`);
  return url.href;
}

/** The same, with its schema made. */
export async function databasePlace(path: string): Promise<string> {
  const place = placeOf(path);
  const name =
    isPostgres(place) && URL.canParse(place)
      ? NAME.exec(new URL(place).searchParams.get("options") ?? "")?.[1]
      : undefined;
  if (name === undefined || made.has(name)) return place;
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: SERVER });
  await client.connect();
  try {
    await client.query(`create schema if not exists ${name}`);
  } catch (error) {
    // Of two at once the other one has made it.
    if ((error as { code?: unknown }).code !== "23505") throw error;
  } finally {
    await client.end();
  }
  made.add(name);
  return place;
}
