import { moneyText } from "../../chain/money-text.ts";
import type { ListedModel, Seller } from "../../market/types.ts";
import { findExceededCap, readCallsLastHour, readUsage } from "../../payment/caps.ts";
import { findAsset, type AssetPolicy } from "../../payment/policy.ts";
import type { Refusal } from "../../payment/types.ts";
import type { Surroundings } from "./surroundings.ts";

/** A listed model as the policy sees its price. `asset` is null where the policy has no such token. */
export type ListedOffer = { model: ListedModel; asset: AssetPolicy | null; over: Refusal | null };

/** A seller's models and whether the caps allow their prices now. Empty where it lists none. */
export async function offersOf(around: Surroundings, seller: Seller): Promise<ListedOffer[]> {
  const told = await around.listed(seller);
  const models = "listing" in told ? (told.listing?.models ?? []) : [];
  return Promise.all(
    models.map(async (model) => {
      const asset = findAsset(model.price, around.config.payment.assets) ?? null;
      const over = asset === null || model.price === null ? null : await capOver(around, seller, asset, model.price);
      return { model, asset, over };
    }),
  );
}

async function capOver(
  around: Surroundings,
  seller: Seller,
  asset: AssetPolicy,
  { amount }: { amount: string },
): Promise<Refusal | null> {
  const { payment: policy } = around.config;
  const db = await around.records();
  const now = Date.now();
  const unused = { hour: 0n, day: 0n, total: 0n };
  const limits = seller.limits.find(({ network, asset: token }) => network === asset.network && token === asset.asset);
  return findExceededCap({
    policy,
    asset,
    amount: BigInt(amount),
    usage: db === null ? unused : await readUsage(db, asset, now),
    callsLastHour: db === null ? 0n : await readCallsLastHour(db, now),
    ...(limits === undefined
      ? {}
      : { seller: { limits, usage: db === null ? unused : await readUsage(db, asset, now, seller.id) } }),
  });
}

const CAPS: Readonly<Record<string, string>> = {
  over_per_call_cap: "the cap per call (perCall)",
  over_hour_cap: "the cap per hour (perHour)",
  over_day_cap: "the cap per day (perDay)",
  over_total_cap: "the total cap (total)",
  over_seller_cap: "a cap of this seller (limits)",
};

/** Says which cap a price breaks. */
export function capText({ code, asked, limit, remaining }: Refusal, asset: AssetPolicy): string {
  const cap = CAPS[code];
  return cap === undefined
    ? "The purchases of the last hour reach the policy's count (callsPerHour)"
    : `${moneyText(asked ?? "0", asset)} is over ${cap}: ${moneyText(limit ?? "0", asset)}, of which ${moneyText(remaining ?? "0", asset)} is left`;
}

/** The smallest listed price of an asset among all sellers, base units, or null. */
export async function smallestPrice(around: Surroundings, asset: AssetPolicy): Promise<bigint | null> {
  const offers = (await Promise.all(around.config.sellers.map((seller) => offersOf(around, seller)))).flat();
  const prices = offers.flatMap(({ asset: one, model }) =>
    one === asset && model.price !== null ? [BigInt(model.price.amount)] : [],
  );
  return prices.reduce<bigint | null>((least, price) => (least === null || price < least ? price : least), null);
}
