import { bytesOf, hashesOf, textOfBytes } from "../evidence/body.ts";
import { fallbackIn } from "../evidence/fallback.ts";
import { Proof402Error } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import { originOf } from "../market/places.ts";
import { grantVoucher } from "../payment/channel-books.ts";
import { isFromChannel } from "../payment/channels.ts";
import { markAnswered, markServed, readPurchase } from "../payment/journal.ts";
import { readPaymentResponse } from "../payment/offers.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { createReceipt } from "../receipts/receipt.ts";
import type { Appraisal, Receipt, ReceiptCore } from "../receipts/schema.ts";
import { addReceipt, readReceipt } from "../receipts/store.ts";
import { isAnswer, isCut, isEmpty, isServed, transferOf } from "../receipts/transfer.ts";
import { immediate } from "../storage/migrations.ts";
import { deliveredAnswer } from "./answer.ts";
import { SPENT, type Chance } from "./chance.ts";
import { attestSeller, forgetAttestation, type Attested } from "./attest.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { holdForReceipt, liftIfServed } from "./holds.ts";
import type { Delivery } from "./background/jobs/types.ts";
import { judgeReceipt } from "./judge.ts";
import { noteShare } from "./share-answer.ts";
import type { Paying } from "./turn.ts";
import type { NewJob } from "./background/queue.ts";
import type { Received } from "./send.ts";
import type { BuyResult } from "./types.ts";
import { withheldFrom } from "./withheld.ts";

/** How long a locked database is waited for once an answer is paid for, ms; each try has its own patience on top. */
const STORE_MS = 60_000;

/**
 * A seller's own failure, its wish to be asked later, or a redirect, which is followed nowhere: no answer to what was
 * asked. The same payment may still bring one. (RFC 9110 §15.4, §15.6; 408, 425 and 429 likewise.)
 */
const isFailure = (status: number): boolean => status >= 500 || isRedirect(status) || [408, 425, 429].includes(status);
const isRedirect = (status: number): boolean => status >= 300 && status <= 399;

/** Whether the same payment may still bring the answer that a receipt does not hold, or all of it. */
export const isOwed = ({ core }: Receipt): boolean => isFailure(core.response.status) || isCut(core) || isEmpty(core);

/**
 * Makes every answer to a paid request a receipt, in any form, judges it on the fast clock and stores it. Throws as
 * {@link resultOf}; the receipt is stored all the same.
 */
export async function deliver(ctx: BuyerContext, call: Call, paying: Paying, received: Received): Promise<BuyResult> {
  const { candidate, purchase } = paying;
  const signature = ctx.providerOf(candidate.seller).responseEvidence(received.headers, received.body);
  const attested = await attestedFor(
    ctx,
    call,
    paying,
    signature !== null && "teeId" in signature ? signature.teeId : undefined,
  );
  const receipt = receiptOf({
    candidate,
    purchase,
    attested,
    received: { ...received, sentAt: firstSentAt(purchase, received) },
    signature,
  });
  const transaction = readPaymentResponse(received.headers)?.transaction;
  const delivery = { ...(transaction === undefined ? {} : { transaction }), headers: received.headers };
  const kept = await keep(ctx, call, paying, receipt, delivery);
  call.progress("checked", `immediate checks: the verdict is ${newestAppraisal(kept.receipt).verdict}`);
  ctx.wakeSecondClock();
  return resultOf(ctx, call, kept.receipt, { paidNow: isPaidNow(paying), stored: kept.stored });
}

/** As its purchase was when this call took it: one that had been sent before was paid by an earlier call. */
const isPaidNow = ({ purchase: { state } }: Paying): boolean => state === "reserved" || state === "signed";

/**
 * The answer that another process stored for this payment while this one had none, or null. Throws as {@link resultOf}.
 */
export async function answeredMeanwhile(ctx: BuyerContext, call: Call, paying: Paying): Promise<BuyResult | null> {
  const receipt = await storedFor(ctx, paying).catch(() => null);
  if (receipt === null || !isServed(receipt.core)) return null;
  return resultOf(ctx, call, receipt, { paidNow: isPaidNow(paying), stored: true });
}

/**
 * What the caller gets for a stored receipt. Throws Proof402Error `seller_error` or `seller_refused` for a status that
 * is not 2xx, `seller_error` for an answer with nothing in it, `answer_cut` for the beginning of an answer, and as
 * `deliveredAnswer` does.
 */
