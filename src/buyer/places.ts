import { Proof402Error, type ErrorCode } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import type { Seller } from "../market/types.ts";
import type { RegistryEvidence } from "../receipts/registry-schema.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";

/** Places of one seller that a call tries. */
const MAX_PLACES = 4;

/** Errors of a place, from before anything was signed: another place of the seller may serve. */
const OF_A_PLACE: readonly ErrorCode[] = [
  "http_unreachable",
  "http_timeout",
  "http_interrupted",
  "http_certificate_refused",
  "http_malformed",
  "http_redirect_refused",
  "http_encoding_refused",
  "http_headers_too_large",
  "http_body_too_large",
  "http_address_refused",
  "attestation_failed",
  "malformed_seller_data",
  "seller_error",
  "no_offer",
];

/**
 * Does the work of choosing at a seller's places in turn until one serves. Nothing is signed in it, so another place costs
 * nothing; a payment stays with the place that it was signed for. Throws the first place's error.
 */
export async function atSomePlace<T>(
  ctx: BuyerContext,
  { signal }: Pick<Call, "signal">,
  { seller, model }: Candidate,
  work: (placed: Candidate) => Promise<T>,
): Promise<T> {
  const places = await placesOf(ctx, seller, signal);
  const failures: unknown[] = [];
  for (const placed of places.slice(0, MAX_PLACES)) {
    try {
      return await work({ seller: placed, model });
    } catch (error) {
      if (!Proof402Error.isInstance(error) || !OF_A_PLACE.includes(error.code)) throw error;
      failures.push(error);
    }
  }
  throw failures[0];
}

/** The seller at the place of an earlier request, as long as that is one of its places; else as configured. */
export async function placedAt(
  ctx: BuyerContext,
  seller: Seller,
  origin: string,
  signal: AbortSignal | undefined,
): Promise<Seller> {
  return (await placesOf(ctx, seller, signal)).find((one) => one.origin === origin) ?? seller;
}

/** A seller's present places, the one that served last at the front. */
async function placesOf(ctx: BuyerContext, seller: Seller, signal: AbortSignal | undefined): Promise<Seller[]> {
  const places = (await ctx.providerOf(seller).places?.(seller, signal)) ?? [seller];
  const known = ctx.attestations.get(seller.id)?.evidence ?? [];
  const last = known.find((one): one is RegistryEvidence => one.kind === "registry.tee")?.origin;
  return [...places.filter(({ origin }) => origin === last), ...places.filter(({ origin }) => origin !== last)];
}
