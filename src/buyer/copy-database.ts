import { sql } from "kysely";
import { Proof402Error } from "../errors.ts";
import { auditLog, logHead } from "../receipts/log.ts";
import { copyRows, countRows, type Counts } from "../storage/copy-rows.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { inNewPlace } from "../storage/new-place.ts";
import { isDead } from "./lease-owner.ts";

/** A copy, as it was checked: its rows by table, and the end of its log. */
export type DatabaseCopy = {
  rows: Counts;
  entries: number;
  receipts: number;
  decisions: number;
  /** Hash of the newest entry of the log. */
  head: string;
};

/** A server ends a transaction left idle for 20 s. */
const AWAKE_MS = 5000;

/**
 * Copies a buyer's open database, a file or a server's, into a new file or an empty place of a server. The original's write lock
 * keeps all others from writing meanwhile. Nothing of the copy is kept unless it audits well and has the rows and the end of
 * the log of the original. Changes nothing in the original.
 *
 * Throws Proof402Error `database_in_use` while a call is under way, `database_not_empty`, `database_not_copied`, and what
 * opening the copy throws.
 */
export const copyDatabase = (source: Db, to: string, now: Date): Promise<DatabaseCopy> =>
  immediate(source, async (original) => {
    await requireQuiet(original, now);
    const fill = async (copy: Db): Promise<DatabaseCopy> => {
      await copyRows(original, copy).catch((error: unknown) => {
        throw Proof402Error.isInstance(error) ? error : differs("a row could not be read or written", error);
      });
      const same = await compared(original, copy);
      // Only while the original's lock is held is the copy all of it.
      await sql`select 1`.execute(original);
      return same;
    };
    return keptAwake(original, () => inNewPlace(to, fill));
  });

/** Throws Proof402Error `database_in_use` while a process makes a call or works, here or on another machine. */
async function requireQuiet(db: Db, now: Date): Promise<void> {
  const leases = await db.selectFrom("call_leases").select("owner").where("until", ">", now.getTime()).execute();
  const busy = leases.filter(({ owner }) => !isDead(owner)).length;
  if (busy === 0) return;
  throw new Proof402Error(
    "database_in_use",
    `${busy === 1 ? "A call or a worker is" : `${busy} calls or workers are`} at work over it.`,
    {
      next: "Wait until every process over it has ended, then copy. Nothing was copied.",
    },
  );
}

async function compared(original: Db, copy: Db): Promise<DatabaseCopy> {
  const [before, rows, { hash }] = [await countRows(original), await countRows(copy), await logHead(original)];
  const uneven = Object.keys({ ...before, ...rows }).filter((table) => before[table] !== rows[table]);
  if (uneven.length > 0) throw differs(`it has other numbers of rows in ${uneven.join(", ")}`);
  const audit = await auditLog(copy);
  if (!audit.ok) throw differs(`its log does not hold, and neither may the original's: ${audit.message}`);
  if (audit.head !== hash) throw differs("its log ends otherwise");
  const { entries, receipts, decisions, head } = audit;
  return { rows, entries, receipts, decisions, head };
}

/** Runs long work on another handle while this one's transaction stays open. */
async function keptAwake<T>(tx: Db, work: () => Promise<T>): Promise<T> {
  let asked: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    asked = asked.then(() => sql`select 1`.execute(tx)).catch(() => undefined);
  }, AWAKE_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    await asked;
  }
}

const differs = (how: string, cause?: unknown): Proof402Error =>
  new Proof402Error("database_not_copied", `The copy was dropped: ${how}.`, {
    next: "Audit the original. If that holds, copy again.",
    cause,
  });
