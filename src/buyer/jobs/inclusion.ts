import { Proof402Error } from "../../errors.ts";
import { inclusionLeafOf } from "../../verify/inclusion.ts";
import { pollMilliseconds } from "../context.ts";
import { describeContradiction, observeInclusion } from "../inclusion.ts";
import type { JobHandler } from "./types.ts";

/** How long an answer's batch is waited for, ms. */
const PATIENCE_MS = 3_600_000;

/** Looks for the batch that anchors the answer, where the configuration pins a relay contract for its seller. */
export const inclusionJob: JobHandler = {
  kind: "inclusion",
  layer: "inclusion",

  plan(ctx, receipt) {
    const seller = ctx.config.sellers.find(({ id }) => id === receipt.core.seller.id);
    const wanted = (seller?.reference.relays.length ?? 0) > 0 && inclusionLeafOf(receipt) !== null;
    return wanted ? { payload: {}, deadline: ctx.clock().getTime() + PATIENCE_MS } : null;
  },

  async look(ctx, receipt, _job, signal) {
    const seller = ctx.config.sellers.find(({ id }) => id === receipt.core.seller.id);
    if (seller === undefined) {
      throw new Proof402Error("seller_not_found", "The receipt's seller is no longer configured.", {
        next: "Put the seller back into the configuration.",
      });
    }
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
      case "absent":
      case "contradicted":
        return { state: "absent", code: seen.code };
      default:
        return seen satisfies never;
    }
  },

  // A batch is filled and mined first: nobody waits for it, so it is not asked for every moment.
  firstDelay: (ctx) => Math.max(250, pollMilliseconds(ctx.config)),
  awaited: {
    code: "awaiting_inclusion",
    note: "The answer was not seen under a root on chain yet.",
    holdsVerdict: false,
  },
  absent(code) {
    const contradiction = describeContradiction(code);
    return contradiction === null
      ? { status: "skip", code: "not_included", note: `The answer did not come under a root on chain (${code}).` }
      : { status: "fail", code, note: contradiction };
  },
};
