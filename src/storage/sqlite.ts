import { setTimeout as sleep } from "node:timers/promises";
import type LibsqlDatabase from "libsql";
import {
  SqliteAdapter,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from "kysely";
import { Proof402Error } from "../errors.ts";

/** How long a statement waits for another connection's write transaction, ms. */
const PATIENCE_MS = 10_000;

/**
 * Kysely's SQLite dialect over libsql, made for several connections to one file, in this process and in others.
 *
 * SQLite's busy timeout blocks the event loop, so it would never see a lock go that this process holds through another
 * connection. And a libsql statement that ended in SQLITE_BUSY stays active: until it is collected, its connection cannot
 * commit. So only `begin immediate` ever meets a lock: it runs through `exec`, which leaves nothing behind, and is
 * tried again without blocking. A write outside a transaction gets one of its own.
 */
export const patientSqlite = (database: LibsqlDatabase.Database): Dialect => ({
  createAdapter: () => new SqliteAdapter(),
  createDriver: () => patientDriver(database),
  createIntrospector: (db) => new SqliteIntrospector(db),
  createQueryCompiler: () => new SqliteQueryCompiler(),
});

/** Runs SQL that returns nothing. Throws Proof402Error `database_busy`. */
export const execute = (database: LibsqlDatabase.Database, statement: string): Promise<void> =>
  retryWhileBusy(() => void database.exec(statement));

function patientDriver(database: LibsqlDatabase.Database): Driver {
  // Kysely's own driver keeps the queue for the one connection; it runs no statement.
  const queue = new SqliteDriver({ database });
  const prepare = keptStatements(database);
  const waitFor = diskWaits(database);
  const connection: DatabaseConnection = {
    executeQuery: <R>(query: CompiledQuery) => run<R>(database, { prepare, waitFor }, query),
    streamQuery: () => {
      throw new TypeError("results are not streamed");
    },
  };
  return {
    init: () => queue.init(),
    async acquireConnection() {
      await queue.acquireConnection();
      return connection;
    },
    async beginTransaction() {
      await waitFor("full");
      await execute(database, "begin immediate");
    },
    commitTransaction: () => execute(database, "commit"),
    rollbackTransaction: () => execute(database, "rollback"),
    releaseConnection: () => queue.releaseConnection(),
    async destroy() {
      try {
        // The one file is then all there is to copy. While others are at work it is left to the last of them.
        database.exec("pragma wal_checkpoint(truncate)");
      } catch {
        // A full disk, say: all that was committed is in the log beside the file, and the next opening reads it there.
      }
      await queue.destroy();
    },
  };
}

/** Whether the next commits wait for the disk (`full`), as a connection is opened, or do not. */
type WaitFor = (mode: "full" | "normal") => Promise<void>;

/** Says it to SQLite only where it changes. */
function diskWaits(database: LibsqlDatabase.Database): WaitFor {
  let now = "full";
  return async (mode) => {
    if (mode === now) return;
    await execute(database, `pragma synchronous=${mode}`);
    now = mode;
  };
}

/** A statement, whether it gives rows, and its columns of bytes: the driver works that out each time it is asked. */
type Prepared = { statement: LibsqlDatabase.Statement; gives: boolean; bytes: readonly string[] };
type Prepare = (sql: string) => Prepared;

/** Statements kept per connection. The library's own queries are some fifty; a list of any length makes one more text each. */
const MAX_KEPT = 200;

/** Prepares each text once. Only a connection's own driver uses what it returns, one query at a time. */
function keptStatements(database: LibsqlDatabase.Database): Prepare {
  const kept = new Map<string, Prepared>();
  return (sql) => {
    const found = kept.get(sql);
    if (found !== undefined) return found;
    const made = prepared(database, sql);
    kept.set(sql, made);
    const oldest = kept.keys().next();
    if (kept.size > MAX_KEPT && !oldest.done) kept.delete(oldest.value);
    return made;
  };
}

function prepared(database: LibsqlDatabase.Database, sql: string): Prepared {
  const statement = database.prepare(sql);
  const columns = statement.reader ? statement.columns() : [];
  return {
    statement,
    gives: statement.reader,
    bytes: columns.flatMap(({ name, type }) => (type === "BLOB" ? [name] : [])),
  };
}

async function run<R>(
  database: LibsqlDatabase.Database,
  { prepare, waitFor }: { prepare: Prepare; waitFor: WaitFor },
  { sql: written, parameters }: CompiledQuery,
): Promise<QueryResult<R>> {
  // A text over several lines begins with a line break, and is read for its first word as any other.
  const sql = written.trimStart();
  if (sql === "pragma synchronous=full" || sql === "pragma synchronous=normal") {
    await waitFor(sql.endsWith("full") ? "full" : "normal");
    return { rows: [] };
  }
  if (/^(?:begin|commit|rollback)\b/.test(sql)) {
    await execute(database, sql);
    return { rows: [] };
  }
  // A schema change is made once and its text never met again.
  const isKept = /^(?:select|insert|update|delete|replace|with)\b/.test(sql);
  const { statement, gives, bytes } = isKept ? prepare(sql) : prepared(database, sql);
  const once = (): QueryResult<R> => {
    if (gives) return { rows: withBytes(statement.all(parameters) as Record<string, unknown>[], bytes) as R[] };
    const { changes, lastInsertRowid } = statement.run(parameters);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  };
  if (database.inTransaction || sql.startsWith("select")) return retryWhileBusy(once);
  await waitFor("full");
  if (!/^(?:insert|update|delete|replace)\b/.test(sql)) return retryWhileBusy(once);
  await execute(database, "begin immediate");
  try {
    const result = once();
    database.exec("commit");
    return result;
  } catch (error) {
    if (database.inTransaction) database.exec("rollback");
    throw error;
  }
}

/** The rows with their bytes as arrays: the driver lists them as bare buffers. */
function withBytes(rows: Record<string, unknown>[], columns: readonly string[]): Record<string, unknown>[] {
  for (const name of columns)
    for (const row of rows) {
      const value = row[name];
      if (value instanceof ArrayBuffer) row[name] = new Uint8Array(value);
    }
  return rows;
}

async function retryWhileBusy<T>(work: () => T): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let wait = 1; ; wait = Math.min(wait * 2, 32)) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (performance.now() > deadline) throw busy(error);
      // The random part keeps waiting processes from asking in step.
      await sleep(wait * (0.5 + Math.random()));
    }
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("SQLITE_BUSY");

const busy = (cause: unknown): Proof402Error =>
  new Proof402Error("database_busy", `The database was locked by other work for ${PATIENCE_MS / 1000} s.`, {
    next: "Call again with the same idempotency key; `spending` shows what is reserved.",
    cause,
  });
