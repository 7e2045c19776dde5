import { CompiledQuery, type Kysely } from "kysely";
import type { Tables } from "./tables.ts";

/** What a commit outlives: the power, or the process alone. */
export type Survives = "power loss" | "process";

type Work = {
  run: (tx: Kysely<Tables>) => Promise<unknown>;
  survives: Survives;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
};
type Line = { waiting: Work[]; served: boolean };

/** The most works in one transaction: others wait for its lock. */
const MOST = 32;

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
        const batch = line.waiting.splice(0, MOST);
        line.waiting.unshift(...(await together(connection, batch, inside)));
      });
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

/** Runs works in one transaction, and tells each its end. Gives back those that have not run. */
async function together(
  connection: Kysely<Tables>,
  batch: readonly Work[],
  inside: WeakSet<Kysely<Tables>>,
): Promise<readonly Work[]> {
  const outcomes: Outcome[] = [];
  try {
    const all = batch.every(({ survives }) => survives === "process") ? "process" : "power loss";
    await connection.executeQuery(SURVIVES[all]);
    await connection.executeQuery(BEGIN);
    inside.add(connection);
    for (const work of batch) {
      if (batch.length === 1) outcomes.push({ work, value: await work.run(connection) });
      else await apart(connection, work, outcomes);
    }
    await connection.executeQuery(COMMIT);
  } catch (error) {
    // SQLite may have rolled back by itself (a full disk); its complaint must not hide the cause.
    await connection.executeQuery(ROLLBACK).catch(() => undefined);
    const ran = outcomes.length === 0 ? batch : batch.slice(0, outcomes.length);
    const failed = new Map(outcomes.flatMap((one) => ("error" in one ? [[one.work, one.error] as const] : [])));
    for (const work of ran) work.reject(failed.has(work) ? failed.get(work) : error);
    return batch.slice(ran.length);
  } finally {
    inside.delete(connection);
  }
  for (const one of outcomes) {
    if ("error" in one) one.work.reject(one.error);
    else one.work.resolve(one.value);
  }
  return [];
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
