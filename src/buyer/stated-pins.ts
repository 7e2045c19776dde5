import type { SellerEntry } from "../config/change.ts";
import type { Config } from "../config/schema.ts";
import type { ListedModel, Listing } from "../market/types.ts";
import { sellerSchema } from "../market/types.ts";
import type { ChannelTerms } from "../payment/channel-offers.ts";

type Stated = Pick<SellerEntry, "channel"> & Pick<NonNullable<SellerEntry["reference"]>, "proofs" | "relays">;

/** What a seller states: in its list, and in its offers of channels. */
type Statement = {
  models: readonly ListedModel[];
  relays: Listing["relays"];
  /** Null for an offer of a channel without terms. */
  terms: readonly (ChannelTerms | null)[];
};

/**
 * What a new seller states and nothing shows before a purchase: proof keys, relays and the terms of channels. They are for
 * pinning on its word alone. `left` has what the configuration could not hold.
 */
export function statedPins(
  { networks }: Pick<Config, "networks">,
  { models, relays = [], terms }: Statement,
): { stated: Stated; left: { name: string; reason: string }[] } {
  const proofs = Object.fromEntries(models.flatMap(({ name, proof }) => (proof == null ? [] : [[name, proof]])));
  const isRead = (network: string): boolean => networks.some((one) => one.network === network);
  const offered = channelIn(terms);
  return {
    stated: {
      ...(Object.keys(proofs).length === 0 ? {} : { proofs }),
      ...(relays.length === 0 ? {} : { relays: relays.filter(({ network }) => isRead(network)) }),
      ...(offered !== null && "channel" in offered ? offered : {}),
    },
    left: [
      ...relays
        .filter(({ network }) => !isRead(network))
        .map(({ network }) => ({ name: `its relay on ${network}`, reason: "the configuration has no such network" })),
      ...(offered !== null && "reason" in offered ? [{ name: "its channel terms", reason: offered.reason }] : []),
    ],
  };
}

/** The one set of terms that all offers of a channel name. */
function channelIn(
  offers: Statement["terms"],
): { channel: NonNullable<SellerEntry["channel"]> } | { reason: string } | null {
  const [first] = offers;
  if (first === undefined) return null;
  if (new Set(offers.map((one) => JSON.stringify(one))).size > 1) return { reason: "its offers name different ones" };
  const { success, data } = sellerSchema.shape.channel.safeParse(first);
  return success && data !== undefined ? { channel: data } : { reason: "they are not of a form that is pinned" };
}
