import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { paymentMethodOf } from "../evidence/payment-method.ts";
import { requestNonceOf } from "../evidence/payment-binding.ts";
import { Proof402Error } from "../errors.ts";
import { chooseCandidate, type Candidate } from "../market/choose.ts";
import { identifierExtension } from "../payment/identifier.ts";
import { readHoldings } from "../payment/allowance.ts";
import { formatUnits } from "../payment/amounts.ts";
import { deriveNonce, planPayment } from "../payment/plan.ts";
import { reserve } from "../payment/reserve.ts";
import type { PurchaseRecord, WireRequest } from "../payment/types.ts";
import type { Payment } from "../receipts/schema.ts";
import { attestSeller, type Attested } from "./attest.ts";
import { holdingCall } from "./call-lease.ts";
import { openCall, refused, type Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { readHolds } from "./holds.ts";
import { fromChannel } from "./channel.ts";
import { afterSent } from "./in-doubt.ts";
import { payAndReceive } from "./pay.ts";
import { obtainQuote, type Quote } from "./quote.ts";
import { resume } from "./resume.ts";
import type { BuyOptions, BuyRequest, BuyResult, NeedInput } from "./types.ts";

/** The flow of one purchase (DESIGN §4, steps 1 to 7). Throws Proof402Error. */
export async function purchase(
  ctx: BuyerContext,
  request: BuyRequest,
  options: BuyOptions,
): Promise<BuyResult | NeedInput> {
  const call = openCall(ctx, request, options);
  return holdingCall(ctx, request.idempotencyKey, options.signal, async () => {
    const resumed = await resume(ctx, call);
    return resumed.kind === "result" ? resumed.result : firstPayment(ctx, call, resumed.attempt);
  });
}

/** Steps 1 to 4 for a call that has no usable authorization yet, then pays. */
async function firstPayment(ctx: BuyerContext, call: Call, attempt: number): Promise<BuyResult | NeedInput> {
  const { candidate, attested } = await chooseAndAttest(ctx, call);
  const wire = wireOf(ctx, call, candidate, attempt);
  const quote = await obtainQuote(ctx, call, candidate, wire);
  call.progress("quoted", `price ${quote.offer.amount} base units of ${quote.asset.symbol}`);
  return payQuote(ctx, call, { candidate, attested, wire, quote, attempt });
}

/** The authorization nonce of an attempt, and the request that carries its hash: each attempt has bytes of its own. */
const nonceOf = (ctx: BuyerContext, call: Call, attempt: number): string =>
  deriveNonce(ctx.nonceSecret, call.request.idempotencyKey, attempt);

const wireOf = (ctx: BuyerContext, call: Call, { seller, model }: Candidate, attempt: number): WireRequest =>
  ctx.providerOf(seller).buildRequest(seller, model, call.request.input, requestNonceOf(nonceOf(ctx, call, attempt)));

/** Steps 1 and 2. */
async function chooseAndAttest(ctx: BuyerContext, call: Call): Promise<{ candidate: Candidate; attested: Attested }> {
  const { request, options, assurance } = call;
  const candidate = chooseCandidate({
    listings: await ctx.catalog.listings(options.signal === undefined ? {} : { signal: options.signal }),
    holds: await readHolds(ctx.db),
    assets: ctx.config.payment.assets,
    model: request.model,
    assurance,
    ...(request.seller === undefined ? {} : { seller: request.seller }),
  });
  call.progress("chosen", `seller ${candidate.seller.id}`);
  const attested = await attestSeller(ctx, candidate, assurance, options.signal);
  call.progress(
    "attested",
    attested.keyId === null ? "seller gives no attestation" : "platform, code, key and model checked",
  );
  return { candidate, attested };
}

/** Step 4 (policy, approval, reservation), then step 5. A quote from the cache that proves stale earns one fresh one. */
async function payQuote(
  ctx: BuyerContext,
  call: Call,
  job: { candidate: Candidate; attested: Attested; wire: WireRequest; quote: Quote; attempt: number },
): Promise<BuyResult | NeedInput> {
  const { candidate, quote, attempt } = job;
  await requireAllowance(ctx, call, quote);
  const needInput = await askApproval(call, candidate, quote);
  if (needInput !== null) return { needInput };
  const outcome = await planned(ctx, call, job, async (payment, wire) => {
    const reserved = await reserveOffer(ctx, call, { candidate, quote, wire, attempt, payment });
    call.progress("reserved", "amount reserved under the policy");
    return payAndReceive(ctx, call, {
      candidate,
      attested: job.attested,
      purchase: reserved,
      quoteWasCached: quote.cached,
    });
  });
  if (outcome.kind === "delivered") return outcome.result;
  // The stale offer's authorization may still be redeemed until it expires: the journal goes on counting it, and the
  // reservation below must fit beside it.
  return afterSent(() =>
    payQuote(ctx, call, {
      ...job,
      wire: wireOf(ctx, call, candidate, attempt + 1),
      quote: outcome.quote,
      attempt: attempt + 1,
    }),
  );
}

/** Plans the payment of a quote and runs `pay` with it: for a voucher, while nobody else is granted from its channel. */
function planned<T>(
  ctx: BuyerContext,
  call: Call,
  { candidate, quote, wire, attempt }: { candidate: Candidate; quote: Quote; wire: WireRequest; attempt: number },
  pay: (payment: Payment, wire: WireRequest) => Promise<T>,
): Promise<T> {
  const { offer } = quote;
  if (paymentMethodOf(offer) === "voucher") {
    return fromChannel(ctx, call, candidate, offer, (payment) => {
      const request = ctx
        .providerOf(candidate.seller)
        .buildRequest(candidate.seller, candidate.model, call.request.input, requestNonceOf(payment.nonce));
      return pay(payment, request);
    });
  }
  const payment = planPayment({
    offer,
    payer: call.wallet.address,
    nonce: nonceOf(ctx, call, attempt),
    now: ctx.clock(),
    policy: ctx.config.payment,
  });
  return pay(payment, wire);
}

/** A payment through Permit2 that the chain could only turn down is not made: the seller would have worked for nothing. */
async function requireAllowance(ctx: BuyerContext, call: Call, { offer, asset }: Quote): Promise<void> {
  const chain = ctx.chains.get(offer.network);
  const method = paymentMethodOf(offer);
  if ((method !== "permit2" && method !== "upto") || chain === undefined) return;
  const { allowance } = await readHoldings(chain, offer.asset, call.wallet.address);
  if (allowance >= BigInt(offer.amount)) return;
  const amount = formatUnits(offer.amount, asset.decimals);
  throw new Proof402Error(
    "allowance_too_low",
    `The offer is paid through Permit2, which may move ${formatUnits(allowance.toString(), asset.decimals)} ${asset.symbol} of this wallet and would need ${amount}.`,
    {
      next: `The owner can allow it: proof402 wallet approve --asset ${asset.symbol} --amount ${amount} (or more, for further calls).`,
      details: { limit: allowance.toString(), asked: offer.amount },
    },
  );
}

async function askApproval(call: Call, candidate: Candidate, quote: Quote): Promise<NeedInput["needInput"] | null> {
  const threshold = quote.asset.approveAbove;
  if (threshold === undefined || BigInt(quote.offer.amount) <= BigInt(threshold)) return null;
  const { offer, asset } = quote;
  const request = {
    message: `Pay ${offer.amount} base units (${asset.decimals} decimals) of ${asset.symbol} on ${offer.network} to ${offer.payTo} (${candidate.seller.id}) for one inference of ${candidate.model.name}?`,
    digest: toHex(canonicalSha256({ args: call.argsDigest, offer: offer.offerHash, seller: candidate.seller.id })),
    sellerId: candidate.seller.id,
    model: candidate.model.name,
    payTo: offer.payTo,
    network: offer.network,
    asset: offer.asset,
    amount: offer.amount,
  };
  if (call.options.approve === undefined) {
    throw new Proof402Error(
      "approval_required",
      "This amount needs a person's approval and nobody can be asked here.",
      {
        next: "Make the call where a person can be asked, or have the owner raise approveAbove in the payment policy.",
        details: { amount: offer.amount, approveAbove: threshold },
      },
    );
  }
  const decision = await call.options.approve(request);
  if (decision === "approved") return null;
  if (decision === "ask_later") return request;
  throw new Proof402Error("approval_declined", "A person declined this payment.", {
    next: "Do not try this purchase again unless the person asks for it.",
  });
}

/** Adds the payment identifier where the seller supports it; the journal keeps it, so that a resend carries the same. */
const identified = (wire: WireRequest, { identifier }: Quote, secret: string): WireRequest =>
  identifier === null ? wire : { ...wire, paymentExtensions: identifierExtension(identifier, secret, wire) };

async function reserveOffer(
  ctx: BuyerContext,
  call: Call,
  job: { candidate: Candidate; quote: Quote; wire: WireRequest; attempt: number; payment: Payment },
): Promise<PurchaseRecord> {
  const { offer } = job.quote;
  const now = ctx.clock();
  const result = await reserve(ctx.db, {
    policy: ctx.config.payment,
    now,
    idempotencyKey: call.request.idempotencyKey,
    attempt: job.attempt,
    argsDigest: call.argsDigest,
    sellerId: job.candidate.seller.id,
    model: job.candidate.model.name,
    offer,
    accepted: job.quote.accepted,
    payment: job.payment,
    request: identified(job.wire, job.quote, ctx.nonceSecret),
    ...(job.quote.maxAmount === null ? {} : { maxAmount: job.quote.maxAmount }),
  });
  if (result.kind === "reserved") return result.purchase;
  if (result.kind === "refused") throw refused(result.refusal);
  throw new Proof402Error("call_in_progress", "Another process is making the call with this idempotency key.", {
    next: "Call again with the same key in a moment to get its result.",
  });
}
