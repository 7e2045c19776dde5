import { setImmediate as nextTurn } from "node:timers/promises";
import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import type { ReceiptsTable } from "../storage/tables.ts";
import { GENESIS } from "../evidence/log-chain.ts";
import { findContents, type FoundContents } from "../storage/contents.ts";
import { endOfLog } from "../storage/log-chain.ts";
import { builtFile } from "../subprocess/run.ts";
import { openThreads, type Threads } from "../subprocess/threads.ts";
import { alteredParts, isPruned, type Compared, type ComparedPage, type EntryRow } from "./altered-part.ts";
import { broken, type AuditResult, type Broken } from "./audit-codes.ts";
import { compareDecisions } from "./log-decisions.ts";
import { brokenEntry, readEntries } from "./log-entries.ts";
import { comparePurchases } from "./log-links.ts";
import { firstGone, misplacedEntry, recordedOf } from "./log-of-subjects.ts";
import { compareOthers, differingAbout, readAbout } from "./log-beside.ts";
import { contradictedActions } from "./log-rows.ts";
import { contentsOfRow } from "./stored-rows.ts";
import { isInTransaction } from "../storage/migrations.ts";

/** Rows read at a time, so that memory stays bounded and other work of the process gets its turn. */
const ENTRIES_PER_PAGE = 2000;
const RECEIPTS_PER_PAGE = 50;
/** The receipts that are worth the start of threads. */
const THREADED_FROM = 2000;

/**
 * How far the walk has come. `holds` has the newest digest of each seller's hold, `stops` that of each emergency stop.
 * `logged` counts the entries of each kind and `receipts` the compared ones. `since` has the receipts logged after
 * the comparing began and not compared yet, with their entries. Nothing grows with the log.
 */
type Walk = {
  entries: number;
  head: string;
  holds: Map<string, string>;
  stops: Map<string, string>;
  logged: Record<"receipt" | "purchase" | "share" | "decision", number>;
  receipts: number;
  pruned: number;
  since: Map<string, number> | null;
};

/**
 * Walks the hash chain and compares every stored receipt with what the log recorded of it: an edited, deleted,
 * inserted or reordered row is found and named. May run while others write. Many receipts are compared on all cores,
 * `threadedFrom` says how many; memory does not grow with them.
 *
 * The chain has no key. A writer of the file can forge all of it, or undo its newest part without a trace. Keep the
 * `head` of an earlier audit elsewhere to notice that.
 */
export async function auditLog(db: Db, { threadedFrom = THREADED_FROM } = {}): Promise<AuditResult> {
  const walk: Walk = {
    entries: 0,
    head: GENESIS,
    holds: new Map(),
    stops: new Map(),
    logged: { receipt: 0, purchase: 0, share: 0, decision: 0 },
    receipts: 0,
    pruned: 0,
    since: null,
  };
  for (let more = true; more; await nextTurn()) {
    const page = await readEntries(db, walk.entries, ENTRIES_PER_PAGE);
    const problem = await follow(db, walk, page);
    if (problem !== null) return problem;
    more = page.length === ENTRIES_PER_PAGE;
  }
  const threads =
    walk.logged.receipt < threadedFrom
      ? { width: 0, run: (page: ComparedPage) => Promise.resolve(alteredParts(page)), close: () => Promise.resolve() }
      : openThreads<ComparedPage, (string | null)[]>(builtFile(import.meta.url, "audit-thread"), alteredParts);
  try {
    const problem = await compareEach(db, walk, threads);
    if (problem !== null) return problem;
  } finally {
    await threads.close();
  }
  const { entries, receipts, pruned, logged, head } = walk;
  const contradicted = await contradictedActions(db);
  return { ok: true, entries, receipts, pruned, decisions: logged.decision, contradicted, head };
}

/** The newest entry's number and hash; 0 and zeros of an empty log. Unchecked. */
export async function logHead(db: Db): Promise<{ seq: number; hash: string }> {
  const { seq, hash } = (await endOfLog(db)) ?? { seq: 0, hash: GENESIS };
  return { seq, hash };
}

