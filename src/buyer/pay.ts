import { Proof402Error } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import { markSent, markSigned } from "../payment/journal.ts";
import { paymentHeader } from "../payment/plan.ts";
import { readPaymentResponse } from "../payment/offers.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import { answerOf } from "./answer.ts";
import { attestSeller, forgetAttestation, type Attested } from "./attest.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { noteCharged } from "./channel.ts";
import { receiptOf, storeDelivery } from "./deliver.ts";
import { afterSent } from "./in-doubt.ts";
import { quoteOf, type Quote } from "./quote.ts";
import { quoteKey } from "./quotes.ts";
import { send, type Received } from "./send.ts";
import type { BuyResult } from "./types.ts";

/** An answer and its receipt, or a fresh quote in place of one that had gone stale. */
export type PaymentOutcome = { kind: "delivered"; result: BuyResult } | { kind: "stale_quote"; quote: Quote };

/**
 * Steps 5 to 7: journal, sign, journal, send; then receipt. Resending a purchase that was sent before signs the very
 * same authorization (deterministic nonce and times), so a retry can never pay twice.
 */
export async function payAndReceive(
  ctx: BuyerContext,
  call: Call,
  job: { candidate: Candidate; attested: Attested; purchase: PurchaseRecord; quoteWasCached: boolean },
): Promise<PaymentOutcome> {
  const { candidate, purchase } = job;
  call.options.signal?.throwIfAborted();
  await ensure(markSigned(ctx.db, purchase.id, { now: ctx.clock() }));
  const signature = await call.wallet.signAuthorization(purchase.payment, purchase.offer);
  const { payment, accepted, request } = purchase;
  const header = paymentHeader({ payment, accepted, signature, extensions: request.paymentExtensions });
  await ensure(markSent(ctx.db, purchase.id, { now: ctx.clock() }));
  call.progress("paid", "authorization sent with the request");
  const received = await send(ctx, purchase.request, {
    paymentHeader: header,
    ...(call.options.signal === undefined ? {} : { signal: call.options.signal }),
  });
  if (received.status === 402) {
    ctx.quotes.drop(quoteKey(purchase.request));
    await noteCharged(ctx, payment, received);
    if (job.quoteWasCached) {
      // Of the same asset only: the turned-down payment goes on counting, and both are held to one bound.
      const same = ctx.config.payment.assets.filter(
        ({ network, asset }) => network === payment.network && asset === payment.asset,
      );
      const quote = await afterSent(() => quoteOf(ctx, call, candidate, purchase.request, received, same));
      return { kind: "stale_quote", quote };
    }
  }
  if (received.status !== 200) throw rejected(candidate, received);
  call.progress("answered", "answer received");
  return { kind: "delivered", result: await deliver(ctx, call, job, received) };
}

async function deliver(
  ctx: BuyerContext,
  call: Call,
  { candidate, attested, purchase }: { candidate: Candidate; attested: Attested; purchase: PurchaseRecord },
  received: Received,
): Promise<BuyResult> {
  const provider = ctx.providerOf(candidate.seller);
  const signature = provider.responseEvidence(received.headers);
  const vouching = await attestedFor(ctx, call, candidate, attested, signature?.teeId);
  const receipt = receiptOf({
    candidate,
    purchase,
    attested: vouching,
    received: { ...received, sentAt: firstSentAt(purchase, received) },
    signature,
  });
  const transaction = readPaymentResponse(received.headers)?.transaction;
  const stored = await storeDelivery(ctx, receipt, purchase.id, {
    assurance: call.assurance,
    ...(transaction === undefined ? {} : { transaction }),
  });
  call.progress("verified", `fast clock: ${stored.appraisal.verdict}`);
  ctx.wakeSecondClock();
  return { answer: answerOf(ctx, stored.receipt), receipt: stored.receipt, appraisal: stored.appraisal, paidNow: true };
}

/** A request sent again may be answered, and paid on chain, as of the first time it went out. */
function firstSentAt({ state, createdAt, updatedAt }: PurchaseRecord, { sentAt }: Received): Date {
  if (state === "sent") return new Date(updatedAt);
  // Since it was settled the journal says when that was; before it was reserved the request cannot have gone out.
  return state === "settled" ? new Date(createdAt) : sentAt;
}

/**
 * The attestation that speaks for the key which signed. A seller that restarted since it was attested signs with a new
 * key: it is attested anew, and only if that binds the new key does it count. Otherwise the old one stands, and fails.
 */
async function attestedFor(
  ctx: BuyerContext,
  call: Call,
  candidate: Candidate,
  attested: Attested,
  signedBy: string | undefined,
): Promise<Attested> {
  if (signedBy === undefined || attested.keyId === null || signedBy === attested.keyId) return attested;
  await forgetAttestation(ctx, candidate.seller.id);
  const anew = await attestSeller(ctx, candidate, call.assurance).catch(() => null);
  return anew?.keyId === signedBy ? anew : attested;
}

function rejected(candidate: Candidate, received: Received): Proof402Error {
  const settled = readPaymentResponse(received.headers);
  return new Proof402Error(
    received.status === 402 ? "payment_rejected" : "seller_error",
    `Seller "${candidate.seller.id}" answered ${received.status} to a paid request.`,
    {
      money: "may-move",
      next: "The signed amount stays reserved until the authorization is used or expires; `spending` shows it. Choose another seller.",
      details: { status: received.status, sellerSaysSettled: settled?.success ?? null },
    },
  );
}

/** A refused journal transition means that another process moved the purchase: stop before anything is signed or sent. */
async function ensure(transition: Promise<{ ok: boolean }>): Promise<void> {
  const { ok } = await transition;
  if (ok) return;
  throw new Proof402Error("call_in_progress", "Another process took over this purchase.", {
    money: "may-move",
    next: "Call again with the same idempotency key in a moment to get its result.",
  });
}
