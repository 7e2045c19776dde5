import { Proof402Error } from "../errors.ts";
import type { ListedModel, Provider, Seller } from "./types.ts";

/** What one seller listed, or why it could not be asked. */
export type SellerListing = { seller: Seller; models: ListedModel[]; unreachable: string | null };

export type Catalog = {
  /** Every seller's listing; unreachable sellers have none. Cached; `refresh` asks anew. */
  listings(options?: { refresh?: boolean; signal?: AbortSignal }): Promise<SellerListing[]>;
};

/**
 * Keeps the sellers' listings for `maxAgeMs`. Concurrent callers share one round of requests, and one seller's
 * failure is that seller's alone.
 */
export function createCatalog(options: {
  sellers: readonly Seller[];
  providerOf: (seller: Seller) => Provider;
  clock: () => Date;
  maxAgeMs: number;
}): Catalog {
  let cached: { at: number; listings: Promise<SellerListing[]> } | null = null;

  const ask = async (seller: Seller, signal?: AbortSignal): Promise<SellerListing> => {
    try {
      return { seller, models: await options.providerOf(seller).listModels(seller, signal), unreachable: null };
    } catch (error) {
      if (signal?.aborted) throw error;
      return { seller, models: [], unreachable: Proof402Error.isInstance(error) ? error.code : "unreachable" };
    }
  };

  return {
    listings({ refresh = false, signal } = {}) {
      const now = options.clock().getTime();
      if (cached !== null && !refresh && now - cached.at < options.maxAgeMs) return cached.listings;
      const round = { at: now, listings: Promise.all(options.sellers.map((seller) => ask(seller, signal))) };
      cached = round;
      // A round that was aborted, or in which a seller did not answer, must not be what later callers get.
      round.listings.then(
        (listings) => {
          if (cached === round && listings.some((listing) => listing.unreachable !== null)) cached = null;
        },
        () => {
          if (cached === round) cached = null;
        },
      );
      return round.listings;
    },
  };
}
