import { Proof402Error } from "../../errors.ts";
import { reconcile } from "../../payment/reconcile.ts";
import { readReceipt } from "../../receipts/store.ts";
import { pollMilliseconds, type BuyerContext } from "../context.ts";
import type { JobHandler, Look } from "./jobs/types.ts";
import { holdUnserved } from "../holds.ts";
import { land } from "./land.ts";
import { LEASE_MS, type LeasedJob } from "./queue.ts";

/** Jobs that one process works on at a time. */
const MAX_AT_ONCE = 4;
/** Longest look: shorter than the lease, so that a slow one is not looked for twice at a time. */
const MAX_LOOK_MS = LEASE_MS - 5000;
const MAX_DELAY_MS = 60_000;
/** How long looks under way may go on once the clock is stopped. */
const GRACE_MS = 2000;
const RECONCILE_EVERY_MS = 60_000;

export type SecondClock = {
  /** Looks at the queue now. */
  wake(): void;
  stop(): Promise<void>;
};

/**
 * The background worker (docs/architecture.md §4.9): durable jobs under leases, so several processes may share a file.
 * Timers do not keep the process alive; the next process on the file does the rest.
 */
export function startSecondClock(ctx: BuyerContext): SecondClock {
  const running = new Set<{ kind: string; ended: Promise<void> }>();
  let timer: NodeJS.Timeout | undefined;
  let turning: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let reconciledAt = -Infinity;
  const ending = new AbortController();
  const pollMs = Math.min(pollMilliseconds(ctx.config), 1000);

  /** The kinds there is room for. */
  const free = (): string[] =>
    running.size >= MAX_AT_ONCE
      ? []
      : ctx.handlers
          .filter(
            ({ kind, atOnce }) => [...running].filter((job) => job.kind === kind).length < (atOnce ?? MAX_AT_ONCE),
          )
          .map(({ kind }) => kind);

  const turn = async (): Promise<void> => {
    const now = ctx.clock().getTime();
    if (now - reconciledAt >= RECONCILE_EVERY_MS) {
      reconciledAt = now;
      // The next walk takes the second look: no evidence waits for it here.
      await reconcile({
        db: ctx.db,
        chains: ctx.chains,
        now: ctx.clock(),
        secondLook: false,
        signal: ending.signal,
      });
      await holdUnserved(ctx);
    }
    while (!stopped) {
      const job = await ctx.queue.lease(ctx.clock().getTime(), free());
      if (job === null) return;
      const one = { kind: job.kind, ended: runJob(ctx, job, ending.signal).catch(() => undefined) };
      running.add(one);
      void one.ended.then(() => {
        running.delete(one);
        run();
      });
    }
  };

  const schedule = async (): Promise<void> => {
    if (stopped) return;
    const next = await ctx.queue.nextRun(free());
    const wait = next === null ? RECONCILE_EVERY_MS : Math.max(pollMs, next - ctx.clock().getTime());
    clearTimeout(timer);
    timer = setTimeout(run, Math.min(wait, RECONCILE_EVERY_MS));
    timer.unref();
  };

  function run(): void {
    if (stopped) return;
    if (turning !== null) {
      again = true;
      return;
    }
    clearTimeout(timer);
    // A chain or database that cannot be reached now is tried again at the next turn; nothing is lost by it.
    turning = turn()
      .catch(() => undefined)
      .then(() => (again ? undefined : schedule().catch(() => undefined)))
      .then(() => {
        turning = null;
        if (!again) return;
        again = false;
        run();
      });
  }

  run();
  ctx.queue.onNew?.(run);
  return {
    wake() {
      // The caller's answer goes out first: it does not wait for this clock.
      setImmediate(run);
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      // A look under way may still land; one that hangs must not hold up the closing.
      const grace = setTimeout(() => ending.abort(), GRACE_MS);
      await turning;
      await Promise.all([...running].map((job) => job.ended));
      clearTimeout(grace);
    },
  };
}

/** Looks once, and lands what was found, gives the job back, or says the final word. */
async function runJob(ctx: BuyerContext, job: LeasedJob, ending: AbortSignal): Promise<void> {
  const handler = ctx.handlers.find((one) => one.kind === job.kind);
  if (handler === undefined) return;
  let error: string | null = null;
  try {
    const look = await lookInTime(ctx, handler, job, ending);
    if (look.state !== "waiting") {
      await land(ctx, job, look);
      return;
    }
  } catch (thrown) {
    error = codeOf(thrown);
  }
  const now = ctx.clock().getTime();
  const ends = handler.endless !== true;
  if (ends && now >= job.deadline) {
    await land(ctx, job, { state: "absent", code: error ?? "deadline_passed" });
    return;
  }
  const delay = Math.min(MAX_DELAY_MS, handler.firstDelay(ctx) * 2 ** Math.min(job.attempts - 1, 12));
  await ctx.queue.retry(job, { runAt: ends ? Math.min(now + delay, job.deadline) : now + delay, error });
}

async function lookInTime(
  ctx: BuyerContext,
  handler: JobHandler<BuyerContext>,
  job: LeasedJob,
  ending: AbortSignal,
): Promise<Look> {
  const receipt = await readReceipt(ctx.db, job.receiptId);
  if (receipt === null) return { state: "absent", code: "receipt_not_found" };
  const limit = new AbortController();
  const stop = (): void => limit.abort();
  ending.addEventListener("abort", stop, { once: true });
  if (ending.aborted) stop();
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new Proof402Error("look_timeout", "Looking for the evidence took too long.", { next: "It is tried again." }),
      );
      limit.abort();
    }, MAX_LOOK_MS);
    timer.unref();
  });
  try {
    return await Promise.race([handler.look(ctx, receipt, job, limit.signal), tooLong]);
  } finally {
    clearTimeout(timer);
    ending.removeEventListener("abort", stop);
  }
}

const codeOf = (error: unknown): string =>
  Proof402Error.isInstance(error) ? error.code : error instanceof Error ? error.name : "error";
