import { sql } from "kysely";
import { readReceipt } from "../../receipts/store.ts";
import type { Receipt } from "../../receipts/schema.ts";
import type { Db } from "../../storage/database.ts";
import { liveMessages, messageKey, openMessages, type HeldMessage } from "../../storage/messages.ts";
import { noticesOf } from "../../storage/notices.ts";
import { immediate } from "../../storage/migrations.ts";
import { createQueue, endRow, isOpen, jobOf, LEASE_MS, type JobQueue, type LeasedJob } from "./queue.ts";
import { announceWorker, fleetOwner } from "./workers.ts";

/** How long the workers have a job among them without a word, ms: then any buyer's own clock may take it. */
const HOLD_MS = 120_000;
/** Jobs taken over in one transaction. */
const MOST = 100;
/** Rows kept in one transaction: all buyers wait for its end. */
const MOST_KEPT = 1000;
/** How long a job that another policy judges is not looked at again, ms. */
const OTHERS_MS = 60_000;
/** How often new jobs and due messages are looked for, ms. */
const LOOK_MS = 500;

/**
 * Shares a server's background work among workers through pg-boss (docs/scale.md). The rows of `jobs` stay the truth: kind,
 * deadline, outcome. The workers take over rows in batches, as one holder with a fence of its own. Among them, pg-boss hands out
 * each row's message: to one worker at a time, to the next after a worker's death, and at the time of the next look. None of
 * this takes the buyers' write lock.
 */
export async function createFleetQueue(
  db: Db,
  address: string,
  { kinds, judgesAlike }: { kinds: readonly string[]; judgesAlike: (receipt: Receipt) => boolean },
): Promise<JobQueue> {
  const rows = createQueue(db);
  const messages = await openMessages(db, address, { kinds, heldSeconds: LEASE_MS / 1000 });
  const owner = fleetOwner(messages.schema);
  const worker = await announceWorker(db).catch(async (error: unknown) => {
    await messages.close();
    throw error;
  });
  /** Jobs of receipts that another policy judges, and when they were seen. */
  const others = new Map<number, number>();
  const held = new WeakMap<LeasedJob, HeldMessage>();
  let lookedAt = -Infinity;
  let turn = 0;
  let off: (() => void) | undefined;

  /** Finds rows without a holder whose receipt this worker's policy judges as its buyer's does. The rest stay the buyers'. */
  async function findFree(nowMs: number): Promise<number[]> {
    const recent = performance.now() - OTHERS_MS;
    for (const [id, at] of others) if (at < recent) others.delete(id);
    const free = await db
      .selectFrom("jobs")
      .select(["id", "subject"])
      .where(isOpen)
      .where("kind", "in", kinds)
      .where("leased_until", "<=", nowMs)
      .orderBy("run_at")
      .limit(MOST + others.size)
      .execute();
    const found: number[] = [];
    for (const { id, subject } of free) {
      if (others.has(id)) continue;
      const receipt = await readReceipt(db, subject);
      if (receipt === null || judgesAlike(receipt)) found.push(id);
      else others.set(id, performance.now());
    }
    return found;
  }

  /** Takes over the rows without a holder, each with a message, in one transaction. */
  async function takeOver(nowMs: number): Promise<void> {
    const free = await findFree(nowMs);
    if (free.length === 0) return;
    await immediate(db, async (tx) => {
      const taken = await tx
        .updateTable("jobs")
        .set((eb) => ({ leased_until: nowMs + HOLD_MS, owner, attempts: eb("attempts", "+", 1) }))
        .where("id", "in", free)
        .where(isOpen)
        .where("leased_until", "<=", nowMs)
        .returning(["id", "kind", "run_at", "attempts"])
        .execute();
      await messages.send(
        tx,
        taken.map(({ id, kind, run_at: runAt, attempts }) => ({
          key: messageKey(id, attempts),
          kind,
          runAt,
          data: { job: id, fence: attempts, tries: attempts },
        })),
      );
    });
  }

  /** Keeps the rows with a live message. A row without one runs out, and is taken over again. */
  async function keep(nowMs: number): Promise<void> {
    const ours = sql<boolean>`owner = ${owner} and state <> 'done' and leased_until between ${nowMs} and ${nowMs + HOLD_MS / 2}
      and id::text || '.' || attempts in (${liveMessages(messages.schema)})`;
    const aged = await db
      .selectFrom("jobs")
      .select("id")
      .where(ours)
      .orderBy("leased_until")
      .limit(MOST_KEPT)
      .execute();
    if (aged.length === 0) return;
    await db
      .updateTable("jobs")
      .set({ leased_until: nowMs + HOLD_MS })
      .where(
        "id",
        "in",
        aged.map(({ id }) => id),
      )
      .where(ours)
      .execute();
  }

  /** Takes the next message of a kind, and drops messages of rows that the workers have lost. */
  async function take(kind: string): Promise<LeasedJob | null> {
    for (;;) {
      const message = await messages.take(kind);
      if (message === null) return null;
      const { job: id, fence, tries } = message.data;
      const row = await db
        .selectFrom("jobs")
        .selectAll()
        .where("id", "=", id)
        .where("owner", "=", owner)
        .where("attempts", "=", fence)
        .where(isOpen)
        .executeTakeFirst();
      if (row === undefined) {
        await messages.drop(message);
        continue;
      }
      const job = { ...jobOf(row), attempts: tries + message.taken };
      held.set(job, message);
      return job;
    }
  }

  return {
    ...rows,
    async lease(nowMs, free) {
      if (performance.now() - lookedAt >= LOOK_MS) {
        lookedAt = performance.now();
        await takeOver(nowMs);
        await keep(nowMs);
      }
      turn += 1;
      // Each kind is first in its turn, so that none waits for another's end.
      let job: LeasedJob | null = null;
      for (let at = 0; at < free.length && job === null; at += 1) {
        const kind = free[(at + turn) % free.length];
        job = kind === undefined ? null : await take(kind);
      }
      // Only a worker that got so far counts as there.
      await worker.alive();
      return job;
    },

    async finish(tx, job, outcome) {
      const message = held.get(job);
      if (message === undefined || !(await messages.end(tx, message))) return false;
      return endRow(tx, { id: job.id, fence: message.data.fence, owner }, outcome);
    },

    async retry(job, { runAt }) {
      const message = held.get(job);
      if (message === undefined) return;
      const { fence } = message.data;
      await messages.putOff(message, {
        key: messageKey(job.id, fence),
        kind: job.kind,
        runAt,
        data: { job: job.id, fence, tries: job.attempts + 1 },
      });
    },

    onNew(listener) {
      off = noticesOf(db)?.on((notice) => {
        if (notice !== "jobs") return;
        lookedAt = -Infinity;
        listener();
      });
    },

    nextRun: () => Promise.resolve(Date.now() + LOOK_MS),

    async close() {
      off?.();
      await worker.leave();
      await messages.close();
    },
  };
}
