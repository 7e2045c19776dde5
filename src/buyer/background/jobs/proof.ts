import { findSeller } from "../../../config/schema.ts";
import { pollMilliseconds } from "../../context.ts";
import type { BuyerContext } from "../../context.ts";
import type { JobHandler } from "./types.ts";

/** Fetches the proof of an answer, where the configuration pins a proof key for its seller's model. */
export const proofJob: JobHandler<BuyerContext> = {
  kind: "proof",
  layer: "computation",
  // A seller that says it cannot prove an answer keeps nothing back: of some inputs there is no proof. One that knows of no such
  // proof may have been started again since.
  withheld: (code) => code !== "not_proved" && code !== "not_offered",

  plan(ctx, { core }) {
    const seller = findSeller(ctx.config, core.seller.id);
    const pinned = seller !== undefined && Object.hasOwn(seller.reference.proofs, core.request.model);
    return pinned
      ? { payload: {}, deadline: ctx.clock().getTime() + ctx.config.verification.proofSeconds * 1000 }
      : null;
  },

  async look(ctx, { core }, _job, signal) {
    const seller = findSeller(ctx.config, core.seller.id);
    // The configuration changed since: nothing says any more where to look.
    if (seller === undefined) return { state: "absent", code: "seller_not_found" };
    const found = await ctx.providerOf(seller).fetchProof(seller, core.request.sha256, signal);
    if (found === null) return { state: "absent", code: "not_offered" };
    switch (found.state) {
      case "proved":
        return { state: "landed", evidence: found.evidence };
      case "pending":
        return { state: "waiting" };
      case "failed":
        return { state: "absent", code: "not_proved" };
      default:
        return found satisfies never;
    }
  },

  // Proving takes a second clock's time: it is not asked for every moment.
  firstDelay: (ctx) => Math.max(100, pollMilliseconds(ctx.config)),
  awaited: {
    code: "awaiting_proof",
    note: "The seller has not delivered its proof of the computation yet.",
    holdsVerdict: false,
  },
  // No proof is no lie: what was asked for and is missing leaves the receipt unverified.
  absent: (code) => ({
    status: "skip",
    code: "proof_not_delivered",
    note: `The seller delivered no proof of the computation (${code}).`,
  }),
};
