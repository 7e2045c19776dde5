import { sql, type Selectable } from "kysely";
import { appendEntry } from "../../receipts/log-entry.ts";
import { jobOutcome } from "../../receipts/log-rows.ts";
import type { Db } from "../../storage/database.ts";
import { immediate } from "../../storage/migrations.ts";
import type { JobsTable } from "../../storage/tables.ts";
import { isDead, newOwner } from "../lease-owner.ts";
import { hurryWorkers, LEFT_MS, seesWorkers } from "./workers.ts";

/** How long one worker may hold a job before another may take it, ms. */
export const LEASE_MS = 30_000;

/** One piece of evidence to be had for one receipt. */
export type NewJob = {
  /** Which handler gets it. */
  kind: string;
  receiptId: string;
  /** What the handler needs besides the receipt: JSON. */
  payload: Record<string, unknown>;
  /** Unix ms. */
  runAt: number;
  /** Unix ms after which the evidence is not waited for any more, where its handler has such an end. */
  deadline: number;
};

/** A job held under a lease. */
export type LeasedJob = NewJob & {
  id: number;
  /** How often it was taken, this time included: the lease's fencing token. */
  attempts: number;
};

/** How far a receipt's job of one kind is. `absent` says why a done one brought no evidence: a code. */
export type JobState = { kind: string; done: boolean; absent: string | null };

/**
 * The durable queue of the second clock, shared by every process on the database. A lease past its end is free to others,
 * and its former holder can no longer finish the job: each job is finished once, even if a process is slow or dies.
 * Nothing else of the buyer touches the table, and the audit only reads it. `createFleetQueue` is the same over pg-boss.
 */
export type JobQueue = {
  /** In the caller's transaction. The same kind for the same receipt twice is one job. */
  add(tx: Db, jobs: readonly NewJob[]): Promise<void>;
  /** Of the kinds named the job due longest whose lease is free, or null. Kinds of a newer program are left alone. */
  lease(nowMs: number, kinds: readonly string[]): Promise<LeasedJob | null>;
  /** In the caller's transaction: true where the lease still held, and then the job is done for good, and its outcome logged. */
  finish(tx: Db, job: LeasedJob, outcome: { absent: string | null; at: Date }): Promise<boolean>;
  /** Gives the job back until `runAt`; no effect where the lease was lost. `error` is a code. */
  retry(job: LeasedJob, later: { runAt: number; error: string | null }): Promise<void>;
  /** Makes the open jobs of one receipt due now: waiting ones, and ones held by a dead process of this machine. */
  hurry(receiptId: string, nowMs: number): Promise<void>;
  /** When the next job of these kinds can be had, unix ms, or null where none is left. */
  nextRun(kinds: readonly string[]): Promise<number | null>;
  /** The jobs of one receipt, in the order of their kinds. `tx` may be a transaction's handle. */
  of(tx: Db, receiptId: string): Promise<JobState[]>;
  /** Has a listener told of new jobs, if anything tells of them. */
  onNew?(listener: () => void): void;
  /** Gives up what it holds open besides the database. */
  close(): Promise<void>;
};

/** Written as the index `jobs_open` has it, so that SQLite uses it. */
export const isOpen = sql<boolean>`state <> 'done'`;

/** The job of a row. */
export const jobOf = (row: Selectable<JobsTable>): LeasedJob => ({
  id: row.id,
  kind: row.kind,
  receiptId: row.subject,
  payload: JSON.parse(row.payload) as Record<string, unknown>,
  runAt: row.run_at,
  deadline: row.deadline,
  attempts: row.attempts,
});

/** Ends a job for good if its row has this fence, and logs its outcome. */
export async function endRow(
  tx: Db,
  { id, fence, owner }: { id: number; fence: number; owner?: string },
  { absent, at }: { absent: string | null; at: Date },
): Promise<boolean> {
  const row = await tx
    .updateTable("jobs")
    .set({ state: "done", leased_until: 0, last_error: absent })
    .where("id", "=", id)
    .where("attempts", "=", fence)
    .$if(owner !== undefined, (query) => query.where("owner", "=", owner ?? ""))
    .where(isOpen)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return false;
  await appendEntry(tx, { kind: "job", subject: row.subject, value: jobOutcome(row), at });
  return true;
}

