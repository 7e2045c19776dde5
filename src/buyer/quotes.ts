import type { AcceptedOffer } from "../payment/offers.ts";

/** Identifies what a quote was given for (threat T30: a quote is never used elsewhere). */
export const quoteKey = (request: { method: string; url: string }): string => `${request.method} ${request.url}`;

/** Offers already accepted by the policy, kept so that a later call can pay at once. */
export type QuoteCache = {
  get(key: string, nowMs: number): AcceptedOffer | null;
  set(key: string, offer: AcceptedOffer, nowMs: number): void;
  drop(key: string): void;
};

const MAX_QUOTES = 1000;

/** In memory only: a restart asks again. */
export function createQuoteCache(maxAgeMs: number): QuoteCache {
  const quotes = new Map<string, { offer: AcceptedOffer; at: number }>();
  return {
    get(key, nowMs) {
      const found = quotes.get(key);
      if (found === undefined) return null;
      if (nowMs - found.at < maxAgeMs && nowMs >= found.at) return found.offer;
      quotes.delete(key);
      return null;
    },
    set(key, offer, nowMs) {
      quotes.delete(key);
      quotes.set(key, { offer, at: nowMs });
      const oldest = quotes.keys().next();
      if (quotes.size > MAX_QUOTES && !oldest.done) quotes.delete(oldest.value);
    },
    drop: (key) => void quotes.delete(key),
  };
}
