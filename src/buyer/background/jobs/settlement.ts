import { Proof402Error } from "../../../errors.ts";
import { evidenceOf } from "../../../evidence/methods/methods.ts";
import { markSettled, readPurchaseByReceipt, readSignature, release, SUPERSEDED } from "../../../payment/journal.ts";
import { SHARE_NOT_CHARGED } from "../../../payment/reasons.ts";
import { partSettled } from "../../../payment/voucher-sum.ts";
import type { PurchaseRecord } from "../../../payment/types.ts";
import { believe, type Belief, type Doubt } from "../../../payment/witness.ts";
import { settlementEvidence, type Receipt, type SettlementEvidence } from "../../../receipts/schema.ts";
import type { Db } from "../../../storage/database.ts";
import { pollMilliseconds } from "../../context.ts";
import type { BuyerContext } from "../../context.ts";
import { seenBeside, sharedOf, withShared } from "./settlement-shared.ts";
import type { JobHandler } from "./types.ts";

/**
 * Looks on chain for what became of the payment. The chain decides when that ends, by the authorization's end; for a voucher
 * the journal does, too, once its part of the channel's sum is another purchase's.
 */
export const settlementJob: JobHandler<BuyerContext> = {
  kind: "settlement",
  layer: "settlement",

  plan: (_ctx, receipt, { transaction }) => ({
    payload: transaction === undefined ? {} : { transaction },
    deadline: receipt.core.payment.validBefore * 1000,
  }),

  async look(ctx, receipt, job, signal) {
    const { payment, request } = receipt.core;
    const { transaction } = job.payload;
    const purchase = await readPurchaseByReceipt(ctx.db, receipt.id);
    if (isReleased(purchase)) return { state: "absent", code: SUPERSEDED };
    if (purchase?.reason === SHARE_NOT_CHARGED) return { state: "absent", code: SHARE_NOT_CHARGED };
    const told = purchase === null ? null : await seenBeside(ctx.db, receipt, purchase);
    const seen =
      told ??
      (await believe({
        db: ctx.db,
        chain: ctx.chains.get(payment.network),
        payment,
        now: ctx.clock(),
        since: new Date(request.sentAt),
        transactionHint: typeof transaction === "string" ? transaction : undefined,
        signal,
      }));
    if (seen.state === "settled" && (await isAnothers(ctx.db, receipt))) {
      // Settling it releases it.
      return { state: "absent", code: SUPERSEDED, alongside: (tx, at) => closePurchase(tx, receipt, seen, at) };
    }
    if (seen.state !== "pending") {
      const shared = seen.state === "settled" ? await sharedOf(ctx.db, purchase, seen.amount) : null;
      const alongside = (tx: Db, at: Date): Promise<void> => closePurchase(tx, receipt, seen, at);
      if (shared === "free") return { state: "absent", code: SHARE_NOT_CHARGED, alongside };
      return {
        state: "landed",
        evidence: await withSignature(ctx.db, receipt, shared === null ? seen : withShared(seen, shared)),
        async alongside(tx, at) {
          // Another purchase's look may have landed since: then this one's evidence would tell of that one's money.
          if (seen.state === "settled" && (await isAnothers(tx, receipt))) throw doubtful(SUPERSEDED, payment.network);
          await alongside(tx, at);
        },
      };
    }
    if (seen.doubt === null) return { state: "waiting" };
    throw doubtful(seen.doubt, payment.network);
  },

  firstDelay: (ctx) => pollMilliseconds(ctx.config),
  endless: true,
  absent: (code) =>
    code === SUPERSEDED || code === SHARE_NOT_CHARGED ? { status: "skip", code, note: NOTES[code] } : null,
};

const NOTES = {
  [SUPERSEDED]:
    "Another purchase's voucher took the place of this one, which grants nothing of its own any more: no money moved for it.",
  [SHARE_NOT_CHARGED]:
    "The authorization that this call shared is settled, and the calls that were served account for all that moved: nothing was taken for this one.",
} as const;

const doubtful = (code: Doubt | typeof SUPERSEDED, network: string): Proof402Error =>
  new Proof402Error(code, `The RPC of ${network} shows nothing to be concluded from.`, {
    next: "It is looked at again later. Check networks[].rpcUrl and witnessRpcUrl if this lasts.",
    money: "may-move",
  });

const isReleased = (purchase: PurchaseRecord | null): boolean =>
  purchase?.state === "released" && purchase.reason === SUPERSEDED;

/** Whether what was claimed of a voucher's part of its channel's sum is another purchase's. */
async function isAnothers(db: Db, { id, core }: Receipt): Promise<boolean> {
  const purchase = evidenceOf(core.payment).claimed ? await readPurchaseByReceipt(db, id) : null;
  if (isReleased(purchase)) return true;
  return purchase?.state === "answered" && (await partSettled(db, purchase.id)) === null;
}

/**
 * The sighting, with the payer's signature once it can move nothing more. The signature of an unclaimed voucher stays
 * in the journal: its channel may be filled again.
 */
async function withSignature(
  db: Db,
  receipt: Receipt,
  { state, evidence }: Exclude<Belief, { state: "pending" }>,
): Promise<SettlementEvidence> {
  if (evidenceOf(receipt.core.payment).claimed && state !== "settled") return evidence;
  const signature = (await readSignature(db, receipt.id))?.toLowerCase();
  return settlementEvidence.safeParse({ ...evidence, signature }).data ?? evidence;
}

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