/** Keeps the queue in the buyer's own database, by leases, and leaves its jobs to a server's workers for a while. */
export function createQueue(db: Db): JobQueue {
  const owner = newOwner();
  const areWorkers = seesWorkers(db);
  /** The id of the job that `lease` would take, read without the write lock: an idle worker keeps no buyer waiting. */
  const nextDue = async (nowMs: number, kinds: readonly string[]): Promise<number | null> => {
    const due = await db
      .selectFrom("jobs")
      .select("id")
      .where(isOpen)
      .where("kind", "in", kinds)
      .where("run_at", "<=", nowMs)
      .where("leased_until", "<=", nowMs)
      .orderBy("run_at")
      .limit(1)
      .executeTakeFirst();
    return due?.id ?? null;
  };

  return {
    async add(tx, jobs) {
      if (jobs.length === 0) return;
      await tx
        .insertInto("jobs")
        .values(
          jobs.map((job) => ({
            kind: job.kind,
            subject: job.receiptId,
            payload: JSON.stringify(job.payload),
            state: "waiting" as const,
            run_at: job.runAt,
            leased_until: 0,
            owner: "",
            attempts: 0,
            deadline: job.deadline,
            last_error: null,
          })),
        )
        .onConflict((conflict) => conflict.columns(["kind", "subject"]).doNothing())
        .execute();
    },

    async lease(nowMs, kinds) {
      if (kinds.length === 0) return null;
      const free = (await areWorkers(nowMs)) ? nowMs - LEFT_MS : nowMs;
      for (;;) {
        const id = await nextDue(free, kinds);
        if (id === null) return null;
        const row = await immediate(
          db,
          (tx) =>
            tx
              .updateTable("jobs")
              .set((eb) => ({ leased_until: nowMs + LEASE_MS, owner, attempts: eb("attempts", "+", 1) }))
              .where("id", "=", id)
              .where(isOpen)
              .where("run_at", "<=", nowMs)
              .where("leased_until", "<=", nowMs)
              .returningAll()
              .executeTakeFirst(),
          // A lease that a power loss takes back is only given once more.
          "process",
        );
        // Where another worker was faster there may be another job.
        if (row === undefined) continue;
        return jobOf(row);
      }
    },

    finish: (tx, job, outcome) => endRow(tx, { id: job.id, fence: job.attempts }, outcome),

    async retry(job, { runAt, error }) {
      await immediate(
        db,
        (tx) =>
          tx
            .updateTable("jobs")
            .set({ leased_until: 0, run_at: runAt, last_error: error })
            .where("id", "=", job.id)
            .where("attempts", "=", job.attempts)
            .where(isOpen)
            .execute(),
        "process",
      );
    },

    async hurry(receiptId, nowMs) {
      const open = await db
        .selectFrom("jobs")
        .select(["id", "attempts", "run_at", "leased_until", "owner"])
        .where("subject", "=", receiptId)
        .where(isOpen)
        .execute();
      await hurryWorkers(db, open);
      const left = open.filter((job) => (job.leased_until > nowMs ? isDead(job.owner) : job.run_at > nowMs));
      if (left.length === 0) return;
      await immediate(
        db,
        async (tx) => {
          for (const { id, attempts } of left) {
            await tx
              .updateTable("jobs")
              .set({ leased_until: 0, run_at: nowMs })
              .where("id", "=", id)
              // Another worker that took it meanwhile keeps it.
              .where("attempts", "=", attempts)
              .where(isOpen)
              .execute();
          }
        },
        "process",
      );
    },

    async nextRun(kinds) {
      if (kinds.length === 0) return null;
      const next = await db
        .selectFrom("jobs")
        .select(sql<number | null>`min(case when run_at > leased_until then run_at else leased_until end)`.as("at"))
        .where(isOpen)
        .where("kind", "in", kinds)
        .executeTakeFirst();
      return next?.at ?? null;
    },

    async of(tx, receiptId) {
      const rows = await tx
        .selectFrom("jobs")
        .select(["kind", "state", "last_error"])
        .where("subject", "=", receiptId)
        .orderBy("kind")
        .execute();
      return rows.map(({ kind, state, last_error: error }) => {
        const done = state === "done";
        return { kind, done, absent: done ? error : null };
      });
    },

    close: () => Promise.resolve(),
  };
}
