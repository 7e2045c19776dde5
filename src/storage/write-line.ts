import { setTimeout as sleep } from "node:timers/promises";
import { CompiledQuery, type Kysely } from "kysely";
import { isOnPostgres } from "./dialect.ts";
import { isUnreachable } from "./postgres-errors.ts";
import type { Tables } from "./tables.ts";

/** What a commit outlives: the power, or the process alone. */
export type Survives = "power loss" | "process";

type Work = {
  run: (tx: Kysely<Tables>) => Promise<unknown>;
  survives: Survives;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  /** It shared a transaction that was rolled back for another's sake. */
  alone?: true;
};
type Line = { waiting: Work[]; served: boolean };

/** The most works in one transaction, and how long it takes on more of them, ms: other processes wait for the lock. */
const MOST = 32;
const MOST_MS = 50;
/** How long the lock is left to other processes between two shared transactions at most, ms: SQLite has no line for it. */
const GAP_MS = 5;

/** The works of this process that wait for a database's write lock. */
const lines = new WeakMap<Kysely<Tables>, Line>();

/**
 * Runs a work in a write transaction, in the order of asking. Those that wait when the lock is had share it, its commit and its
 * wait for the disk. Each is apart all the same: what one throws undoes its own writes alone, and none is told of a success
 * before the commit. With `inside` a handle is marked for as long as its transaction is open.
 */
export function inLine<T>(
  db: Kysely<Tables>,
  work: (tx: Kysely<Tables>) => Promise<T>,
  { survives, inside }: { survives: Survives; inside: WeakSet<Kysely<Tables>> },
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const line = lines.get(db) ?? { waiting: [], served: false };
    lines.set(db, line);
    line.waiting.push({ run: work, survives, resolve: resolve as Work["resolve"], reject });
    if (!line.served) void serve(db, line, inside);
  });
}

async function serve(db: Kysely<Tables>, line: Line, inside: WeakSet<Kysely<Tables>>): Promise<void> {
  line.served = true;
  while (line.waiting.length > 0) {
    let connected = false;
    try {
      await db.connection().execute(async (connection) => {
        connected = true;
        // Who came while the connection was waited for comes with it.
        const batch = line.waiting.splice(0, line.waiting[0]?.alone === true ? 1 : MOST);
        line.waiting.unshift(...(await together(connection, batch, inside)));
      });
      if (line.waiting.length > 1 && !isOnPostgres(db)) await sleep(Math.random() * GAP_MS);
    } catch (error) {
      if (!connected) for (const { reject } of line.waiting.splice(0, MOST)) reject(error);
    }
  }
  line.served = false;
}

// Compiled once: a purchase begins and ends a handful of transactions.
const SURVIVES = {
  "power loss": CompiledQuery.raw("pragma synchronous=full"),
  process: CompiledQuery.raw("pragma synchronous=normal"),
} as const;
const BEGIN = CompiledQuery.raw("begin immediate");
const COMMIT = CompiledQuery.raw("commit");
const ROLLBACK = CompiledQuery.raw("rollback");
const APART = CompiledQuery.raw("savepoint apart");
const KEEP = CompiledQuery.raw("release savepoint apart");
const UNDO = CompiledQuery.raw("rollback to savepoint apart");

/** How a work ended, before the commit. */
type Outcome = { work: Work; value: unknown } | { work: Work; error: unknown };

/**
 * Runs works in one transaction, and tells each its end. Gives back those that have not run or, where one's failure rolled all
 * back (a full disk), all of them, each to run alone.
 */
async function together(
  connection: Kysely<Tables>,
  batch: readonly Work[],
  inside: WeakSet<Kysely<Tables>>,
): Promise<readonly Work[]> {
  const outcomes: Outcome[] = [];
  const until = performance.now() + MOST_MS;
  let begun = false;
  try {
    const all = batch.every(({ survives }) => survives === "process") ? "process" : "power loss";
    await connection.executeQuery(SURVIVES[all]);
    await connection.executeQuery(BEGIN);
    begun = true;
    inside.add(connection);
    for (const work of batch) {
      if (batch.length === 1) outcomes.push({ work, value: await work.run(connection) });
      else await apart(connection, work, outcomes);
      if (performance.now() > until) break;
    }
    await connection.executeQuery(COMMIT);
  } catch (error) {
    // SQLite may have rolled back by itself (a full disk); its complaint must not hide the cause.
    await connection.executeQuery(ROLLBACK).catch(() => undefined);
    // A server that went away may have written them: then all are told so.
    if (begun && batch.length > 1 && !isUnreachable(error)) return batch.map((work) => ({ ...work, alone: true }));
    for (const { reject } of batch) reject(error);
    return [];
  } finally {
    inside.delete(connection);
  }
  for (const one of outcomes) {
    if ("error" in one) one.work.reject(one.error);
    else one.work.resolve(one.value);
  }
  return batch.slice(outcomes.length);
}

/** Runs a work among others. Throws where its writes cannot be undone alone: the transaction has ended then. */
async function apart(connection: Kysely<Tables>, work: Work, outcomes: Outcome[]): Promise<void> {
  await connection.executeQuery(APART);
  try {
    const value = await work.run(connection);
    await connection.executeQuery(KEEP);
    outcomes.push({ work, value });
  } catch (error) {
    outcomes.push({ work, error });
    await connection.executeQuery(UNDO);
    await connection.executeQuery(KEEP);
  }
}
