import {
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from "kysely";
import type { Pool, PoolClient, QueryConfig } from "pg";
import { randomUUID } from "node:crypto";
import { createNotices } from "./notices.ts";
import { connector, createPlaces, openPool } from "./postgres-pool.ts";
import { isRolledBack, isUnreachable, PATIENCE_MS, toldOf, unreachable } from "./postgres-errors.ts";
import { marked, notCommitted, outcomeOf } from "./postgres-outcome.ts";

/** Connections of one process: one writes at a time in the whole fleet, the others read. */
const MAX_CONNECTIONS = 4;
/** How long one statement's answer is waited for, ms. A network may swallow it without a word. */
const ANSWER_MS = 60_000;
/** How long a transaction may be left open without a statement: a frozen process must not hold the fleet, ms. */
const IDLE_MS = 20_000;

/**
 * Begins a write transaction: SQLite's rule of one writer at a time, by one advisory lock (PostgreSQL 13.3.5) named "p402" in
 * ASCII and by the number of the tables, so that two search paths to one table mean one lock. The table of what is spent is
 * locked besides: a schema that lends another one's tables has a lock of its own by name. At `read committed` each
 * statement sees every earlier commit, and no other writer commits before this one. The settings end with the transaction: a
 * pooler may give the connection to others. A commit without a wait for the disk could be lost with the server while this
 * process goes on, so each one waits.
 */
const BEGIN = `begin isolation level read committed, read write;
set local lock_timeout = ${PATIENCE_MS};
set local idle_in_transaction_session_timeout = ${IDLE_MS};
select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off';
select pg_advisory_xact_lock(1882206258, coalesce(to_regclass('schema_version')::oid::int4, 0));
do $$ begin if to_regclass('spend') is not null then lock table spend in share row exclusive mode; end if; end $$`;
const BEGIN_READING = "begin isolation level repeatable read, read only";

/**
 * Kysely's PostgreSQL dialect with SQLite's rule for writers: every transaction, and every write outside of one, takes the
 * database's write lock first. Reads wait for nothing. The server frees the lock when a process dies.
 *
 * After a commit without an answer the server is asked for the transaction's end. Without its word the commit is told as
 * unknown, never as not written.
 *
 * Throws Proof402Error `peers_missing` and `config_invalid`.
 */
export async function patientPostgres(address: string, { readOnly = false } = {}): Promise<Dialect> {
  const pool = await openPool(address, MAX_CONNECTIONS);
  const notices = createNotices(address, (text, values) => pool.query(bounded(text, values)));
  return {
    // A handle has its adapter at hand, within a transaction, too.
    createAdapter: () => Object.assign(new PostgresAdapter(), { notices }),
    createDriver: () => ({
      ...patientDriver(pool, readOnly),
      async destroy() {
        notices.close();
        await pool.end();
      },
    }),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

/** A statement of its own with an end: a connection that says nothing until then is given up. */
const bounded = (text: string, values: string[]): QueryConfig =>
  Object.assign({ text, values }, { query_timeout: PATIENCE_MS });

/** A connection out of the pool. */
type Held = DatabaseConnection & {
  /** Null while none is to be had. */
  client: PoolClient | null;
  /** The open transaction: one that holds the write lock, one that reads, or none. */
  open: "writing" | "reading" | null;
  /** Whether a statement in it changed anything. */
  wrote: boolean;
  /** It broke: nothing is asked of it any more. */
  broken: boolean;
};

function patientDriver(pool: Pool, readOnly: boolean): Omit<Driver, "destroy"> {
  const places = createPlaces(MAX_CONNECTIONS);
  const connect = connector(pool);
  const replace = async (held: Held): Promise<void> => {
    held.client?.release(true);
    held.client = null;
    held.client = await connect();
    held.broken = false;
    held.open = null;
  };
  const ways: Ways = { readOnly, replace };
  return {
    init: () => Promise.resolve(),
    async acquireConnection() {
      await places.take();
      try {
        const held: Held = {
          client: await connect(),
          open: null,
          wrote: false,
          broken: false,
          executeQuery: <R>(query: CompiledQuery) => run<R>(held, ways, query),
          streamQuery: () => {
            throw new TypeError("results are not streamed");
          },
        };
        return held;
      } catch (error) {
        places.give();
        throw error;
      }
    },
    beginTransaction: (connection) => begin(connection as Held, ways),
    commitTransaction: (connection) => commit(connection as Held, ways),
    rollbackTransaction: (connection) => rollBack(connection as Held),
    releaseConnection(connection) {
      const { client, open, broken } = connection as Held;
      // A transaction that could not be ended goes with its connection.
      client?.release(broken || open !== null);
      places.give();
      return Promise.resolve();
    },
  };
}

type Ways = { readOnly: boolean; replace: (held: Held) => Promise<void> };

/** Runs work that may be run again on a new connection, if the one it had breaks. */
async function again<T>(held: Held, { replace }: Ways, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isUnreachable(error) || performance.now() > deadline) throw error;
      await replace(held);
    }
  }
}

