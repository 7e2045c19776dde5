import { Kysely } from "kysely";
import LibsqlDatabase from "libsql";
import { prepareFile } from "../storage/database.ts";
import { execute, patientSqlite } from "../storage/sqlite.ts";

/** The store of a node's answers and their payments, with its retention time. */
export type NodeRecords = {
  /**
   * SQLite file. In memory when absent: a restart then forgets the answers, and a crash loses vouchers taken and not
   * yet claimed, free for their payers to spend again; `close` claims them. Nodes that are paid at one address share one
   * file, or set `sharedPayee`: each would else take a payment to another for one to itself.
   * If nodes on one file anchor, each sends the others' waiting answers at its start, too, and that gas is paid twice.
   */
  database?: string;
  /** How long an answer can be had again by who paid for it, seconds; a day by default. */
  keepSeconds?: number | undefined;
};

/**
 * Opens the file, or a database in memory, with these tables in it: what was committed survives power loss. Throws what the
 * driver or the file system throws where it cannot be had.
 */
export async function openRecords<Tables>(path: string, tables: readonly string[]): Promise<Kysely<Tables>> {
  if (path !== ":memory:") await prepareFile(path);
  const database = new LibsqlDatabase(path);
  for (const statement of ["pragma journal_mode=wal", "pragma synchronous=full", ...tables])
    await execute(database, statement);
  return new Kysely<Tables>({ dialect: patientSqlite(database) });
}
