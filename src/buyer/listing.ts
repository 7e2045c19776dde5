import type { Config } from "../config/schema.ts";
import { FORMATS } from "../evidence/exchange/formats.ts";
import { createHttp, type Http } from "../http/client.ts";
import { createCatalog, type Catalog } from "../market/catalog.ts";
import { createOipProvider } from "../market/providers/oip.ts";
import { marlinOysterProvider } from "../market/providers/marlin-oyster.ts";
import { createOpenAiX402Provider } from "../market/providers/openai-x402.ts";
import { createOpenGradientProvider } from "../market/providers/opengradient.ts";
import { createMcpToolProvider } from "../market/providers/mcp-tool.ts";
import { createCarriers, type CarrierOf } from "../market/carriers/carriers.ts";
import { createMcpEndpoints } from "../market/carriers/mcp/endpoints.ts";
import type { Provider, Seller } from "../market/types.ts";
import { findAsset } from "../payment/policy.ts";
import { formatUnits } from "../chain/amounts.ts";
import { chainOf, openChain } from "../chain/chain.ts";
import { readBatches } from "../chain/batches.ts";
import { readActiveTees } from "../chain/registry.ts";
import type { RegisteredTee, RegistryPlace } from "../evidence/registry.ts";
import type { BuyerContext } from "./context.ts";
import { readHolds } from "./holds.ts";
import type { ModelsOnOffer, ModelView } from "./types.ts";

/** The configured sellers, and the client that asks them. */
export type OpenMarket = {
  http: Http;
  providerOf: (seller: Pick<Seller, "provider">) => Provider;
  carrierOf: CarrierOf;
  catalog: Catalog;
};

/** Opens the way to the sellers. Needs no key and no database, and asks no one yet; close its `http` at the end. */
export function openMarket({ http: limits, sellers, market, networks }: Config, clock: () => Date): OpenMarket {
  const http = createHttp(limits);
  const chains = new Map(networks.map((network) => [network.network, openChain(network)]));
  const readRegistry = (place: RegistryPlace, signal?: AbortSignal): Promise<RegisteredTee[]> =>
    readActiveTees(chainOf(chains, place.network), place, signal);
  const endpoints = createMcpEndpoints(http);
  const oip = createOipProvider(http, clock);
  const providers: Record<Seller["provider"], Provider> = {
    oip,
    opengradient: createOpenGradientProvider(http, {
      clock,
      readRegistry,
      readBatches: ({ network, contract }, since, signal) =>
        readBatches(chainOf(chains, network), contract, since, signal),
    }),
    "openai-x402": createOpenAiX402Provider(http),
    "marlin-oyster": marlinOysterProvider,
    "mcp-tool": createMcpToolProvider(endpoints, oip),
  };
  const providerOf = (seller: Pick<Seller, "provider">): Provider => providers[seller.provider];
  const catalog = createCatalog({ sellers, providerOf, clock, maxAgeMs: market.listingSeconds * 1000 });
  return { http, providerOf, carrierOf: createCarriers(http, endpoints), catalog };
}

/** What can be bought, cheapest knowledge first: cached listings, holds, prices in USD where the asset is stable. */
export async function viewModels(
  ctx: Pick<BuyerContext, "config" | "catalog" | "db">,
  options: { signal?: AbortSignal; refresh?: boolean },
): Promise<ModelsOnOffer> {
  const [listings, holds] = await Promise.all([ctx.catalog.listings(options), readHolds(ctx.db)]);
  const models = listings.flatMap(({ seller, models: listed }) => {
    const hold = holds.find((h) => h.sellerId === seller.id);
    return listed.map(({ takes, ...model }): ModelView => {
      const asset = findAsset(model.price, ctx.config.payment.assets);
      return {
        ...model,
        input: takes?.description ?? FORMATS[seller.provider].describeInput(model.inputs),
        assurance: seller.assurance,
        simulated: isSimulated(ctx, seller),
        seller: { id: seller.id, state: hold === undefined ? "ready" : "on_hold", reason: hold?.reason ?? null },
        priceUsd:
          model.price !== null && asset?.usdStable === true ? formatUnits(model.price.amount, asset.decimals) : null,
        token: asset ?? null,
      };
    });
  });
  return {
    models,
    unsupported: listings.flatMap(({ unsupported }) => unsupported),
    unreachable: listings.filter((l) => l.unreachable !== null).map((l) => l.seller.id),
  };
}

/** A seller whose evidence is only accepted because simulated roots are: shown before anything is bought. A key alone has no root. */
const isSimulated = (ctx: Pick<BuyerContext, "config">, seller: Seller): boolean =>
  seller.assurance !== "none" && !isKeyAlone(seller) && ctx.config.verification.simulatedRoots.length > 0;

/** The entry pins a signing key and claims no hardware. */
const isKeyAlone = ({ assurance, registry, reference }: Seller): boolean =>
  assurance === "signed" &&
  registry === undefined &&
  reference.keyIds.length > 0 &&
  reference.measurements.length + (reference.pcrHashes ?? []).length === 0;
