import { sql } from "kysely";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { openBell } from "../storage/notices.ts";

/** What changed in the database, in the words of pages. */
export type News = {
  /** Names of pages that are stale. */
  pages: string[];
  /** Receipts that are new or were judged, with their newest verdict. */
  receipts: { id: string; verdict: string }[];
  /** Why nothing can be told any more, or null. */
  trouble: string | null;
};

/** How often the database is looked at while a page is open, ms; the second while a server tells of changes. */
const LOOK_MS = 500;
const RARE_MS = 5000;
/** Least time between two looks, ms. */
const LEAST_MS = 100;
/** Most log entries told one by one. After more, pages are read again as a whole. */
const MOST = 500;

/** The pages that show an entry of the log, by its kind. All others are about a receipt. */
const PAGES: Readonly<Record<string, readonly string[]>> = {
  claim: ["actions"],
  stop: ["actions"],
  hold: ["sellers"],
  purchase: ["spending"],
  share: ["spending"],
  decision: ["decisions"],
  job: [],
};
const OF_RECEIPTS = ["receipts", "spending", "sellers"];

/** Tells open pages what any process changes. */
export type Watch = {
  /** Returns the unsubscribe function. */
  on(listener: (news: News) => void): () => void;
  stop(): void;
};

/** Looks at the log's end, which each durable change of any process moves. Nothing is looked at while no page is open. */
export function createWatch(db: Db, requireFile: () => Promise<void>): Watch {
  const listeners = new Set<(news: News) => void>();
  let seen: Seen | null = null;
  let running: AbortController | null = null;
  let stopped = false;
  const look = async (): Promise<void> => {
    try {
      await requireFile();
      const now = await readState(db);
      const news = seen === null ? null : await newsSince(db, seen, now);
      seen = now;
      if (news !== null) for (const listener of listeners) listener(news);
    } catch (error) {
      // Locked for a while: the next look reads what came meanwhile.
      if (!Proof402Error.isInstance(error) || error.code === "database_busy") return;
      for (const listener of listeners)
        listener({ pages: [], receipts: [], trouble: `${error.message} ${error.next}` });
    }
  };
  const run = async (end: AbortSignal): Promise<void> => {
    const bell = openBell(db, () => true);
    while (!end.aborted) {
      await look();
      await bell.wait({ ms: LOOK_MS, rareMs: RARE_MS, leastMs: LEAST_MS, signal: end });
    }
    bell.close();
  };
  return {
    on(listener) {
      listeners.add(listener);
      if (running === null && !stopped) void run((running = new AbortController()).signal);
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        running?.abort();
        running = null;
        seen = null;
      };
    },
    stop() {
      stopped = true;
      running?.abort();
      listeners.clear();
    },
  };
}

/** A state of the database: the log's end, and the waiting questions, of which no log entry tells. */
type Seen = { seq: number; approvals: string };

async function readState(db: Db): Promise<Seen> {
  const end = await db.selectFrom("log").select("seq").orderBy("seq", "desc").limit(1).executeTakeFirst();
  const { rows } = await sql<{ all: string | null }>`
    select group_concat(id || state, ' ') as "all" from (select id, state from approvals order by id) as asked`.execute(
    db,
  );
  return { seq: end?.seq ?? 0, approvals: rows[0]?.all ?? "" };
}

async function newsSince(db: Db, before: Seen, now: Seen): Promise<News | null> {
  const pages = new Set<string>();
  if (before.approvals !== now.approvals) pages.add("approvals");
  const entries =
    before.seq === now.seq
      ? []
      : await db
          .selectFrom("log")
          .select(["kind", "receipt_id"])
          .where("seq", ">", before.seq)
          .orderBy("seq", "desc")
          .limit(MOST)
          .execute();
  for (const { kind } of entries) for (const page of PAGES[kind] ?? OF_RECEIPTS) pages.add(page);
  const ids = [...new Set(entries.flatMap(({ kind, receipt_id: id }) => (PAGES[kind] === undefined ? [id] : [])))];
  const receipts =
    ids.length === 0 ? [] : await db.selectFrom("receipts").select(["id", "verdict"]).where("id", "in", ids).execute();
  return pages.size === 0 ? null : { pages: [...pages], receipts, trouble: null };
}
