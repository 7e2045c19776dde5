import { createHash, randomUUID } from "node:crypto";
import pg from "pg";
import { isPostgres } from "../../src/storage/postgres-address.ts";

/**
 * The database at a path: the file itself, or, in a run on PostgreSQL (vitest.postgres.config.ts), the address of a schema that
 * stands for it, also in other processes.
 */
export async function databasePlace(path: string): Promise<string> {
  const server = process.env["PROOF402_TEST_POSTGRES"];
  if (server === undefined || isPostgres(path)) return path;
  const name = `t${createHash("sha256")
    .update(path === ":memory:" ? randomUUID() : path)
    .digest("hex")
    .slice(0, 24)}`;
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(`create schema if not exists ${name}`);
  } catch (error) {
    // Of two at once the other one has made it.
    if ((error as { code?: unknown }).code !== "23505") throw error;
  } finally {
    await client.end();
  }
  const url = new URL(server);
  url.searchParams.set("options", `-c search_path=${name}`);
  return url.href;
}