export function resultOf(
  ctx: BuyerContext,
  call: Call,
  receipt: Receipt,
  { paidNow, stored, payment = "open" }: Pick<BuyResult, "paidNow" | "stored"> & { payment?: Chance },
): BuyResult {
  if (!isAnswer(receipt.core) || isCut(receipt.core) || isEmpty(receipt.core))
    throw notTheAnswer(receipt, { stored, payment });
  const appraisal = newestAppraisal(receipt);
  return {
    ...deliveredAnswer(receipt),
    verdict: appraisal.verdict,
    receipt,
    appraisal,
    paidNow,
    stored,
    idempotencyKey: call.key,
  };
}

/** Why a receipt holds no answer, or not all of one, and what the same payment can still bring. */
function notTheAnswer({ id, core }: Receipt, { stored, payment }: { stored: boolean; payment: Chance }): Proof402Error {
  const spent = SPENT[payment === "open" && core.payment.share !== undefined ? "undecided" : payment];
  const { status } = core.response;
  const { cut = null } = transferOf(core) ?? {};
  const seller = `Seller "${core.seller.id}"`;
  const kept = stored ? `receipt ${id} holds what` : "the database could not take the receipt of what";
  const details = { status, receiptId: stored ? id : null };
  if (isAnswer(core) && cut !== null) {
    return new Proof402Error("answer_cut", `${seller} was paid and answered ${CUT_WORDS[cut]}; ${kept} came of it.`, {
      next: spent ?? `${cut === "too_large" ? RAISE : ""}${AGAIN}`,
      details: { ...details, cut },
    });
  }
  const empty = isEmpty(core);
  const what = isRedirect(status)
    ? `${status}, a redirect that is followed nowhere,`
    : empty
      ? `${status} and nothing`
      : status;
  const fails = isFailure(status) || empty;
  return new Proof402Error(
    fails ? "seller_error" : "seller_refused",
    `${seller} answered ${what} to a paid request; ${kept} it said.`,
    {
      next: spent ?? (fails ? AGAIN : "Look at the receipt. A call under a new key would be paid again."),
      details,
    },
  );
}

const CUT_WORDS = {
  too_large: "with more bytes than http.maxResponseBytes lets in",
  too_slow: "too slowly to be waited for to the end",
  broken_off: "until the connection broke",
} as const;
const AGAIN = "Call again with the same idempotency key: the seller is asked again with the same payment.";
const RAISE = "Asking again helps once the owner has raised http.maxResponseBytes. ";

type Kept = { receipt: Receipt; stored: boolean };

/**
 * Stores receipt, appraisal, journal state, the second clock's jobs and the seller's hold, all in one transaction. A
 * locked database is waited for. One that cannot be written costs the copy in it, and never the answer. Where another
 * process stored an answer meanwhile, that one stays, unless only this one served.
 */
async function keep(
  ctx: BuyerContext,
  call: Call,
  paying: Paying,
  receipt: Receipt,
  { headers, ...delivery }: Delivery & Pick<Received, "headers">,
): Promise<Kept> {
  const jobs = planJobs(ctx, receipt, delivery, ctx.clock().getTime());
  const appraisal = await judgeReceipt(ctx, receipt, {
    assurance: call.assurance,
    own: [],
    jobs: jobs.map(({ kind }) => ({ kind, done: false, absent: null })),
  });
  const deadline = performance.now() + STORE_MS;
  let { failure } = paying;
  for (;;) {
    try {
      const stored = await immediate(ctx.db, (tx) =>
        store({ ...ctx, db: tx }, { ...paying, failure }, receipt, { appraisal, jobs, headers }),
      );
      ctx.events.emit(stored);
      return { receipt: stored, stored: true };
    } catch (error) {
      if (error instanceof AnsweredBefore) {
        const before = await storedFor(ctx, paying);
        if (before === null) throw takenOver();
        if (isServed(before.core) || !isServed(receipt.core)) return { receipt: before, stored: true };
        failure = before.id;
        continue;
      }
      const code = Proof402Error.isInstance(error) ? error.code : undefined;
      if (code === "database_unreachable") {
        // It may have been written all the same.
        const before = await storedFor(ctx, paying).catch(() => null);
        if (before?.id === receipt.id) return { receipt: before, stored: true };
      }
      const passes = code === "database_busy" || code === "database_unreachable";
      if (passes && performance.now() <= deadline) continue;
      if (isServed(receipt.core)) await markServed(ctx.db, paying.purchase.id, ctx.clock()).catch(() => undefined);
      return { receipt: { ...receipt, appraisals: [appraisal] }, stored: false };
    }
  }
}

/** Rolls the transaction back: the purchase has its receipt already. */
class AnsweredBefore extends Error {}

