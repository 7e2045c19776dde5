import type { Appraisal, Assurance, Receipt } from "../receipts/schema.ts";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import { readReceipt } from "../receipts/store.ts";
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
  options: { assurance: Assurance; evaluateAt?: Date; jobs?: readonly JobState[]; ownReplay?: boolean },
): Promise<Appraisal> {
  const jobs = options.jobs ?? (await ctx.queue.of(ctx.db, receipt.id));
  const ownReplay = options.ownReplay ?? (await isOwnReplay(ctx, receipt));
  return appraise(
    {
      receipt,
      policy: appraisalPolicyOf(ctx.config, options.assurance),
      now: ctx.clock(),
      evaluateAt: options.evaluateAt ?? new Date(receipt.core.response.receivedAt),
      ownReplay,
      ezkl: ctx.ezkl,
      outstanding: jobs.flatMap((job) => outstandingOf(ctx, job)),
    },
    ctx.session,
  );
}

/** Whether a receipt's re-execution is the one that this buyer's own purchase has in its store, and not a file's word. */
async function isOwnReplay(ctx: BuyerContext, receipt: Receipt): Promise<boolean> {
  const claimed = replaysIn(receipt);
  if (claimed.length === 0 || (await readPurchaseByReceipt(ctx.db, receipt.id)) === null) return false;
  const stored = await readReceipt(ctx.db, receipt.id);
  return stored !== null && JSON.stringify(replaysIn(stored)) === JSON.stringify(claimed);
}

const replaysIn = ({ core, later }: Receipt): string[] =>
  [...core.evidence, ...later.map(({ evidence }) => evidence)]
    .filter(({ kind }) => kind === "replay.onnx")
    .map((evidence) => toHex(canonicalSha256(evidence)));

/** What a job means for the layer that its evidence decides. */
function outstandingOf(ctx: BuyerContext, { kind, done, absent }: JobState): Outstanding[] {
  const handler = ctx.handlers.find((one) => one.kind === kind);
  if (handler === undefined) return [];
  const { layer, awaited } = handler;
  if (!done) return awaited === undefined ? [] : [{ layer, status: "pending", ...awaited }];
  if (absent === null || handler.absent === undefined) return [];
  return [{ layer, ...handler.absent(absent), holdsVerdict: false }];
}
