import { moneyText } from "../chain/money-text.ts";
import type { Candidate } from "../market/choose.ts";
import { evidenceFor, METHODS } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import { payingChannels, type OpenChannel } from "../payment/channel-offers.ts";
import { openChannels } from "../payment/channels.ts";
import { readAttempts } from "../payment/journal.ts";
import { readAskedPayment } from "../payment/body-offers.ts";
import { chooseOffer, type AcceptedOffer } from "../payment/offers.ts";
import { findAsset, usdBound, type AssetPolicy } from "../payment/policy.ts";
import type { WireRequest } from "../payment/types.ts";
import { refused, type Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { quoteKey } from "./quotes.ts";
import { send, type Received, type To } from "./send.ts";

/** An offer the policy accepts for this call. `cached`: it was known from before. */
export type Quote = AcceptedOffer & { cached: boolean };

/** Quotes that a call may pay, in order of preference. */
export type Quotes = readonly [Quote, ...Quote[]];

/** Step 3: the cached offers that are fresh and still fit this call, else those of the seller's 402. */
export async function obtainQuotes(ctx: BuyerContext, call: Call, to: To, wire: WireRequest): Promise<Quotes> {
  const { candidate } = to;
  const known = ctx.quotes.get(quoteKey(candidate.seller.provider, wire), ctx.clock().getTime());
  const [cached, ...others] = known.length === 0 ? [] : await stillFitting(ctx, call, candidate, known);
  if (cached !== undefined) return [cached, ...others];
  const unpaid = await send(ctx, wire, to, { signal: call.signal });
  if (unpaid.status !== 402) {
    throw new Proof402Error(
      "no_offer",
      `Seller "${candidate.seller.id}" answered ${unpaid.status} instead of a payment offer.`,
      {
        next:
          unpaid.status === 400
            ? "Check the input against the listed model."
            : "Try again later or choose another seller.",
        details: { status: unpaid.status },
      },
    );
  }
  return quotesOf(ctx, call, candidate, wire, unpaid);
}

/**
 * Reads and judges a 402. Throws the policy's refusal when no offer fits, and Proof402Error `over_listed_price` where those
 * that would are above the price the seller lists.
 */
export async function quotesOf(
  ctx: BuyerContext,
  call: Call,
  candidate: Candidate,
  wire: WireRequest,
  response: Received,
): Promise<Quotes> {
  const read = readAskedPayment(response);
  if (!read.ok) throw refused(read.refusal);
  const chosen = chooseOffer({
    policy: ctx.config.payment,
    payTo: candidate.seller.payTo,
    facilitators: candidate.seller.facilitators,
    channelTerms: candidate.seller.channel,
    channels: await channelsWith(ctx, call, candidate),
    required: read.required,
    maxUsd: boundOf(call),
  });
  if (!chosen.ok) {
    const [first] = chosen.refusals;
    throw first === undefined
      ? new Proof402Error("no_offer", "The seller made no offer.", { next: "Choose another seller." })
      : refused(first);
  }
  const over = (one: AcceptedOffer): Proof402Error | null => overListedPrice(ctx, candidate, one);
  const within = chosen.offers.filter((one) => over(one) === null);
  ctx.quotes.set(quoteKey(candidate.seller.provider, wire), within, ctx.clock().getTime());
  const isPayable = await payableIn(ctx, call);
  const [first, ...others] = within.filter(isPayable);
  if (first !== undefined) return [{ ...first, cached: false }, ...others.map((one) => ({ ...one, cached: false }))];
  const tooDear = chosen.offers.find(isPayable);
  throw (tooDear === undefined ? null : over(tooDear)) ?? otherAsset(candidate);
}

/**
 * Tells the offers in an asset that the call may pay in. Beside a payment that is still out it is the same asset only: so
 * both are held to one cap, one bound and one approval.
 */
async function payableIn(ctx: BuyerContext, call: Call): Promise<(one: AcceptedOffer) => boolean> {
  const attempts = await readAttempts(ctx.db, call.key);
  const out = attempts.filter(({ state }) => state !== "released");
  return ({ offer }) => out.every(({ payment }) => payment.network === offer.network && payment.asset === offer.asset);
}

const otherAsset = ({ seller }: Candidate): Proof402Error =>
  new Proof402Error(
    "other_asset",
    `Seller "${seller.id}" offers none of the asset that an earlier payment of this call, which is still out, is in.`,
    {
      next: "Nothing more was signed. Call again with the same idempotency key, or choose another seller under a new key.",
    },
  );

/** Those of the known offers that this call may still pay. */
async function stillFitting(
  ctx: BuyerContext,
  call: Call,
  candidate: Candidate,
  known: readonly AcceptedOffer[],
): Promise<Quote[]> {
  const isPayable = await payableIn(ctx, call);
  const channels = await channelsWith(ctx, call, candidate);
  const fits = (one: AcceptedOffer): boolean => {
    const { offer, asset } = one;
    const maxAmount = maxAmountOf(call, asset);
    // An offer by voucher is of use only while its channel has enough left.
    const payable = evidenceFor(offer)?.claimed !== true || payingChannels(channels, offer).length > 0;
    return payable && (maxAmount === null || BigInt(offer.amount) <= maxAmount) && isPayable(one);
  };
  return known
    .filter((one) => fits(one) && overListedPrice(ctx, candidate, one) === null)
    .map((one) => ({ ...one, cached: true }));
}

/**
 * A seller is chosen by the price it lists, so that price binds it. An `upto` offer is held to it by the most that it may
 * take. A price in what the policy does not know can bind nothing: such a seller is chosen last, or by its name, and
 * bound by the caps.
 */
function overListedPrice(
  ctx: BuyerContext,
  { seller, model }: Candidate,
  { offer, asset }: AcceptedOffer,
): Proof402Error | null {
  const { price } = model;
  if (price === null) return null;
  const listed = findAsset(price, ctx.config.payment.assets);
  if (listed === undefined) return null;
  const same = listed.network === offer.network && listed.asset === offer.asset;
  const comparable = same || (listed.usdStable && asset.usdStable);
  const scaled = (amount: string, decimals: number): bigint => BigInt(amount) * 10n ** BigInt(36 - decimals);
  if (comparable && scaled(offer.amount, asset.decimals) <= scaled(price.amount, listed.decimals)) return null;
  const upTo = evidenceFor(offer)?.metered === true ? "up to " : "";
  const asks = `${upTo}${moneyText(offer.amount, asset)}`;
  const lists = moneyText(price.amount, listed);
  return new Proof402Error(
    "over_listed_price",
    `Seller "${seller.id}" lists "${model.name}" for ${lists} and asks ${asks} for it.`,
    {
      next: "Nothing was signed. Choose another seller, or wait until the seller lists the price that it asks.",
      details: { listed: price.amount, asked: offer.amount },
    },
  );
}

/** The open channels with a seller; none is looked for where the policy pays by no vouchers. */
const channelsWith = (ctx: BuyerContext, call: Call, { seller }: Candidate): Promise<OpenChannel[]> =>
  ctx.config.payment.assets.some(({ methods }) => methods.some((method) => METHODS[method].claimed))
    ? openChannels(ctx.db, seller, call.wallet.address)
    : Promise.resolve([]);

/** The caller's own bound in USD: the call's, or its part of that of several. */
function boundOf({ request: { maxUsd }, most }: Call): number | undefined {
  if (most === undefined || maxUsd === undefined) return most ?? maxUsd;
  return Math.min(most, maxUsd);
}

/** The caller's own bound in base units of an asset, or null. */
export function maxAmountOf(call: Call, asset: AssetPolicy): bigint | null {
  const bound = boundOf(call);
  return bound === undefined ? null : usdBound(bound, asset);
}