/** Begins a transaction that writes. None of it has run before it is there, so it may be begun on another connection. */
const begin = (held: Held, ways: Ways): Promise<void> =>
  ways.readOnly
    ? beginReading(held, ways)
    : again(held, ways, async () => {
        held.open = "writing";
        held.wrote = false;
        try {
          await ask(held, BEGIN, [], 2 * PATIENCE_MS);
        } catch (error) {
          await rollBack(held).catch(() => undefined);
          throw error;
        }
      });

const beginReading = (held: Held, ways: Ways): Promise<void> =>
  again(held, ways, async () => {
    await ask(held, BEGIN_READING);
    held.open = "reading";
  });

/**
 * Commits, or throws: `database_unreachable` says whether anything may have been written. After any error but one of the
 * statement's own, the server is asked for the transaction's mark.
 */
async function commit(held: Held, { replace }: Ways): Promise<void> {
  const { open, wrote, client } = held;
  const mark = open === "writing" && wrote ? randomUUID() : null;
  const asked = ask(held, mark === null ? "commit" : `${marked(mark)};\ncommit`, [], 2 * PATIENCE_MS);
  try {
    await asked;
    held.open = null;
  } catch (error) {
    if (mark === null || isRolledBack(error)) throw error;
    held.open = null;
    const session = (client as { processID?: number } | null)?.processID ?? 0;
    const became = await outcomeOf(
      mark,
      session,
      async (text) => {
        if (held.broken) await replace(held);
        return (await ask(held, text, [], 2 * PATIENCE_MS)).rows;
      },
      BEGIN,
    );
    if (became === "committed") return;
    throw became === "aborted" && !isUnreachable(error) ? error : notCommitted(became, error);
  }
  // The server's word for the end of a transaction in which a statement failed.
  if ((await asked).command !== "COMMIT")
    throw new Error("A statement of the transaction had failed: it was rolled back");
}

async function rollBack(held: Held): Promise<void> {
  await ask(held, "rollback");
  held.open = null;
}

/** SQLite's words for transactions, as the library's own code says them. */
const WORDS: Readonly<Record<string, (held: Held, ways: Ways) => Promise<void>>> = {
  "begin immediate": begin,
  begin: beginReading,
  commit,
  rollback: rollBack,
  // All commits wait for the disk.
  "pragma synchronous=normal": () => Promise.resolve(),
  "pragma synchronous=full": () => Promise.resolve(),
};

async function run<R>(held: Held, ways: Ways, { sql: written, parameters }: CompiledQuery): Promise<QueryResult<R>> {
  const text = written.trim();
  const word = WORDS[text];
  if (word !== undefined) {
    await word(held, ways);
    return { rows: [] };
  }
  const asked = (): Promise<Answer> => ask(held, inWords(text, parameters), parameters);
  const isRead = text.startsWith("select");
  held.wrote ||= !isRead && !/^(?:savepoint|release savepoint|rollback to) /.test(text);
  if (held.open !== null || !/^(?:select|insert|update|delete)\b/.test(text)) return resultOf(await asked());
  if (isRead) return resultOf(await again(held, ways, asked));
  await begin(held, ways);
  held.wrote = true;
  try {
    const answer = await asked();
    await commit(held, ways);
    return resultOf(answer);
  } catch (error) {
    if (held.open !== null) await rollBack(held).catch(() => undefined);
    throw error;
  }
}

type Answer = { rows: unknown[]; rowCount: number | null; command: string };

const resultOf = <R>({ rows, rowCount }: Answer): QueryResult<R> => ({
  rows: rows as R[],
  numAffectedRows: BigInt(rowCount ?? 0),
});

/** Changes of the schema and of all rows take as long as they take. */
const OF_SCHEMA = /^(?:create|alter|drop)\b/;

/** Asks one statement, and of several in one text the last one's answer. Throws by `toldOf`. */
async function ask(
  held: Held,
  text: string,
  values: readonly unknown[] = [],
  patience: number | undefined = OF_SCHEMA.test(text) ? undefined : ANSWER_MS,
): Promise<Answer> {
  if (held.broken || held.client === null) throw unreachable("The connection to the database broke.", null);
  try {
    const query = { text, values: [...values], ...(patience === undefined ? {} : { query_timeout: patience }) };
    const answer = (await held.client.query(query)) as Answer | Answer[];
    return Array.isArray(answer) ? (answer.at(-1) as Answer) : answer;
  } catch (error) {
    const told = toldOf(error);
    if (isUnreachable(told)) held.broken = true;
    throw told;
  }
}

/** A text made for both databases: places may be written `?`, and SQLite takes an empty list. */
function inWords(text: string, values: readonly unknown[]): string {
  const listed = text.replaceAll(" in ()", " in (select null where false)");
  if (values.length === 0 || listed.includes("$1")) return listed;
  let place = 0;
  return listed.replaceAll("?", () => `$${(place += 1)}`);
}
