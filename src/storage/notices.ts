import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { Kysely } from "kysely";
import { isOnPostgres } from "./dialect.ts";
import { openClient } from "./postgres-pool.ts";
import { HAS_ROOM } from "./postgres-schema.ts";
import type { Tables } from "./tables.ts";

/** Word of a server on changes of the buyer's tables, by any process: `receipts ID`, `call_leases HASH`, or a table's name. */
export type Notices = {
  /** Whether the server's word comes through. Only looks by the clock see changes otherwise. */
  isOn(): boolean;
  /** Tells a listener each notice, and null once some may have been missed. Returns the unsubscribe function. */
  on(listener: (notice: string | null) => void): () => void;
  close(): void;
};

/** How often it is tried whether the server's word comes through, and how long it is waited for, ms. */
const TRY_MS = 30_000;
const HEARD_MS = 5000;
/** Waits before the next try to listen, ms. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/**
 * Listens on a connection of its own (PostgreSQL, LISTEN), from the first listener on. A pooler may take `listen` and pass no
 * notice on, a line may be dead without a word, and a server's queue may be full: the word counts as coming through while this
 * connection hears what is sent by another one now and then.
 *
 * `send` asks one statement on another connection. `tryMs` and `heardMs` are for tests.
 */
export function createNotices(
  address: string,
  send: (text: string, values: string[]) => Promise<unknown>,
  { tryMs = TRY_MS, heardMs = HEARD_MS } = {},
): Notices {
  const listeners = new Set<(notice: string | null) => void>();
  let client: Client | null = null;
  let heard = false;
  let closed = false;
  let retry: NodeJS.Timeout | undefined;
  let next: NodeJS.Timeout | undefined;
  let wait = RETRY_MS;

  const tell = (notice: string | null): void => {
    for (const listener of listeners) listener(notice);
  };
  const turn = (to: boolean): void => {
    if (heard === to) return;
    heard = to;
    tell(null);
  };
  const lost = (one: Client): void => {
    if (client !== one) return;
    client = null;
    heard = false;
    clearTimeout(next);
    tell(null);
    void one.end().catch(() => undefined);
    if (closed || listeners.size === 0) return;
    retry = setTimeout(start, wait);
    retry.unref();
    wait = Math.min(wait * 2, MAX_RETRY_MS);
  };
  /** Sends a word, and looks after a while whether it was heard. */
  const attempt = (one: Client, channel: string): void => {
    if (client !== one) return;
    const own = `heard ${randomUUID()}`;
    let came = false;
    const hear = ({ payload }: { payload?: string | undefined }): void => {
      if (payload !== own) return;
      came = true;
      wait = RETRY_MS;
      turn(true);
    };
    one.on("notification", hear);
    send(`select pg_notify($1, $2) where ${HAS_ROOM}`, [channel, own]).catch(() => undefined);
    next = setTimeout(() => {
      one.off("notification", hear);
      if (client !== one) return;
      if (!came) turn(false);
      next = setTimeout(() => attempt(one, channel), tryMs);
      next.unref();
    }, heardMs);
    next.unref();
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
    one.on("notification", ({ payload = "" }) => {
      if (!payload.startsWith("heard ")) tell(payload);
    });
    await one.query(`listen ${channel}`);
    attempt(one, channel);
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
      clearTimeout(next);
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
