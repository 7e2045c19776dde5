import { keccak256, sha256, toBase64, toHex, fromBase64 } from "../evidence/bytes.ts";
import type { Candidate } from "../market/choose.ts";
import { grantVoucher } from "../payment/channels.ts";
import { markAnswered } from "../payment/journal.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import type { Appraisal, Assurance, Receipt, ReceiptCore } from "../receipts/schema.ts";
import { createReceipt } from "../receipts/receipt.ts";
import { addReceipt } from "../receipts/store.ts";
import { immediate } from "../storage/migrations.ts";
import type { Attested } from "./attest.ts";
import type { BuyerContext } from "./context.ts";
import { holdIfFailed } from "./holds.ts";
import type { Delivery } from "./jobs/types.ts";
import { judgeReceipt } from "./judge.ts";
import type { NewJob } from "./queue.ts";
import type { Received } from "./send.ts";

/** Builds the receipt of an answer from the exact bytes sent and received. */
export function receiptOf(options: {
  candidate: Candidate;
  purchase: PurchaseRecord;
  attested: Attested;
  received: Received;
  signature: ReceiptCore["evidence"][number] | null;
}): Receipt {
  const { candidate, purchase, attested, received, signature } = options;
  return createReceipt({
    seller: {
      id: candidate.seller.id,
      provider: candidate.seller.provider,
      origin: candidate.seller.origin,
      keyId: attested.keyId,
    },
    request: {
      method: purchase.request.method,
      path: purchase.request.path,
      model: purchase.model,
      nonce: purchase.request.nonce,
      sentAt: received.sentAt.toISOString(),
      ...hashed(fromBase64(purchase.request.body)),
    },
    response: { status: received.status, receivedAt: received.receivedAt.toISOString(), ...hashed(received.body) },
    offer: purchase.offer,
    payment: purchase.payment,
    evidence: [...attested.evidence, ...(signature === null ? [] : [signature])],
  });
}

const hashed = (body: Uint8Array): { sha256: string; keccak256: string; body: string } => ({
  sha256: toHex(sha256(body)),
  keccak256: toHex(keccak256(body)),
  body: toBase64(body),
});

/**
 * Judges an answer on the fast clock and stores receipt, appraisal, journal state, the second clock's jobs and, if the
 * verdict is `failed`, the seller's hold: all in one transaction.
 */
export async function storeDelivery(
  ctx: BuyerContext,
  receipt: Receipt,
  purchaseId: string,
  { assurance, ...delivery }: Delivery & { assurance: Assurance },
): Promise<{ receipt: Receipt; appraisal: Appraisal }> {
  const now = ctx.clock();
  const { payment } = receipt.core;
  const jobs = planJobs(ctx, receipt, delivery, now.getTime());
  const appraisal = await judgeReceipt(ctx, receipt, {
    assurance,
    jobs: jobs.map(({ kind }) => ({ kind, done: false, absent: null })),
  });
  const stored = await immediate(ctx.db, async (tx) => {
    const judged = await addReceipt(tx, receipt, appraisal, now);
    await markAnswered(tx, purchaseId, { receiptId: receipt.id, now });
    if (payment.method === "voucher") await grantVoucher(tx, purchaseId, payment, now);
    await ctx.queue.add(tx, jobs);
    await holdIfFailed(tx, judged, now.getTime());
    return judged;
  });
  ctx.events.emit(stored);
  return { receipt: stored, appraisal };
}

/** What the second clock has to look for, due at once. */
const planJobs = (ctx: BuyerContext, receipt: Receipt, delivery: Delivery, runAt: number): NewJob[] =>
  ctx.handlers.flatMap((handler) => {
    const planned = handler.plan(ctx, receipt, delivery);
    return planned === null ? [] : [{ kind: handler.kind, receiptId: receipt.id, runAt, ...planned }];
  });
