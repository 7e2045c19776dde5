import { moneyText } from "../chain/money-text.ts";
import { isLaterShare, termsHash } from "../evidence/payment-binding.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import { findAsset } from "../payment/policy.ts";
import { echoFor } from "../payment/echo.ts";
import type { Funds } from "../payment/funds.ts";
import { markSent, markSigned } from "../payment/journal.ts";
import { refusalOfReserved, type Wish } from "../payment/judge.ts";
import { paymentHeaders } from "../payment/plan.ts";
import { reserve } from "../payment/reserve.ts";
import type { PurchaseRecord, Transition, WireRequest } from "../payment/types.ts";
import { listedPriceSchema } from "../receipts/core-schema.ts";
import type { ListedPrice, Payment } from "../receipts/schema.ts";
import { payerKeyOf } from "../verify/layers/payment.ts";
import { approve } from "./approve.ts";
import { refused, type Call } from "./call.ts";
import { withLock } from "./call-lease.ts";
import { reopen } from "./calls.ts";
import { withChannelOf } from "./channel.ts";
import { chooseAndQuote, requestOf, type Chosen } from "./choose.ts";
import type { BuyerContext } from "./context.ts";
import { answeredMeanwhile, deliver } from "./deliver.ts";
import { fundsFor } from "./funds.ts";
import { requireUnpaid } from "./paid-elsewhere.ts";
import { afterRefusal, askedTooMuch, notServed } from "./payment-refused.ts";
import { chainTimeOf, withPlan } from "./plan.ts";
import { maxAmountOf } from "./quote.ts";
import { openAgain, takeUp } from "./resume.ts";
import type { PaymentHeaders } from "../market/carriers/carrier.ts";
import { sendPayment } from "./send.ts";
import { requireUnsent, shownFor, withoutShown } from "./share.ts";
import { shareFor } from "./sharing.ts";
import type { Paying, Turn } from "./turn.ts";
import type { BuyResult } from "./types.ts";

/**
 * One purchase from its beginning to its end (docs/architecture.md §4): takes up what the journal knows of the call, then
 * pays attempt by attempt until one has a result. Throws Proof402Error.
 */
export const purchase = (ctx: BuyerContext, call: Call): Promise<BuyResult> =>
  withLock(ctx, call.key, call.signal, async () => {
    await reopen(ctx, call.key);
    let turn = await takeUp(ctx, call);
    while (turn.kind !== "result") {
      call.goOn();
      turn = turn.kind === "pay" ? await pay(ctx, call, turn) : await payAgain(ctx, call, turn);
    }
    return turn.result;
  });

/** One attempt under a new authorization: steps 1 to 8. */
async function pay(ctx: BuyerContext, call: Call, turn: Extract<Turn, { kind: "pay" }>): Promise<Turn> {
  // After a commit the exchange goes on without its caller. Another authorization is nothing that a caller who left wants.
  call.requireCaller();
  const { attempt } = turn;
  const chosen = await approved(ctx, call, turn, turn.chosen ?? (await choose(ctx, call, turn)));
  const { candidate, attested, quote } = chosen;
  const share = await shareOf(ctx, call, chosen, attempt);
  const knownTime = share === null ? await chainTimeOf(ctx, chosen) : null;
  const paid = await requireUnpaid(ctx, call, attempt);
  if (paid !== null) return paid;
  if (share !== null) {
    const request = build(ctx, call, chosen, share);
    const reserved = await reserveOffer(ctx, call, { chosen, turn, payment: share, request, funds: null });
    if (reserved !== null)
      return exchange(ctx, call, { candidate, attested, purchase: reserved, quote, failure: null });
  }
  const chainTime = knownTime === null ? await chainTimeOf(ctx, chosen) : knownTime;
  return withPlan(ctx, call, chosen, { attempt, chainTime }, async (payment) => {
    const request = build(ctx, call, chosen, payment);
    const funds = await fundsFor(ctx, call, quote);
    const reserved = await reserveOffer(ctx, call, { chosen, turn, payment, request, funds });
    if (reserved === null) throw takenOver();
    return exchange(ctx, call, { candidate, attested, purchase: reserved, quote, failure: null });
  });
}

/**
 * The choice, with a person's yes where the policy wants one. Hold, attestation, quote and funds may be others by the time
 * of the answer: they are judged again, and a yes to one offer is none to another.
 */
