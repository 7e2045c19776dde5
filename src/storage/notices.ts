import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { Kysely } from "kysely";
import { isOnPostgres } from "./dialect.ts";
import { openClient } from "./postgres-pool.ts";
import type { Tables } from "./tables.ts";

/** Word of a server on changes of the buyer's tables, by any process: `receipts ID`, `call_leases HASH`, or a table's name. */
export type Notices = {
  /** Whether the server's word comes through. Only looks by the clock see changes otherwise. */
  isOn(): boolean;
  /** Tells a listener each notice, and null once some may have been missed. Returns the unsubscribe function. */
  on(listener: (notice: string | null) => void): () => void;
  close(): void;
};

/** Waits before the next try to listen, ms. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/**
 * Listens on a connection of its own (PostgreSQL, LISTEN), from the first listener on. A pooler may take `listen` and pass no
 * notice on, so the word counts as coming through once this connection has heard its own.
 */
export function createNotices(address: string): Notices {
  const listeners = new Set<(notice: string | null) => void>();
  let client: Client | null = null;
  let heard = false;
  let closed = false;
  let retry: NodeJS.Timeout | undefined;
  let wait = RETRY_MS;

  const tell = (notice: string | null): void => {
    for (const listener of listeners) listener(notice);
  };
  const lost = (one: Client): void => {
    if (client !== one) return;
    client = null;
    heard = false;
    tell(null);
    void one.end().catch(() => undefined);
    if (closed || listeners.size === 0) return;
    retry = setTimeout(start, wait);
    retry.unref();
    wait = Math.min(wait * 2, MAX_RETRY_MS);
  };
  const begin = async (one: Client): Promise<void> => {
    await one.connect();
    // It keeps no process alive. The types leave this out.
    (one as Client & { unref(): void }).unref();
    const { rows } = await one.query<{ channel: string }>(
      "select 'proof402_' || relnamespace as channel from pg_class where oid = to_regclass('schema_version')",
    );
    const channel = rows[0]?.channel ?? "";
    if (!/^proof402_\d+$/.test(channel)) throw new Error("the database has no schema");
    const own = `heard ${randomUUID()}`;
    one.on("notification", ({ payload = "" }) => {
      if (payload === own) {
        heard = true;
        wait = RETRY_MS;
        tell(null);
      } else if (!payload.startsWith("heard ")) tell(payload);
    });
    await one.query(`listen ${channel}`);
    await one.query("select pg_notify($1, $2)", [channel, own]);
  };
  function start(): void {
    if (client !== null || closed || listeners.size === 0) return;
    clearTimeout(retry);
    void openClient(address).then(
      (one) => {
        if (client !== null || closed) return;
        client = one;
        one.on("error", () => lost(one)).on("end", () => lost(one));
        begin(one).catch(() => lost(one));
      },
      () => undefined,
    );
  }
  return {
    isOn: () => heard,
    on(listener) {
      listeners.add(listener);
      start();
      return () => listeners.delete(listener);
    },
    close() {
      closed = true;
      clearTimeout(retry);
      const one = client;
      client = null;
      // Not waited for: its socket holds no process, which would end in the middle.
      void one?.end().catch(() => undefined);
    },
  };
}

/** The notices of a handle's server, or null of a file. */
export const noticesOf = (db: Kysely<Tables>): Notices | null =>
  isOnPostgres(db) ? ((db.getExecutor().adapter as { notices?: Notices }).notices ?? null) : null;

/** Wakes a loop that looks at the database over and over. */
export type Bell = {
  ring(): void;
  /**
   * Waits for a ring since the last wait, for `signal`, or for `ms`; while the server's word comes through, for `rareMs`. No
   * sooner than `leastMs` after the wait before, but for `signal`.
   */
  wait(times: { ms: number; rareMs: number; leastMs?: number; signal?: AbortSignal | undefined }): Promise<void>;
  close(): void;
};

/** Opens a bell that a server's notices ring, if they are about what the loop looks at. Over a file it goes by the clock. */
export function openBell(db: Kysely<Tables>, isAbout: (notice: string) => boolean): Bell {
  const notices = noticesOf(db);
  let rung = false;
  let wake = (): void => undefined;
  let woken = -Infinity;
  const ring = (): void => {
    rung = true;
    wake();
  };
  const off = notices?.on((notice) => {
    if (notice === null || isAbout(notice)) ring();
  });
  return {
    ring,
    async wait({ ms, rareMs, leastMs = 0, signal }) {
      const rest = woken + leastMs - performance.now();
      if (rest > 0) await sleep(rest, undefined, { signal }).catch(() => undefined);
      if (!rung && signal?.aborted !== true)
        await new Promise<void>((resolve) => {
          const done = (): void => {
            clearTimeout(timer);
            signal?.removeEventListener("abort", done);
            wake = (): void => undefined;
            resolve();
          };
          const timer = setTimeout(done, notices?.isOn() === true ? rareMs : ms);
          signal?.addEventListener("abort", done, { once: true });
          wake = done;
        });
      rung = false;
      woken = performance.now();
    },
    close: () => off?.(),
  };
}
