import type { Candidate } from "../market/choose.ts";
import { readPurchaseByName } from "../payment/journal.ts";
import { sharingOf } from "../payment/methods/methods.ts";
import { deriveSalt } from "../payment/plan.ts";
import type { SharedAuthorization } from "../payment/policy.ts";
import { findShared, planShare, targetOf } from "../payment/shared.ts";
import type { WireRequest } from "../payment/types.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Attested } from "./attest.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import type { Quote, Quotes } from "./quote.ts";

/** The owner's terms for one authorization for several calls, null where a seller or an offer has none. */
export function sharingFor({ seller }: Candidate, offer: Offer): SharedAuthorization | null {
  if (sharingOf(offer) === null || BigInt(offer.amount) === 0n) return null;
  return seller.sharedAuthorization ?? null;
}

/** Whom a call asks, and with which request: with any, as far as it goes to the same place. */
type To = { candidate: Candidate; attested: Attested; request: Pick<WireRequest, "method" | "url"> };

/** The TLS certificate that a seller is held to, SHA-256 of its DER: the attested one, or else the pinned one. */
export const certificateOf = ({ candidate, attested }: Pick<To, "candidate" | "attested">): string | null =>
  attested.tlsCertificate ?? candidate.seller.certificateSha256 ?? null;

/** The nonce of an open authorization that this call may go on with an offer, or null. */
async function joinable(
  ctx: BuyerContext,
  call: Call,
  { candidate, attested, request }: To,
  offer: Offer,
): ReturnType<typeof findShared> {
  const terms = sharingFor(candidate, offer);
  if (terms === null) return null;
  const wanted = {
    sellerId: candidate.seller.id,
    payer: call.wallet.address,
    target: targetOf(request, call.request.client?.name ?? null),
    offerHash: offer.offerHash,
    certificate: certificateOf({ candidate, attested }),
  };
  return findShared(ctx.db, wanted, terms, ctx.clock());
}

/** The first of the quotes that an open authorization pays: no chain has to be asked for the wallet's funds. */
export async function sharedQuote(ctx: BuyerContext, call: Call, to: To, quotes: Quotes): Promise<Quote | null> {
  for (const quote of quotes) if ((await joinable(ctx, call, to, quote.offer)) !== null) return quote;
  return null;
}

/** The payment of a call that goes on an open authorization, or null where it has to sign one. */
export async function shareFor(
  ctx: BuyerContext,
  call: Call,
  to: To & { quote: Quote },
  attempt: number,
): Promise<Payment | null> {
  const nonce = await joinable(ctx, call, to, to.quote.offer);
  const first = nonce === null ? null : await readPurchaseByName(ctx.db, nonce);
  return first === null ? null : planShare(first.payment, deriveSalt(ctx.nonceSecret, call.key, attempt));
}
