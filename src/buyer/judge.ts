import type { Appraisal, Assurance, Receipt } from "../receipts/schema.ts";
import { appraise } from "../verify/appraise.ts";
import type { Outstanding } from "../verify/types.ts";
import { appraisalPolicyOf, type BuyerContext } from "./context.ts";
import type { JobState } from "./queue.ts";

/**
 * Appraises a receipt under this buyer's policy, as of the moment the answer came (our own clock, recorded in the
 * receipt) unless an auditor names another time. `jobs` is what the queue holds for it, read there when absent.
 */
export async function judgeReceipt(
  ctx: BuyerContext,
  receipt: Receipt,
  options: { assurance: Assurance; evaluateAt?: Date; jobs?: readonly JobState[] },
): Promise<Appraisal> {
  const jobs = options.jobs ?? (await ctx.queue.of(ctx.db, receipt.id));
  return appraise(
    {
      receipt,
      policy: appraisalPolicyOf(ctx.config, options.assurance),
      now: ctx.clock(),
      evaluateAt: options.evaluateAt ?? new Date(receipt.core.response.receivedAt),
      outstanding: jobs.flatMap((job) => outstandingOf(ctx, job)),
    },
    ctx.session,
  );
}

/** What a job means for the layer that its evidence decides. */
function outstandingOf(ctx: BuyerContext, { kind, done, absent }: JobState): Outstanding[] {
  const handler = ctx.handlers.find((one) => one.kind === kind);
  if (handler === undefined) return [];
  const { layer, awaited } = handler;
  if (!done) return awaited === undefined ? [] : [{ layer, status: "pending", ...awaited }];
  if (absent === null || handler.absent === undefined) return [];
  return [{ layer, ...handler.absent(absent), holdsVerdict: false }];
}
