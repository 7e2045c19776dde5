import { termsHash } from "../evidence/payment-binding.ts";
import { evidenceFor } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import { findAsset, type Candidate } from "../market/choose.ts";
import { formatUnits } from "../chain/amounts.ts";
import { beforePaying } from "../payment/before-paying.ts";
import { echoFor } from "../payment/echo.ts";
import { markSent, markSigned } from "../payment/journal.ts";
import { refusalOfReserved, stillAtStake, type Wish } from "../payment/judge.ts";
import { deriveNonce, deriveSalt, paymentHeader, planPayment } from "../payment/plan.ts";
import type { SellerLimits } from "../payment/policy.ts";
import { reserve } from "../payment/reserve.ts";
import type { PurchaseRecord, Transition, WireRequest } from "../payment/types.ts";
import { listedPriceSchema } from "../receipts/core-schema.ts";
import type { ListedPrice, Payment } from "../receipts/schema.ts";
import type { Seller } from "../market/types.ts";
import { refused, type Call } from "./call.ts";
import { fromChannel } from "./channel.ts";
import { requestOf, type Chosen } from "./choose.ts";
import type { BuyerContext } from "./context.ts";
import { deliver } from "./deliver.ts";
import { requireUnpaid } from "./paid-elsewhere.ts";
import { afterRefusal, askedTooMuch } from "./payment-refused.ts";
import type { Paying, Turn } from "./turn.ts";
import { maxAmountOf } from "./quote.ts";
import { sendPayment } from "./send.ts";

/** Steps 4 and 6 to 8: plans, reserves, signs, sends, and judges and stores what comes back. */
export const payOnce = (ctx: BuyerContext, call: Call, chosen: Chosen, attempt: number): Promise<Turn> =>
  planned(ctx, call, chosen, attempt, async (payment, request) => {
    const { candidate, attested, quote } = chosen;
    const wish = wishOf(ctx, call, candidate.seller, payment, quote.maxAmount);
    const purchase = await reserveOffer(ctx, call, { chosen, attempt, wish, request });
    const amount = `${formatUnits(payment.amount, quote.asset.decimals)} ${quote.asset.symbol}`;
    call.progress("reserved", `${amount} reserved under the policy; idempotency key ${call.key}`);
    return exchange(ctx, call, { candidate, attested, purchase, quote, failure: null }, (tx) =>
      refusalOfReserved(tx, wish, purchase),
    );
  });

/**
 * Signs, sends, and delivers what comes back. The journal knows of the signature before it is made and of the sending before
 * it begins. The same purchase is always signed the same (deterministic nonce and times), so that sending again pays nothing
 * twice.
 */
export async function exchange(
  ctx: BuyerContext,
  call: Call,
  paying: Paying,
  consent?: Parameters<typeof markSigned>[2]["consent"],
): Promise<Turn> {
  const { purchase, failure: replaces } = paying;
  const { payment, accepted, request } = purchase;
  call.goOn();
  const now = ctx.clock();
  await ensure(markSigned(ctx.db, purchase.id, { now, replaces, ...(consent === undefined ? {} : { consent }) }));
  const signature = await call.wallet.signAuthorization(payment, purchase.offer);
  const { paymentResource: resource, paymentExtensions: extensions } = request;
  const header = paymentHeader({ payment, accepted, signature, resource, extensions });
  call.goOn();
  await ensure(markSent(ctx.db, purchase.id, { now: ctx.clock(), replaces, signature }));
  call.commit();
  call.progress("paid", "authorization sent with the request");
  const received = await sendPayment(ctx, paying, header);
  if (received.status === 402) return afterRefusal(ctx, call, paying, { received, header });
  call.progress("answered", "answer received");
  return deliver(ctx, call, paying, received);
}

/**
 * Plans the payment of a quote, builds the request that carries the hash of its terms, and runs `pay` with both: for a
 * voucher, while no other purchase is granted from its channel.
 */