const readReceipts = (db: Db, after: string, limit: number): Promise<ReceiptsTable[]> =>
  db.selectFrom("receipts").selectAll().where("id", ">", after).orderBy("id").limit(limit).execute();

/** A page of receipts under comparison: its parts by rows, and where the log or another row differs. */
type Page = {
  pairs: Compared[];
  /** Missing or altered contents, by row. */
  lost: (Broken | null)[];
  others: (Broken | null)[];
  unlogged: Broken | null;
  parts: Promise<(string | null)[]>;
};

/**
 * Compares each receipt with the log of the same moment. One snapshot holds both, so an entry appended meanwhile raises no
 * false alarm. Some pages are under way at once, and their problems are told in their order.
 */
async function compareEach(
  db: Db,
  walk: Walk,
  threads: Threads<ComparedPage, (string | null)[]>,
): Promise<Broken | null> {
  const pages: Page[] = [];
  const settleOldest = async (left: number): Promise<Broken | null> => {
    while (pages.length > left) {
      const page = pages.shift();
      const problem = page === undefined ? null : await problemOf(walk, page);
      if (problem !== null) return problem;
    }
    return null;
  };
  for (let after: string | null = ""; after !== null; await nextTurn()) {
    const from: string = after;
    const step = await snapshot(db, async (tx) => {
      const problem = await followNew(tx, walk);
      walk.since ??= new Map();
      if (problem !== null) return { problem, rows: [], page: null };
      const rows = await readReceipts(tx, from, RECEIPTS_PER_PAGE);
      return { problem, rows, page: rows.length === 0 ? null : await readPage(tx, walk, rows, threads) };
    });
    if (step.page !== null) pages.push(step.page);
    const earlier = await settleOldest(step.problem === null ? threads.width : 0);
    if (earlier !== null || step.problem !== null) return earlier ?? step.problem;
    after = step.rows.at(-1)?.id ?? null;
  }
  return (
    (await settleOldest(0)) ?? snapshot(db, async (tx) => (await followNew(tx, walk)) ?? compareRest(tx, walk, threads))
  );
}

async function readPage(
  tx: Db,
  walk: Walk,
  rows: readonly ReceiptsTable[],
  threads: Pick<Threads<ComparedPage, (string | null)[]>, "run">,
): Promise<Page> {
  const ids = rows.map(({ id }) => id);
  const recorded = await recordedOf(tx, ids, walk.entries);
  const about = await readAbout(tx, ids);
  const { texts: contents, ...wrong } = await findContents(tx, rows.flatMap(contentsOfRow));
  const page: Omit<Page, "parts"> = { pairs: [], lost: [], others: [], unlogged: null };
  for (const row of rows) {
    const known = recorded.get(row.id);
    if (known === undefined) {
      page.unlogged = broken(null, row.id, "receipt_not_logged", "A stored receipt has no log entry.");
      break;
    }
    page.pairs.push({ row, recorded: known });
    page.lost.push(lostOf(row, known, wrong));
    page.others.push(differingAbout(row.id, known, about));
  }
  const parts = threads.run({ pairs: page.pairs, contents });
  // Told when the page's turn comes. An audit that an earlier page ends does not ask for it.
  parts.catch(() => undefined);
  return { ...page, parts };
}

/** Tells missing or altered contents of a row; null for none. */
function lostOf(
  row: ReceiptsTable,
  { first }: Compared["recorded"],
  { missing, altered }: Pick<FoundContents, "missing" | "altered">,
): Broken | null {
  if (missing.length === 0 && altered.length === 0) return null;
  const named = contentsOfRow(row);
  if (named.some((hash) => missing.includes(hash)))
    return broken(first.seq, row.id, "content_missing", "Bytes that a stored receipt names are gone.");
  return named.some((hash) => altered.includes(hash))
    ? broken(first.seq, row.id, "content_altered", "Bytes that a stored receipt names are others.")
    : null;
}

