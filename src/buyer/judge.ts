import type { Appraisal, Assurance, Receipt } from "../receipts/schema.ts";
import { appraise } from "../verify/appraise.ts";
import { appraisalPolicyOf, type BuyerContext } from "./context.ts";

/**
 * Appraises a receipt under this buyer's policy, as of the moment the answer came (our own clock, recorded in the
 * receipt) unless an auditor names another time.
 */
export const judgeReceipt = (
  ctx: BuyerContext,
  receipt: Receipt,
  options: { assurance: Assurance; evaluateAt?: Date },
): Promise<Appraisal> =>
  appraise(
    {
      receipt,
      policy: appraisalPolicyOf(ctx.config, options.assurance),
      now: ctx.clock(),
      evaluateAt: options.evaluateAt ?? new Date(receipt.core.response.receivedAt),
    },
    ctx.session,
  );

/** The assurance a stored purchase was asked for: that of its first appraisal. */
export const wantedAssurance = (receipt: Receipt, fallback: Assurance): Assurance => receipt.appraisals[0]?.wanted ?? fallback;

/** The newest appraisal, which a stored receipt always has. Throws where there is none. */
export function newestAppraisal(receipt: Receipt): Appraisal {
  const newest = receipt.appraisals.at(-1);
  if (newest === undefined) throw new Error(`receipt ${receipt.id} has no appraisal`);
  return newest;
}
