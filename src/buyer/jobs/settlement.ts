import { Proof402Error } from "../../errors.ts";
import { markSettled, readPurchaseByReceipt, release } from "../../payment/journal.ts";
import { observeSettlement, type SettlementView } from "../../payment/settlement.ts";
import type { Receipt } from "../../receipts/schema.ts";
import type { Db } from "../../storage/database.ts";
import { pollMilliseconds } from "../context.ts";
import type { JobHandler } from "./types.ts";

/** Looks on chain for what became of the payment. The chain decides when that ends, by the authorization's end. */
export const settlementJob: JobHandler = {
  kind: "settlement",
  layer: "settlement",

  plan: (_ctx, receipt, { transaction }) => ({
    payload: transaction === undefined ? {} : { transaction },
    deadline: receipt.core.payment.validBefore * 1000,
  }),

  async look(ctx, receipt, job) {
    const { payment } = receipt.core;
    const chain = ctx.chains.get(payment.network);
    if (chain === undefined) {
      throw new Proof402Error("network_not_configured", "No RPC is configured for the receipt's network.", {
        next: "Add it to networks.",
      });
    }
    const { transaction } = job.payload;
    // The seller's word is tried once: one that the chain's node cannot answer must not keep the rest from being looked at.
    const hint = typeof transaction === "string" && job.attempts === 1 ? { transactionHint: transaction } : {};
    const seen = await observeSettlement(chain, payment, hint);
    if (seen.state === "pending") return { state: "waiting" };
    return { state: "landed", evidence: seen.evidence, alongside: (tx, at) => closePurchase(tx, receipt, seen, at) };
  },

  firstDelay: (ctx) => pollMilliseconds(ctx.config),
};

/** Closes the journal entry as the chain decided it. */
async function closePurchase(
  tx: Db,
  receipt: Receipt,
  seen: Exclude<SettlementView, { state: "pending" }>,
  now: Date,
): Promise<void> {
  const purchase = await readPurchaseByReceipt(tx, receipt.id);
  if (purchase === null) return;
  if (seen.state === "settled") {
    await markSettled(tx, purchase.id, { transaction: seen.transaction, amount: seen.amount, now });
  } else {
    await release(tx, purchase.id, { reason: seen.reason, unusable: true, now });
  }
}