async function approved(
  ctx: BuyerContext,
  call: Call,
  turn: Extract<Turn, { kind: "pay" }>,
  first: Chosen,
): Promise<Chosen> {
  let chosen = first;
  while (await approve(ctx, call, chosen, turn)) {
    call.requireCaller();
    const { candidate, quote } = chosen;
    chosen = await choose(ctx, call, turn, candidate.seller.id);
    if (chosen.quote.offer.offerHash === quote.offer.offerHash)
      return { ...chosen, quote: { ...chosen.quote, cached: quote.cached && chosen.quote.cached } };
  }
  return chosen;
}

/** The very same authorization once more. Its errors are told of a moved payment, too. */
async function payAgain(ctx: BuyerContext, call: Call, turn: Extract<Turn, { kind: "again" }>): Promise<Turn> {
  const { state, sellerId, transaction, answeredAt } = turn.purchase;
  try {
    const paying = await openAgain(ctx, call, turn);
    const next = await withChannelOf(ctx, call, turn.purchase.payment, () => exchange(ctx, call, paying));
    if (next.kind === "result" || answeredAt === null) return next;
  } catch (error) {
    if (!Proof402Error.isInstance(error) || OF_ANOTHER_CAUSE.includes(error.code)) throw error;
    if (answeredAt !== null) throw handedOver(turn.purchase, error);
    if (state !== "settled") throw error;
    throw notServed(sellerId, transaction, error);
  }
  throw handedOver(turn.purchase);
}

/** Errors that say nothing of an unserved payment: the seller did serve, if not well, or the call ended on this side. */
const OF_ANOTHER_CAUSE: readonly ErrorCode[] = [
  "aborted",
  "answer_cut",
  "answer_unfinished",
  "malformed_answer",
  // Another process makes the call and may have the answer by now.
  "call_in_progress",
];

/** The seller served this payment once: it owes nothing, and nothing more is paid. */
const handedOver = ({ sellerId, transaction }: PurchaseRecord, cause?: Proof402Error): Proof402Error =>
  new Proof402Error(
    "answer_not_kept",
    `Seller "${sellerId}" answered this call, and the answer was handed over. The database took no copy, and none came now.`,
    {
      next: "The seller owes nothing. Nothing more is paid under this key; calling again asks the seller for a copy once more.",
      details: { transaction, ...(cause === undefined ? {} : { reason: cause.code }) },
      cause,
    },
  );

/**
 * Signs, sends, receives, and delivers what comes back. The journal knows of the signature before it is made and of the
 * sending before it begins. The same purchase is always signed the same (deterministic nonce and times), so that sending
 * again pays nothing twice.
 */
async function exchange(ctx: BuyerContext, call: Call, paying: Paying): Promise<Turn> {
  const { candidate, purchase: reserved, failure: replaces } = paying;
  const { id, payment, accepted, request } = reserved;
  call.goOn();
  requireUnsent(reserved);
  const shown = isLaterShare(payment) ? await shownFor(ctx, paying) : null;
  if (isLaterShare(payment) && shown === null) return withoutShown(ctx, paying);
  const now = ctx.clock();
  const wish = wishOf(ctx, call, { candidate, payment, now });
  const consent = (tx: BuyerContext["db"]): ReturnType<typeof refusalOfReserved> =>
    refusalOfReserved(tx, wish, reserved);
  await ensure(markSigned(ctx.db, id, { now, replaces, consent }));
  const signature = shown?.signature ?? (await call.wallet.signAuthorization(payment, reserved.offer));
  const { paymentResource: resource, paymentExtensions: extensions } = request;
  const headers = shown?.headers ?? paymentHeaders({ payment, accepted, signature, resource, extensions });
  call.goOn();
  await ensure(markSent(ctx.db, id, { now: ctx.clock(), replaces, signature, isShared: payment.share !== undefined }));
  call.commit();
  call.progress("paid", shown === null ? "authorization sent with the request" : "sent on an earlier authorization");
  const after = await answerTo(ctx, call, paying, { headers, signature }).catch(async (error: unknown) => {
    // Another process may have taken the call over while the seller kept this one waiting.
    const result = await answeredMeanwhile(ctx, call, paying);
    if (result === null) throw error;
    return { kind: "result" as const, result };
  });
  if (after.kind !== "answered") return after;
  call.progress("answered", "answer received");
  return { kind: "result", result: await deliver(ctx, call, paying, after.received) };
}

/** Sends the payment: its answer, or the attempt that takes its place. */
async function answerTo(
  ctx: BuyerContext,
  call: Call,
  paying: Paying,
  { headers, signature }: { headers: PaymentHeaders; signature: string },
): ReturnType<typeof afterRefusal> {
  const { payment } = paying.purchase;
  const sending = sendPayment(ctx, paying, headers, call.parts);
  // The receipt will be judged by it. Checking takes milliseconds, in which the seller works.
  setImmediate(() => ctx.session.isSignedBy(signature, payment.authorizationHash, payerKeyOf(payment)));
  const received = await sending;
  return received.status === 402
    ? afterRefusal(ctx, call, paying, { received, headers })
    : { kind: "answered", received };
}

