import { Proof402Error } from "../errors.ts";
import { markSettled, readPurchaseByReceipt, release } from "../payment/journal.ts";
import { reconcile } from "../payment/reconcile.ts";
import { observeSettlement, type SettlementView } from "../payment/settlement.ts";
import type { Receipt } from "../receipts/schema.ts";
import { appendAppraisal, appendLater, readReceipt } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { BuyerContext } from "./context.ts";
import { holdIfFailed } from "./holds.ts";
import { judgeReceipt } from "./judge.ts";
import { wantedAssurance } from "../receipts/newest.ts";

/** How long one worker may hold a job before another may take it, ms. */
const LEASE_MS = 30_000;
const MAX_DELAY_MS = 60_000;
const RECONCILE_EVERY_MS = 60_000;

/** Enqueues the settlement check of a stored receipt, in the caller's transaction. Enqueuing twice is one job. */
export async function enqueueSettlement(tx: Db, receipt: Receipt, nowMs: number): Promise<void> {
  await tx
    .insertInto("jobs")
    .values({
      kind: "settlement",
      subject: receipt.id,
      state: "waiting",
      run_at: nowMs,
      leased_until: 0,
      attempts: 0,
      deadline: receipt.core.payment.validBefore * 1000,
      last_error: null,
    })
    .onConflict((conflict) => conflict.columns(["kind", "subject"]).doNothing())
    .execute();
}

export type SecondClock = {
  /** Looks at the queue now. `hint` is the seller's word for the transaction of a receipt: tried first, never trusted. */
  wake(hint?: { receiptId: string; transaction: string }): void;
  stop(): Promise<void>;
};

/**
 * The background worker (DESIGN §4.8): durable jobs, leased one at a time, so several processes may share a file.
 * Timers do not keep the process alive; what is left is done by the next process that opens the file.
 */
