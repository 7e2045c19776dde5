import { Proof402Error } from "../errors.ts";
import { moneyText } from "../chain/money-text.ts";
import { toBase64 } from "../evidence/bytes.ts";
import type { ExchangeFormat } from "../evidence/exchange/format.ts";
import { FORMATS } from "../evidence/exchange/formats.ts";
import type { SellerListing } from "../market/catalog.ts";
import { addressOf, originOf } from "../market/places.ts";
import { canServe, chooseCandidate, type Candidate } from "../market/choose.ts";
import { deriveSalt } from "../payment/plan.ts";
import type { WireRequest } from "../payment/types.ts";
import { attestSeller, type Attested } from "./attest.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { firstFunded } from "./funds.ts";
import { readHolds } from "./holds.ts";
import { atSomePlace } from "./places.ts";
import { obtainQuotes, type Quote } from "./quote.ts";
import { sharedQuote } from "./sharing.ts";

/** A seller's model, the seller's attestation, and an offer within the policy. */
export type Chosen = { candidate: Candidate; attested: Attested; quote: Quote };

/**
 * Steps 1 to 3: the cheapest fitting seller, attested, with the first of its quotes that the wallet can pay. A seller
 * asking more than it lists is asked for its listing once more and then left out of the choice, unless it is named: by
 * the caller, or by the question with a person's yes.
 */
export async function chooseAndQuote(
  ctx: BuyerContext,
  call: Call,
  attempt: number,
  seller: string | undefined = call.request.seller,
): Promise<Chosen> {
  const baited: { sellerId: string; error: Proof402Error }[] = [];
  for (;;) {
    const leftOut = (sellerId: string): boolean => baited.filter((one) => one.sellerId === sellerId).length > 1;
    const among = { seller, leftOut, refresh: baited.length > 0 };
    // No other seller has it: only the price stands in the way.
    const before = (error: unknown): never => {
      throw baited.at(-1)?.error ?? error;
    };
    const found = await chooseAmong(ctx, call, among).catch(before);
    try {
      return await atSomePlace(ctx, call, found, async (candidate) => {
        const attested = await attest(ctx, call, candidate).catch(before);
        const request = unpaidRequest(ctx, call, candidate, attempt);
        const quotes = await obtainQuotes(ctx, call, { candidate, attested }, request);
        const shared = await sharedQuote(ctx, call, { candidate, attested, request }, quotes);
        const quote = shared ?? (await firstFunded(ctx, call, quotes));
        call.progress("quoted", `price ${moneyText(quote.offer.amount, quote.asset)}`);
        return { candidate, attested, quote };
      });
    } catch (error) {
      if (!Proof402Error.isInstance(error) || error.code !== "over_listed_price") throw error;
      if (baited.some((one) => one.error === error)) throw error;
      baited.push({ sellerId: found.seller.id, error });
      if (seller !== undefined && leftOut(seller)) throw error;
    }
  }
}

async function chooseAmong(
  ctx: BuyerContext,
  call: Call,
  {
    seller: name,
    leftOut,
    refresh,
  }: { seller: string | undefined; leftOut: (sellerId: string) => boolean; refresh: boolean },
): Promise<Candidate> {
  const { request, assurance, signal } = call;
  const { model } = request;
  const named = name === undefined ? {} : { seller: name };
  const wanted = { holds: await readHolds(ctx.db), model, assurance, ...named };
  const inChoice = (known: readonly SellerListing[]): SellerListing[] =>
    known
      .filter(({ seller }) => !leftOut(seller.id))
      .map((listing) => (call.options.chat === true ? ofChats(listing) : listing));
  const enough = (known: readonly SellerListing[]): boolean => canServe(inChoice(known), wanted);
  const listings = inChoice(await ctx.catalog.listings({ refresh, signal, model, ...named, enough }));
  const candidate = chooseCandidate({ ...wanted, listings, assets: ctx.config.payment.assets });
  call.progress("chosen", `seller ${candidate.seller.id}`);
  return candidate;
}

/** A listing without the models of a seller whose answers are no chats. */
function ofChats(listing: SellerListing): SellerListing {
  const { seller, models, unsupported } = listing;
  const format: ExchangeFormat = FORMATS[seller.provider];
  if (format.readChat !== undefined) return listing;
  const reason = "its answers are no chats";
  const left = models.map(({ name }) => ({ name, sellerId: seller.id, reason }));
  return { ...listing, models: [], unsupported: [...unsupported, ...left] };
}

async function attest(ctx: BuyerContext, call: Call, candidate: Candidate): Promise<Attested> {
  const { seller } = candidate;
  // The journal takes a few milliseconds, and a handshake on a long line a few hundred: they need not follow each other.
  ctx.http.open(originOf(seller), seller.certificateSha256);
  const attested = await attestSeller(ctx, candidate, call.assurance, call.signal);
  call.progress("attested", checkedText(attested));
  return attested;
}

function checkedText({ keyId, checked }: Attested): string {
  if (checked.length > 0) return `${new Intl.ListFormat("en-GB").format(checked)} checked`;
  return keyId === null ? "seller gives no attestation" : "the seller's evidence does not hold, and none was asked for";
}

/**
 * The request that asks for the price. There are no terms yet that it could carry the hash of, so it has an id of its
 * own, as long as theirs: a seller that prices by size sees one size.
 */
const unpaidRequest = (ctx: BuyerContext, call: Call, candidate: Candidate, attempt: number): WireRequest =>
  requestOf(ctx, call, candidate, {
    nonce: deriveSalt(ctx.nonceSecret, call.key, attempt, "unpaid").slice(2),
    sent: "unpaid",
  });

/** The request for a call's input under this nonce: 32 bytes, hex. Throws Proof402Error `invalid_input`. */
export function requestOf(
  ctx: Pick<BuyerContext, "providerOf">,
  call: Call,
  { seller, model }: Candidate,
  { nonce, sent }: { nonce: string; sent: "paid" | "unpaid" },
): WireRequest {
  const format: ExchangeFormat = FORMATS[seller.provider];
  const { headers, body } = format.writeRequest({
    takes: model.inputs,
    model: model.name,
    input: call.request.input,
    nonce,
    ...(model.takes === undefined ? {} : { numbers: model.takes.numbers }),
  });
  const others = ctx.providerOf(seller).requestHeaders?.(seller, sent);
  return {
    method: "POST",
    ...addressOf(seller, model.name, body),
    headers: { ...headers, ...others },
    body: toBase64(body),
    nonce,
  };
}