async function store(
  ctx: BuyerContext,
  paying: Paying,
  receipt: Receipt,
  { appraisal, jobs, headers }: { appraisal: Appraisal; jobs: readonly NewJob[]; headers: Received["headers"] },
): Promise<Receipt> {
  const { db: tx } = ctx;
  const { candidate, purchase, failure } = paying;
  const now = ctx.clock();
  const { payment } = receipt.core;
  const served = isServed(receipt.core);
  const marked = await markAnswered(tx, purchase.id, { receiptId: receipt.id, served, replaces: failure, now });
  if (!marked.ok) throw new AnsweredBefore();
  const judged = await addReceipt(tx, receipt, appraisal, now);
  // What is not served takes nothing of a channel; a seller that took it all the same shows the voucher later.
  if (isFromChannel(payment) && served) await grantVoucher(tx, purchase.id, payment, now);
  if (served) await noteShare(ctx, paying, receipt, headers);
  await ctx.queue.add(tx, jobs);
  await liftIfServed(tx, candidate.seller.id, now.getTime());
  await holdForReceipt(tx, judged, now.getTime(), withheldFrom(candidate.seller, judged));
  return judged;
}

/** The receipt that is stored for this purchase, or null. */
async function storedFor(ctx: BuyerContext, { purchase }: Paying): Promise<Receipt | null> {
  const receiptId = (await readPurchase(ctx.db, purchase.id))?.receiptId ?? null;
  return receiptId === null ? null : readReceipt(ctx.db, receiptId);
}

const takenOver = (): Proof402Error =>
  new Proof402Error("call_in_progress", "Another process took over this purchase.", {
    next: "Call again with the same idempotency key in a moment to get its result.",
  });

/** Builds the receipt of an answer from the exact bytes sent and received. */
function receiptOf(options: {
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
      origin: originOf(candidate.seller),
      keyId: attested.keyId,
    },
    request: {
      method: purchase.request.method,
      path: purchase.request.path,
      model: purchase.model,
      nonce: purchase.request.nonce,
      sentAt: received.sentAt.toISOString(),
      ...hashesOf(bytesOf(purchase.request.body)),
      body: purchase.request.body,
    },
    response: {
      status: received.status,
      receivedAt: received.receivedAt.toISOString(),
      ...hashesOf(received.body),
      body: textOfBytes(received.body),
    },
    offer: purchase.offer,
    payment: purchase.payment,
    ...(purchase.payment.salt === undefined ? {} : { listedPrice: purchase.listedPrice }),
    evidence: [
      ...attested.evidence.filter(({ kind }) => kind !== "tls.peer"),
      ...connectionOf(received),
      ...(signature === null ? [] : [signature]),
    ],
  });
}

/** Whose the connection was that the payment went out on, how the answer came on it, and which model it is said to be of. */
const connectionOf = ({ certificateSha256, coding, cut, headers }: Received): ReceiptCore["evidence"] => [
  ...(certificateSha256 === null ? [] : [{ kind: "tls.peer" as const, certificateSha256 }]),
  ...(coding === null && cut === null ? [] : [{ kind: "transfer.http" as const, coding, cut }]),
  ...[fallbackIn(headers)].flatMap((one) => (one === null ? [] : [{ kind: "served.fallback" as const, ...one }])),
];

/** A request sent again may be answered, and paid on chain, as of the first time it went out. */
function firstSentAt({ state, createdAt, updatedAt }: PurchaseRecord, { sentAt }: Received): Date {
  if (state === "sent") return new Date(updatedAt);
  // Since it was settled the journal says when that was; before it was reserved the request cannot have gone out.
  return state === "settled" || state === "answered" ? new Date(createdAt) : sentAt;
}

/**
 * The attestation that speaks for the key which signed. A seller that restarted since it was attested signs with a new
 * key: it is attested again, and only if that binds the new key does it count. Otherwise the old one stands, and fails.
 */
async function attestedFor(
  ctx: BuyerContext,
  call: Call,
  { candidate, attested }: Paying,
  signedBy: string | undefined,
): Promise<Attested> {
  if (signedBy === undefined || attested.keyId === null || signedBy === attested.keyId) return attested;
  try {
    await forgetAttestation(ctx, candidate.seller.id);
    const again = await attestSeller(ctx, candidate, call.assurance);
    return again.keyId === signedBy ? again : attested;
  } catch {
    return attested;
  }
}

/** What the second clock has to look for, due at once. */
const planJobs = (ctx: BuyerContext, receipt: Receipt, delivery: Delivery, runAt: number): NewJob[] =>
  ctx.handlers.flatMap((handler) => {
    const planned = handler.plan(ctx, receipt, delivery);
    return planned === null ? [] : [{ kind: handler.kind, receiptId: receipt.id, runAt, ...planned }];
  });
