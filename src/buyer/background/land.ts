import { wantedAssurance } from "../../receipts/newest.ts";
import { hasRoomFor } from "../../receipts/room.ts";
import type { Receipt } from "../../receipts/schema.ts";
import { appendAppraisal, appendLater, readReceipt } from "../../receipts/store.ts";
import type { Db } from "../../storage/database.ts";
import { immediate } from "../../storage/migrations.ts";
import type { BuyerContext } from "../context.ts";
import type { HoldReason } from "../hold-reasons.ts";
import { holdForReceipt } from "../holds.ts";
import type { Absent, GivenUp, Landed } from "./jobs/types.ts";
import { judgeReceipt } from "../judge.ts";
import type { JobState, LeasedJob } from "./queue.ts";

/**
 * Ends a job: appends its evidence, if any came, judges the receipt again and puts the seller on hold if it failed. One
 * transaction, and only under a lease that still holds: a crash leaves all of it or nothing, and no evidence lands
 * twice.
 *
 * Judging takes a moment and the transaction must not, so it is done before. Evidence of another kind landing in that
 * moment makes it out of date: then it is judged again, so no verdict passes over known evidence.
 */
export async function land(ctx: BuyerContext, job: LeasedJob, outcome: Landed | Absent | GivenUp): Promise<void> {
  for (;;) {
    const known = await readKnown(ctx, ctx.db, job.receiptId);
    const at = ctx.clock();
    if (known === null) {
      await immediate(ctx.db, (tx) => ctx.queue.finish(tx, job, { absent: absenceOf(outcome, null), at }));
      return;
    }
    const absent = absenceOf(outcome, known.receipt);
    const evidence = outcome.state === "landed" && absent === null ? outcome.evidence : null;
    const later = evidence === null ? [] : [{ at: at.toISOString(), evidence }];
    const receipt = { ...known.receipt, later: [...known.receipt.later, ...later] };
    const appraisal = await judgeReceipt(ctx, receipt, {
      assurance: wantedAssurance(receipt, ctx.config.verification.assurance),
      // Jobs are only of this buyer's own purchases, so all of it was seen or made here.
      own: receipt.later.map(({ evidence }) => evidence),
      jobs: known.jobs.map((one) => (one.kind === job.kind ? { ...one, done: true, absent } : one)),
    });
    const stored = await immediate(ctx.db, async (tx) => {
      if (!isSame(known, await readKnown(ctx, tx, job.receiptId))) return "changed";
      if (!(await ctx.queue.finish(tx, job, { absent, at }))) return "lost";
      if (evidence !== null) await appendLater(tx, receipt.id, evidence, at);
      if ("alongside" in outcome) await outcome.alongside?.(tx, at);
      const updated = await appendAppraisal(tx, receipt.id, appraisal);
      await holdForReceipt(
        tx,
        updated,
        at.getTime(),
        outcome.state === "absent" ? withheldBy(ctx, job.kind, outcome.code) : null,
      );
      return updated;
    });
    if (stored === "changed") continue;
    if (stored !== "lost") ctx.events.emit(stored);
    return;
  }
}

/** The reason to hold a seller whose promised evidence did not come, or null where it promised none of the kind. */
function withheldBy(ctx: BuyerContext, kind: string, absent: string): HoldReason | null {
  const handler = ctx.handlers.find((one) => one.kind === kind);
  return handler?.withheld?.(absent) === true ? `evidence_withheld: ${kind} (${absent})` : null;
}

/** Why a job ends without evidence in the receipt: none came, or the receipt has no room for it. Null where it has. */
function absenceOf(outcome: Landed | Absent | GivenUp, receipt: Receipt | null): string | null {
  if (outcome.state === "absent") return outcome.code;
  if (receipt === null) return null;
  const item = { at: new Date(0).toISOString(), evidence: outcome.evidence };
  return hasRoomFor(receipt, item) ? null : "receipt_full";
}

/** The basis of a verdict: the receipt, and the kinds of evidence still to come. */
type Known = { receipt: Receipt; jobs: JobState[] };

async function readKnown(ctx: BuyerContext, db: Db, receiptId: string): Promise<Known | null> {
  const receipt = await readReceipt(db, receiptId);
  return receipt === null ? null : { receipt, jobs: await ctx.queue.of(db, receiptId) };
}

/** Evidence is only ever appended, so its number tells. */
const isSame = (before: Known, now: Known | null): boolean =>
  now !== null &&
  now.receipt.later.length === before.receipt.later.length &&
  JSON.stringify(now.jobs) === JSON.stringify(before.jobs);