const choose = (
  ctx: BuyerContext,
  call: Call,
  { attempt, turnedDownBy }: Extract<Turn, { kind: "pay" }>,
  seller?: string,
): Promise<Chosen> =>
  chooseAndQuote(ctx, call, attempt, seller).catch(async (error: unknown) => {
    if (turnedDownBy === undefined || !Proof402Error.isInstance(error) || error.code === "aborted") throw error;
    throw await askedTooMuch(ctx, call, turnedDownBy, error.code);
  });

/** The payment of a call that goes on an open authorization, or null. Its request goes where any of this input goes. */
const shareOf = (ctx: BuyerContext, call: Call, chosen: Chosen, attempt: number): Promise<Payment | null> => {
  const { candidate } = chosen;
  if (candidate.seller.sharedAuthorization === undefined) return Promise.resolve(null);
  return shareFor(
    ctx,
    call,
    { ...chosen, request: requestOf(ctx, call, candidate, { nonce: "0".repeat(64), sent: "paid" }) },
    attempt,
  );
};

/** The request that carries the hash of its payment's terms. */
const build = (ctx: BuyerContext, call: Call, { candidate, quote: { offer } }: Chosen, payment: Payment): WireRequest =>
  requestOf(ctx, call, candidate, {
    nonce: termsHash({ offer, listedPrice: listedPriceOf(candidate), payment }),
    sent: "paid",
  });

/** The listed price in the form that a receipt has for it: an answer that is paid for must not fail to be written. */
const listedPriceOf = ({ model }: Candidate): ListedPrice | null =>
  listedPriceSchema.safeParse(model.price).data ?? null;

/** The payment as the policy of this moment judges it. */
function wishOf(
  ctx: BuyerContext,
  call: Call,
  { candidate: { seller }, payment, now }: { candidate: Candidate; payment: Payment; now: Date },
): Wish {
  const { network, asset } = payment;
  const known = findAsset(payment, ctx.config.payment.assets);
  const maxAmount = known && maxAmountOf(call, known);
  const sellerLimits = seller.limits.find((one) => one.network === network && one.asset === asset);
  return {
    policy: ctx.config.payment,
    now,
    idempotencyKey: call.key,
    sellerId: seller.id,
    payment,
    sellerLimits,
    maxAmount: maxAmount ?? undefined,
    client: call.request.client,
  };
}

async function reserveOffer(
  ctx: BuyerContext,
  call: Call,
  job: {
    chosen: Chosen;
    turn: Extract<Turn, { kind: "pay" }>;
    payment: Payment;
    request: WireRequest;
    funds: Funds | null;
  },
): Promise<PurchaseRecord | null> {
  const { chosen, turn, payment, request, funds } = job;
  const { candidate, quote } = chosen;
  call.requireCaller();
  const result = await reserve(ctx.db, {
    ...wishOf(ctx, call, { candidate, payment, now: ctx.clock() }),
    funds,
    attempt: turn.attempt,
    argsDigest: call.argsDigest,
    model: candidate.model.name,
    offer: quote.offer,
    accepted: quote.accepted,
    listedPrice: listedPriceOf(candidate),
    // The journal keeps what is sent back of the 402, so that a resend carries the same.
    request: { ...request, ...echoFor(quote.echo, ctx.nonceSecret, request) },
  });
  if (result.kind === "refused") {
    const { refusal } = result;
    // Another call took the last place: this one signs for itself.
    if (refusal.code === "authorization_used_up") return null;
    throw turn.turnedDownBy === undefined
      ? refused(refusal)
      : await askedTooMuch(ctx, call, turn.turnedDownBy, refusal.code);
  }
  if (result.kind !== "reserved") throw takenOver();
  const amount = moneyText(payment.amount, quote.asset);
  const what = isLaterShare(payment) ? `no more than the ${amount} that an earlier call` : amount;
  call.progress("reserved", `${what} reserved under the policy; idempotency key ${call.key}`);
  return result.purchase;
}

/** A refused journal transition: the policy forbids it now, or another process moved the purchase. Nothing more is signed or sent. */
async function ensure(transition: Promise<Transition>): Promise<void> {
  const result = await transition;
  if (result.ok) return;
  throw result.code === "refused" ? refused(result.refusal) : takenOver();
}

const takenOver = (): Proof402Error =>
  new Proof402Error("call_in_progress", "Another process is making the call with this idempotency key.", {
    next: "Call again with the same key in a moment to get its result.",
  });