async function planned(
  ctx: BuyerContext,
  call: Call,
  { candidate, quote }: Chosen,
  attempt: number,
  pay: (payment: Payment, wire: WireRequest) => Promise<Turn>,
): Promise<Turn> {
  const { offer, asset } = quote;
  const salt = deriveSalt(ctx.nonceSecret, call.key, attempt);
  const payFor = (authorization: Payment): Promise<Turn> => {
    const payment = { ...authorization, salt };
    const nonce = termsHash({ offer, listedPrice: listedPriceOf(candidate), payment });
    return pay(payment, requestOf(call, candidate, nonce));
  };
  const chain = ctx.chains.get(offer.network);
  const chainTime =
    chain === undefined ? undefined : await beforePaying({ db: ctx.db, chain, asset, now: ctx.clock() });
  const paid = await requireUnpaid(ctx, call, attempt);
  if (paid !== null) return paid;
  if (evidenceFor(offer)?.claimed === true) {
    return fromChannel(ctx, call, candidate, offer, payFor);
  }
  const authorization = planPayment({
    offer,
    payer: call.wallet.address,
    nonce: deriveNonce(ctx.nonceSecret, call.key, attempt),
    now: ctx.clock(),
    policy: ctx.config.payment,
    chainTime,
  });
  return payFor(authorization);
}

/** The listed price in the form that a receipt has for it: an answer that is paid for must not fail to be written. */
const listedPriceOf = ({ model }: Candidate): ListedPrice | null =>
  listedPriceSchema.safeParse(model.price).data ?? null;

/** Judges a payment that is in the journal and was not sent yet, in the transaction that lets it be signed. */
export function consentTo(
  ctx: BuyerContext,
  call: Call,
  { candidate, purchase }: Pick<Paying, "candidate" | "purchase">,
): NonNullable<Parameters<typeof markSigned>[2]["consent"]> {
  const { payment, offer } = purchase;
  const asset = findAsset(offer, ctx.config.payment.assets);
  const maxAmount = asset === undefined ? null : maxAmountOf(call, asset);
  const wish = wishOf(ctx, call, candidate.seller, payment, maxAmount);
  return (tx) => refusalOfReserved(tx, wish, purchase);
}

/** The payment as the policy of this moment judges it. */
function wishOf(ctx: BuyerContext, call: Call, seller: Seller, payment: Payment, maxAmount: bigint | null): Wish {
  const limits = seller.limits.find((one) => one.network === payment.network && one.asset === payment.asset);
  return {
    policy: ctx.config.payment,
    now: ctx.clock(),
    idempotencyKey: call.key,
    sellerId: seller.id,
    payment,
    ...(limits === undefined ? {} : { sellerLimits: limits satisfies SellerLimits }),
    ...(maxAmount === null ? {} : { maxAmount }),
  };
}

async function reserveOffer(
  ctx: BuyerContext,
  call: Call,
  job: { chosen: Chosen; attempt: number; wish: Wish; request: WireRequest },
): Promise<PurchaseRecord> {
  const { candidate, quote } = job.chosen;
  call.goOn();
  const result = await reserve(ctx.db, {
    ...job.wish,
    attempt: job.attempt,
    argsDigest: call.argsDigest,
    model: candidate.model.name,
    offer: quote.offer,
    accepted: quote.accepted,
    listedPrice: listedPriceOf(candidate),
    // The journal keeps what is sent back of the 402, so that a resend carries the same.
    request: { ...job.request, ...echoFor(quote.echo, ctx.nonceSecret, job.request) },
  });
  if (result.kind === "reserved") return result.purchase;
  if (result.kind === "refused") {
    const { refusal } = result;
    throw (await turnedDownBefore(ctx, call)) ? askedTooMuch(candidate.seller.id, refusal.code) : refused(refusal);
  }
  throw takenOver();
}

/** Whether a payment of this call is out already, which the seller turned down for another price. */
const turnedDownBefore = async (ctx: BuyerContext, call: Call): Promise<boolean> =>
  (await stillAtStake(ctx.db, call.key)) > 0n;

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
