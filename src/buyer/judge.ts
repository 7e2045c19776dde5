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
