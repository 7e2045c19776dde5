import type { ExchangeFormat } from "../evidence/exchange/format.ts";
import { FORMATS } from "../evidence/exchange/formats.ts";
import { Proof402Error } from "../errors.ts";
import { BOUGHT_FROM, type Listing, type Seller } from "../market/types.ts";
import type { OpenMarket } from "./listing.ts";

/**
 * A new seller's list of models, and the kind of seller whose list it is. Without a `kind` from the owner each is tried in
 * turn: a seller without the list of one kind may have that of the next, and some kinds are told by their key. Listing is null where it
 * keeps none.
 *
 * Throws what the first kind's provider throws where no kind's list is served.
 */
export async function kindOf(
  { providerOf }: OpenMarket,
  seller: Seller,
  kind: Seller["provider"] | undefined,
): Promise<{ seller: Seller; listing: Listing | null }> {
  let failure: Error | null = null;
  for (const provider of kind === undefined ? BOUGHT_FROM : [kind]) {
    const tried = { ...seller, provider };
    const format: ExchangeFormat = FORMATS[provider];
    // Only kinds with one address have a path to name.
    if (kind === undefined && seller.path !== undefined && format.at === undefined) continue;
    try {
      const of = providerOf(tried);
      const isRecognised = kind === undefined && of.recognises !== undefined ? await of.recognises(tried) : null;
      if (isRecognised === false) continue;
      const listing = await of.listModels(tried);
      if (listing !== null || isRecognised === true) return { seller: tried, listing };
    } catch (error) {
      // A seller that cannot be reached has no list of any kind. With a pinned certificate only some kinds reach it.
      const isOther = Proof402Error.isInstance(error) && OF_ANOTHER_KIND.has(error.code);
      if (kind !== undefined || (!isOther && seller.certificateSha256 === undefined)) throw failure ?? error;
      if (!Proof402Error.isInstance(error)) throw error;
      failure ??= error;
    }
  }
  if (failure !== null) throw failure;
  return { seller: { ...seller, ...(kind === undefined ? {} : { provider: kind }) }, listing: null };
}

/** What a seller of another kind may answer at the address of a list that it does not have. */
const OF_ANOTHER_KIND: ReadonlySet<string> = new Set(["seller_error", "malformed_seller_data"]);
