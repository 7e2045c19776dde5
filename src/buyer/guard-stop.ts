import { Proof402Error } from "../errors.ts";
import { appendEntry } from "../receipts/log-entry.ts";
import { stopState } from "../receipts/log-rows.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { isStopFileThere, removeStopFile, stopFileOf, writeStopFile } from "../storage/stop-file.ts";

/** An emergency stop in force: a row of the database, a file beside it, or both. */
export type GuardStop = {
  /** Null where only the file is there. */
  reason: string | null;
  since: string | null;
  /** The file, where it is there. */
  file: string | null;
};

/** Most characters of a reason or a note. */
const MAX_WORDS = 500;

/** Reads the stop in force, or null. A file that cannot be looked for counts as a stop. */
export async function readStop(db: Db, database: string): Promise<GuardStop | null> {
  const row = await db.selectFrom("guard_stops").selectAll().where("ended_at", "is", null).executeTakeFirst();
  const path = stopFileOf(database);
  const file = path !== null && isStopFileThere(path) ? path : null;
  if (row === undefined && file === null) return null;
  return { reason: row?.reason ?? null, since: row === undefined ? null : new Date(row.at).toISOString(), file };
}

/** Throws Proof402Error `guard_stopped` while a stop is in force. */
export async function requireNoStop(db: Db, database: string): Promise<void> {
  const stop = await readStop(db, database);
  if (stop === null) return;
  throw new Proof402Error("guard_stopped", `All guarded actions are stopped${stop.reason ? `: ${stop.reason}` : ""}.`, {
    next: "Do not act. The owner ends the stop with: proof402 guard start",
  });
}

/** Stops by the file alone: returns it, or null where it could not be written. For a database that cannot be opened. */
export async function stopByFile(database: string, reason: string): Promise<GuardStop | null> {
  const file = stopFileOf(database);
  if (file === null) return null;
  const isWritten = await writeStopFile(file, wordsOf(reason)).then(
    () => true,
    () => false,
  );
  return isWritten || isStopFileThere(file) ? { reason: wordsOf(reason), since: null, file } : null;
}

const wordsOf = (reason: string): string => reason.slice(0, MAX_WORDS).toWellFormed();

/**
 * Stops every guard over the database, in all processes. Once it returns, no action begins any more; those begun go on.
 * The file is written first and may fail: then the row alone stops.
 */
export async function orderStop(db: Db, database: string, order: { reason: string; at: Date }): Promise<GuardStop> {
  const reason = wordsOf(order.reason);
  const byFile = await stopByFile(database, reason);
  await immediate(db, async (tx) => {
    const standing = await tx.selectFrom("guard_stops").select("id").where("ended_at", "is", null).executeTakeFirst();
    if (standing !== undefined) return;
    const row = { reason, at: order.at.getTime(), ended_at: null };
    const made = await tx.insertInto("guard_stops").values(row).returningAll().executeTakeFirstOrThrow();
    await appendEntry(tx, { kind: "stop", subject: String(made.id), value: stopState(made), at: order.at });
  });
  const stop = await readStop(db, database);
  return stop ?? byFile ?? { reason, since: null, file: null };
}

/** Ends the stop in force. Throws Proof402Error `guard_not_stopped`. */
export async function endStop(db: Db, database: string, at: Date): Promise<GuardStop> {
  const stop = await readStop(db, database);
  if (stop === null)
    throw new Proof402Error("guard_not_stopped", "No emergency stop is in force.", { next: "Guarded actions run." });
  if (stop.file !== null) await removeStopFile(stop.file);
  await immediate(db, async (tx) => {
    const rows = await tx
      .updateTable("guard_stops")
      .set({ ended_at: at.getTime() })
      .where("ended_at", "is", null)
      .returningAll()
      .execute();
    for (const row of rows) await appendEntry(tx, { kind: "stop", subject: String(row.id), value: stopState(row), at });
  });
  return stop;
}