/** The first problem of a page's receipts, in their order; null if there is none, and they are counted. */
async function problemOf(walk: Walk, { pairs, lost, others, unlogged, parts }: Page): Promise<Broken | null> {
  const altered = await parts;
  for (const [at, { row, recorded }] of pairs.entries()) {
    const gone = lost[at] ?? null;
    if (gone !== null) return gone;
    const part = altered[at];
    // A part that was not told is no part that was found whole.
    if (part === undefined) throw new Error("a receipt was not compared");
    if (part !== null) {
      return broken(
        recorded.first.seq,
        row.id,
        "receipt_altered",
        `A stored receipt's ${part} is not what was logged.`,
      );
    }
    const other = others[at] ?? null;
    if (other !== null) return other;
    walk.since?.delete(row.id);
    walk.receipts += 1;
    if (isPruned(recorded)) walk.pruned += 1;
  }
  return unlogged;
}

/** The end of the walk: reports rows added behind it and rows gone. */
async function compareRest(
  tx: Db,
  walk: Walk,
  threads: Threads<ComparedPage, (string | null)[]>,
): Promise<Broken | null> {
  const late = [...(walk.since ?? [])];
  const missing = (id: string, seq: number): Broken =>
    broken(seq, id, "receipt_missing", "The log records a receipt that is not stored any more.");
  const gone =
    walk.receipts + late.length === walk.logged.receipt
      ? null
      : await firstGone(tx, ["receipt", "import"], "receipts", walk.entries);
  for (const [id, seq] of late) {
    if (gone !== null && gone.seq <= seq) break;
    const row = await tx.selectFrom("receipts").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) return missing(id, seq);
    const problem = await problemOf(walk, await readPage(tx, walk, [row], threads));
    if (problem !== null) return problem;
  }
  if (gone !== null) return missing(gone.id, gone.seq);
  const rest =
    (await compareOthers(tx, walk)) ??
    (await comparePurchases(tx, walk)) ??
    (await compareDecisions(tx, { to: walk.entries, count: walk.logged.decision }));
  if (rest !== null) return rest;
  // SQLite remembers the highest number that an AUTOINCREMENT table ever held.
  const { rows } = await sql<{ seq: number }>`select seq from sqlite_sequence where name = 'log'`.execute(tx);
  const highest = rows[0]?.seq ?? 0;
  return highest === walk.entries
    ? null
    : broken(walk.entries + 1, null, "log_truncated", `The log once had ${highest} entries.`);
}

/** Runs `work` on one state of the database, without keeping others from writing. In a caller's transaction it is that one's state. */
export function snapshot<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  if (isInTransaction(db)) return work(db);
  return db.connection().execute(async (connection) => {
    await sql`begin`.execute(connection);
    try {
      return await work(connection);
    } finally {
      await sql`rollback`.execute(connection);
    }
  });
}

/** Takes entries into the walk, or says where the chain breaks. */
async function follow(db: Db, walk: Walk, rows: readonly EntryRow[]): Promise<Broken | null> {
  const last = rows.at(-1);
  const misplaced = last === undefined ? null : await misplacedEntry(db, walk.entries, last.seq);
  for (const row of rows) {
    const problem = brokenEntry(row, walk.entries, walk.head);
    if (problem !== null) return problem;
    const { seq, receipt_id: receiptId, hash } = row;
    if (seq === misplaced) {
      return broken(seq, receiptId, "log_entry_misplaced", `Entry ${seq} records what cannot come at its place.`);
    }
    record(walk, row);
    walk.entries = seq;
    walk.head = hash;
  }
  return null;
}

const followNew = async (tx: Db, walk: Walk): Promise<Broken | null> =>
  follow(tx, walk, await readEntries(tx, walk.entries, Number.MAX_SAFE_INTEGER));

function record(walk: Walk, { seq, kind, receipt_id: id, digest }: EntryRow): void {
  switch (kind) {
    case "receipt":
    case "import":
      walk.logged.receipt += 1;
      walk.since?.set(id, seq);
      return;
    case "hold":
      walk.holds.set(id, digest);
      return;
    case "stop":
      walk.stops.set(id, digest);
      return;
    case "purchase":
    case "share":
    case "decision":
      walk.logged[kind] += 1;
  }
}
