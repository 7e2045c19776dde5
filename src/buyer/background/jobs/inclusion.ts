import { findSeller } from "../../../config/schema.ts";
import { contradiction, CONTRADICTIONS, isContradiction } from "../../../verify/contradiction-codes.ts";
import { inclusionLeafOf } from "../../../verify/layers/inclusion.ts";
import { pollMilliseconds } from "../../context.ts";
import { observeInclusion } from "../inclusion.ts";
import type { BuyerContext } from "../../context.ts";
import type { JobHandler } from "./types.ts";

/** Looks for the batch that anchors the answer, where the configuration pins a relay contract for its seller. */
export const inclusionJob: JobHandler<BuyerContext> = {
  kind: "inclusion",
  layer: "inclusion",

  plan(ctx, receipt) {
    const seller = findSeller(ctx.config, receipt.core.seller.id);
    const wanted = (seller?.reference.relays.length ?? 0) > 0 && inclusionLeafOf(receipt) !== null;
    return wanted
      ? { payload: {}, deadline: ctx.clock().getTime() + ctx.config.verification.inclusionSeconds * 1000 }
      : null;
  },

  async look(ctx, receipt, _job, signal) {
    const seller = findSeller(ctx.config, receipt.core.seller.id);
    // The configuration changed since: nothing says any more where to look.
    if (seller === undefined) return { state: "absent", code: "seller_not_found" };
    if (ctx.providerOf(seller).publishes?.(seller) === false) return { state: "absent", code: "not_published" };
    const seen = await observeInclusion({
      receipt,
      seller,
      provider: ctx.providerOf(seller),
      chains: ctx.chains,
      signal,
    });
    switch (seen.state) {
      case "included":
        return { state: "landed", evidence: seen.evidence };
      case "pending":
        return { state: "waiting" };
      case "contradicted":
        return { state: "landed", evidence: contradiction("inclusion", seen.code) };
      case "absent":
        return { state: "absent", code: seen.code };
      default:
        return seen satisfies never;
    }
  },

  // A batch is filled and mined first, and no caller waits for it, so it is asked for now and then.
  firstDelay: (ctx) => Math.max(250, pollMilliseconds(ctx.config)),
  awaited: {
    code: "awaiting_inclusion",
    note: "The answer was not seen under a root on chain yet.",
    holdsVerdict: false,
  },
  // A batch that was lost before it was anchored is no lie: only a contradiction fails. Jobs of earlier versions hold its code.
  absent(code) {
    return isContradiction(code)
      ? { status: "fail", code, note: CONTRADICTIONS[code] }
      : {
          status: "skip",
          code: "inclusion_not_seen",
          note: `The answer was not seen under a root on chain (${code}).`,
        };
  },
};