export function startSecondClock(ctx: BuyerContext): SecondClock {
  const hints = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let reconciledAt = -Infinity;

  const pollMs = Math.min(...ctx.config.networks.map((network) => network.pollMilliseconds), 1000);

  const turn = async (): Promise<void> => {
    const now = ctx.clock().getTime();
    if (now - reconciledAt >= RECONCILE_EVERY_MS) {
      reconciledAt = now;
      await reconcile({ db: ctx.db, chains: ctx.chains, now: ctx.clock() });
    }
    while (!stopped) {
      const job = await leaseJob(ctx.db, ctx.clock().getTime());
      if (job === null) return;
      await runJob(ctx, job, hints.get(job.subject));
      hints.delete(job.subject);
    }
  };

  const schedule = async (): Promise<void> => {
    if (stopped) return;
    const next = await ctx.db
      .selectFrom("jobs")
      .select((eb) => eb.fn.min("run_at").as("at"))
      .where("state", "in", ["waiting", "running"])
      .executeTakeFirst();
    const wait = next?.at == null ? RECONCILE_EVERY_MS : Math.max(pollMs, next.at - ctx.clock().getTime());
    timer = setTimeout(run, Math.min(wait, RECONCILE_EVERY_MS));
    timer.unref();
  };

  function run(): void {
    if (stopped) return;
    if (running !== null) {
      again = true;
      return;
    }
    clearTimeout(timer);
    // A chain or database that cannot be reached now is tried again at the next turn; nothing is lost by it.
    running = turn()
      .catch(() => undefined)
      .then(async () => {
        running = null;
        if (again) {
          again = false;
          run();
        } else {
          await schedule().catch(() => undefined);
        }
      });
  }

  run();
  return {
    wake(hint) {
      if (hint !== undefined) hints.set(hint.receiptId, hint.transaction);
      // The caller's answer goes out first: it does not wait for this clock.
      setImmediate(run);
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

type Job = { id: number; subject: string; attempts: number };

/** Takes one due job whose lease is free, atomically. */
async function leaseJob(db: Db, nowMs: number): Promise<Job | null> {
  const due = await db
    .selectFrom("jobs")
    .select("id")
    .where("state", "in", ["waiting", "running"])
    .where("run_at", "<=", nowMs)
    .where("leased_until", "<=", nowMs)
    .limit(1)
    .executeTakeFirst();
  if (due === undefined) return null;
  const taken = await immediate(db, (tx) =>
    tx
      .updateTable("jobs")
      .set((eb) => ({ state: "running", leased_until: nowMs + LEASE_MS, attempts: eb("attempts", "+", 1) }))
      .where("id", "=", due.id)
      .where("state", "in", ["waiting", "running"])
      .where("leased_until", "<=", nowMs)
      .returning(["id", "subject", "attempts"])
      .executeTakeFirst(),
  );
  return taken ?? null;
}

async function runJob(ctx: BuyerContext, job: Job, hint: string | undefined): Promise<void> {
  try {
    const done = await checkSettlement(ctx, job.subject, hint);
    if (done) await finishJob(ctx.db, job.id);
    else await postpone(ctx, job, null);
  } catch (error) {
    await postpone(
      ctx,
      job,
      Proof402Error.isInstance(error) ? error.code : error instanceof Error ? error.name : "error",
    );
  }
}

const finishJob = (db: Db, id: number): Promise<unknown> =>
  db.updateTable("jobs").set({ state: "done", leased_until: 0 }).where("id", "=", id).execute();

async function postpone(ctx: BuyerContext, job: Job, error: string | null): Promise<void> {
  const pollMs = Math.min(...ctx.config.networks.map((network) => network.pollMilliseconds));
  const delay = Math.min(MAX_DELAY_MS, pollMs * 2 ** Math.min(job.attempts - 1, 12));
  await ctx.db
    .updateTable("jobs")
    .set({ state: "waiting", leased_until: 0, run_at: ctx.clock().getTime() + delay, last_error: error })
    .where("id", "=", job.id)
    .execute();
}

/** True when the receipt's settlement is known for good. */
async function checkSettlement(ctx: BuyerContext, receiptId: string, hint: string | undefined): Promise<boolean> {
  const receipt = await readReceipt(ctx.db, receiptId);
  if (receipt === null) return true;
  const chain = ctx.chains.get(receipt.core.payment.network);
  if (chain === undefined)
    throw new Proof402Error("network_not_configured", "No RPC is configured for the receipt's network.", {
      next: "Add it to networks.",
    });
  const seen = await observeSettlement(
    chain,
    receipt.core.payment,
    hint === undefined ? {} : { transactionHint: hint },
  );
  if (seen.state === "pending") return false;
  await landSettlement(ctx, receipt, seen);
  return true;
}

/** Appends settlement evidence, judges anew, and closes the journal entry: one transaction, so that a crash leaves all or nothing. */
async function landSettlement(
  ctx: BuyerContext,
  receipt: Receipt,
  seen: Exclude<SettlementView, { state: "pending" }>,
): Promise<void> {
  const { evidence } = seen;
  const at = ctx.clock();
  const later = [...receipt.later, { at: at.toISOString(), evidence }];
  const appraisal = await judgeReceipt(
    ctx,
    { ...receipt, later },
    { assurance: wantedAssurance(receipt, ctx.config.verification.assurance) },
  );
  const stored = await immediate(ctx.db, async (tx) => {
    await appendLater(tx, receipt.id, evidence, at);
    const updated = await appendAppraisal(tx, receipt.id, appraisal);
    const purchase = await readPurchaseByReceipt(tx, receipt.id);
    if (purchase !== null) {
      if (seen.state === "settled") {
        await markSettled(tx, purchase.id, { transaction: seen.transaction, amount: seen.amount, now: at });
      } else {
        await release(tx, purchase.id, { reason: seen.reason, unusable: true, now: at });
      }
    }
    await holdIfFailed(tx, updated, at.getTime());
    return updated;
  });
  ctx.events.emit(stored);
}
