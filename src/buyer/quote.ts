import { findAsset, type Candidate } from "../market/choose.ts";
import { evidenceFor, METHODS } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import { formatUnits, usdToBaseUnits } from "../chain/amounts.ts";
import { channelsFor, type OpenChannel } from "../payment/channel-offers.ts";
import { openChannels } from "../payment/channels.ts";
import { chooseOffer, readPaymentRequired, type AcceptedOffer } from "../payment/offers.ts";
import type { AssetPolicy } from "../payment/policy.ts";
import type { WireRequest } from "../payment/types.ts";
import { refused, type Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { quoteKey } from "./quotes.ts";
import { send, type Received, type To } from "./send.ts";

/** An offer the policy accepts for this call. `cached`: it was known from before. */
export type Quote = AcceptedOffer & { cached: boolean };

/** Step 3: the cached offer if it is fresh and still fits this call, else the seller's 402. */
export async function obtainQuote(ctx: BuyerContext, call: Call, to: To, wire: WireRequest): Promise<Quote> {
  const { candidate } = to;
  const cached = ctx.quotes.get(quoteKey(wire), ctx.clock().getTime());
  if (cached !== null && (await stillPayable(ctx, call, candidate, cached))) {
    const maxAmount = maxAmountOf(call, cached.asset);
    const fits = maxAmount === null || BigInt(cached.offer.amount) <= maxAmount;
    if (fits && overListedPrice(ctx, candidate, cached) === null) return { ...cached, cached: true };
  }
  const unpaid = await send(ctx, wire, to, { signal: call.signal });
  if (unpaid.status !== 402) {
    throw new Proof402Error(
      "no_offer",
      `Seller "${candidate.seller.id}" answered ${unpaid.status} instead of a payment offer.`,
      {
        next:
          unpaid.status === 400 ? "Check the input against list_models." : "Try again later or choose another seller.",
        details: { status: unpaid.status },
      },
    );
  }
  return quoteOf(ctx, call, candidate, wire, unpaid);
}

/**
 * Reads and judges a 402, of whose offers those in `assets` are allowed. Throws the policy's refusal when no offer fits, and
 * Proof402Error `over_listed_price` for one above the price the seller lists.
 */
export async function quoteOf(
  ctx: BuyerContext,
  call: Call,
  candidate: Candidate,
  wire: WireRequest,
  response: Received,
  assets: readonly AssetPolicy[] = ctx.config.payment.assets,
): Promise<Quote> {
  const read = readPaymentRequired(response.headers);
  if (!read.ok) throw refused(read.refusal);
  const bound = call.request.maxUsd;
  const chosen = chooseOffer({
    policy: { ...ctx.config.payment, assets: [...assets] },
    payTo: candidate.seller.payTo,
    facilitators: candidate.seller.facilitators,
    channelTerms: candidate.seller.channel,
    channels: await channelsWith(ctx, call, candidate),
    required: read.required,
    ...(bound === undefined ? {} : { maxUsd: bound }),
  });
  if (!chosen.ok) {
    const [first] = chosen.refusals;
    throw first === undefined
      ? new Proof402Error("no_offer", "The seller made no offer.", { next: "Choose another seller." })
      : refused(first);
  }
  const over = overListedPrice(ctx, candidate, chosen.accepted);
  if (over !== null) throw over;
  ctx.quotes.set(quoteKey(wire), chosen.accepted, ctx.clock().getTime());
  return { ...chosen.accepted, cached: false };
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
  const asks = `${upTo}${formatUnits(offer.amount, asset.decimals)} ${asset.symbol}`;
  const lists = `${formatUnits(price.amount, listed.decimals)} ${listed.symbol}`;
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

/** A known offer by voucher is of use only while its channel has enough left. */
async function stillPayable(
  ctx: BuyerContext,
  call: Call,
  candidate: Candidate,
  { offer }: AcceptedOffer,
): Promise<boolean> {
  if (evidenceFor(offer)?.claimed !== true) return true;
  const channels = channelsFor(await channelsWith(ctx, call, candidate), offer);
  return channels.some(({ left }) => left >= BigInt(offer.amount));
}

/** The caller's own bound in base units of an asset, or null. */
export function maxAmountOf(call: Call, asset: AssetPolicy): bigint | null {
  const { maxUsd } = call.request;
  if (maxUsd === undefined) return null;
  // An asset without a declared USD value cannot be bounded in USD: nothing of it may be spent.
  return asset.usdStable ? usdToBaseUnits(maxUsd, asset.decimals) : 0n;
}
