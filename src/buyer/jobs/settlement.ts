import { Proof402Error } from "../../errors.ts";
import { markSettled, readPurchaseByReceipt, release } from "../../payment/journal.ts";
import { believe, type Belief } from "../../payment/witness.ts";
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

  async look(ctx, receipt, job, signal) {
    const { payment, request } = receipt.core;
    const { transaction } = job.payload;
    const seen = await believe({
      db: ctx.db,
      chain: ctx.chains.get(payment.network),
      payment,
      now: ctx.clock(),
      since: new Date(request.sentAt),
      transactionHint: typeof transaction === "string" ? transaction : undefined,
      signal,
    });
    if (seen.state !== "pending")
      return { state: "landed", evidence: seen.evidence, alongside: (tx, at) => closePurchase(tx, receipt, seen, at) };
    if (seen.doubt === null) return { state: "waiting" };
    throw new Proof402Error(seen.doubt, `The RPC of ${payment.network} shows nothing to be concluded from.`, {
      next: "It is looked at again later. Check networks[].rpcUrl and witnessRpcUrl if this lasts.",
      money: "may-move",
    });
  },

  firstDelay: (ctx) => pollMilliseconds(ctx.config),
};

/** Closes the journal entry as the chain decided it. */
async function closePurchase(
  tx: Db,
  receipt: Receipt,
  seen: Exclude<Belief, { state: "pending" }>,
  now: Date,
): Promise<void> {
  const purchase = await readPurchaseByReceipt(tx, receipt.id);
  if (purchase === null) return;
  if (seen.state === "settled") {
    await markSettled(tx, purchase.id, {
      transaction: seen.transaction,
      amount: seen.amount,
      reason: seen.fault,
      now,
    });
  } else {
    await release(tx, purchase.id, { reason: seen.reason, unusable: true, now });
  }
}
