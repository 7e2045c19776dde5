import { fromBase64 } from "../evidence/bytes.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import type { AcceptedOffer } from "../payment/offers.ts";
import type { WireRequest } from "../payment/types.ts";

/** Identifies what a quote was given for (threat T30: a quote is never used elsewhere). */
export function quoteKey(provider: string, { method, url, body }: WireRequest): string {
  const pricedBy = formatOf(provider)?.pricedBy;
  return [method, url, ...(pricedBy === undefined ? [] : [pricedBy(fromBase64(body))])].join(" ");
}

/** Offers already accepted by the policy, kept so that a later call can pay at once. */
export type QuoteCache = {
  /** In order of preference. */
  get(key: string, nowMs: number): readonly AcceptedOffer[];
  set(key: string, offers: readonly AcceptedOffer[], nowMs: number): void;
  drop(key: string): void;
};

const MAX_QUOTES = 1000;

/** In memory only: a restart asks again. */
export function createQuoteCache(maxAgeMs: number): QuoteCache {
  const quotes = new Map<string, { offers: readonly AcceptedOffer[]; at: number }>();
  return {
    get(key, nowMs) {
      const found = quotes.get(key);
      if (found === undefined) return [];
      if (nowMs - found.at < maxAgeMs && nowMs >= found.at) return found.offers;
      quotes.delete(key);
      return [];
    },
    set(key, offers, nowMs) {
      quotes.delete(key);
      quotes.set(key, { offers, at: nowMs });
      const oldest = quotes.keys().next();
      if (quotes.size > MAX_QUOTES && !oldest.done) quotes.delete(oldest.value);
    },
    drop: (key) => void quotes.delete(key),
  };
}
