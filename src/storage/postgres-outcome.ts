import { setTimeout as sleep } from "node:timers/promises";
import type { Proof402Error } from "../errors.ts";
import { PATIENCE_MS, unreachable } from "./postgres-errors.ts";

type Ask = (text: string) => Promise<unknown[]>;

/** What a transaction came to. */
export type Outcome = "committed" | "aborted" | "unknown";

/** How long a mark is kept, ms: longer than anybody asks for it. */
const KEPT_MS = 3_600_000;
/** One commit in so many takes away old marks. */
const SWEEP = 500;

/** The table of marks, one for each commit that changed something. */
export const COMMIT_MARKS = `create table if not exists commit_marks (mark text primary key, at bigint not null)`;

/** The server's clock, ms: the fleet's machines need not agree on the time. */
const NOW = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

/**
 * Statements that end a transaction with a mark of its own. The server's own number for a transaction is no such mark: after a
 * crash it gives a number again that no record on its disk had.
 */
export const marked = (mark: string): string =>
  `${Math.random() * SWEEP < 1 ? `delete from commit_marks where at < ${NOW} - ${KEPT_MS};\n` : ""}insert into commit_marks (mark, at) values ('${mark}', ${NOW})`;

/**
 * Finds the end of a transaction after a commit without an answer. It held the write lock: once that is had again, it has ended,
 * and its mark is there or not. Its session may wait on a dead connection, so the server is told to end that; a commit under
 * way ends whole all the same. `begin` takes the lock.
 */
export async function outcomeOf(
  mark: string,
  session: number,
  ask: Ask,
  begin: string,
  patience = PATIENCE_MS,
): Promise<Outcome> {
  const deadline = performance.now() + patience;
  for (let wait = 5; performance.now() < deadline; wait = Math.min(wait * 2, 250)) {
    try {
      // A role may not be allowed to: then the server's own limits end the session.
      await ask(`${END}${session}`).catch(() => undefined);
      await ask(begin);
      const rows = await ask(`select 1 from commit_marks where mark = '${mark}'`);
      await ask("rollback");
      return rows.length > 0 ? "committed" : "aborted";
    } catch {
      // It may be starting again, or others are before us.
      await ask("rollback").catch(() => undefined);
    }
    await sleep(wait);
  }
  return "unknown";
}

const END = `select pg_terminate_backend(pid) from pg_locks
  where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database()) and classid = 1882206258 and granted and pid <> pg_backend_pid() and pid = `;

export const notCommitted = (became: Exclude<Outcome, "committed">, cause: unknown): Proof402Error =>
  unreachable(
    became === "aborted"
      ? "The database went away before it wrote the last step, and nothing of that was written."
      : "The database went away while it wrote the last step: it may have written it or not.",
    cause,
  );
