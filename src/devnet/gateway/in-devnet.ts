import type { Address } from "viem";
import * as z from "zod";
import { jsonOf } from "../../evidence/bytes.ts";
import type { ConfigInput } from "../../config/schema.ts";
import type { SimulatedRoot } from "../../node/index.ts";
import type { Anvil } from "../anvil.ts";
import type { Bank } from "../bank.ts";
import type { Relay } from "../relay.ts";
import type { Upstream } from "../upstream.ts";
import { gatewaySettings, openGatewayMarket } from "./open.ts";

/** Its name in a market. */
export type GatewayName = "gateway";

/** A market's gateway, and its entries in a buyer's configuration. */
export type DevnetGateway = {
  name: GatewayName;
  origin: string;
  payTo: Address;
  entry: NonNullable<ConfigInput["sellers"]>[number];
  asset: ConfigInput["payment"]["assets"][number];
  stop: () => Promise<void>;
};

/** Names of an upstream's list that are sold. */
const MAX_MODELS = 100;
/** What the buyer's wallet holds at the start: 100 whole tokens. */
const FUND = 10n ** 20n;
/** How long a permit waits for another call, and an answer for its batch, ms. */
const WAITS = { idleMs: 500, batchMs: 250 };

/** Starts a gateway with its token, its registry and its store of blobs. Throws Proof402Error `port_taken`. */
export async function openDevnetGateway(
  market: {
    anvil: Anvil;
    bank: Bank;
    root: SimulatedRoot;
    relay: Relay;
    facilitator: { origin: string; address: Address };
    upstream: Upstream;
    buyer: Address;
  },
  { port }: { port?: number | undefined } = {},
): Promise<DevnetGateway> {
  const { anvil, bank, root, relay, facilitator, upstream } = market;
  const models = await modelsOf(upstream);
  const opened = await openGatewayMarket({ anvil, bank, root, facilitator, upstream, models, relay, ...WAITS });
  const gateway = await opened.open({ port });
  await opened.token.mint(market.buyer, FUND);
  const network = `eip155:${anvil.chainId}`;
  const { asset, seller } = gatewaySettings(opened, gateway, { network, facilitator: facilitator.address, models });
  const stop = async (): Promise<void> => {
    await gateway.stop();
    await opened.stop();
  };
  return { name: "gateway", origin: gateway.origin, payTo: gateway.payTo, entry: seller, asset, stop };
}

const listSchema = z.object({ data: z.array(z.object({ id: z.string().max(128) })).min(1) });

/** The names that an upstream lists. Throws Error for an upstream without a list. */
async function modelsOf(upstream: Upstream): Promise<string[]> {
  const response = await upstream(new Request("http://upstream/v1/models"));
  const parsed = listSchema.safeParse(jsonOf(new Uint8Array(await response.arrayBuffer())));
  if (!parsed.success) throw new Error("the upstream lists no models at /v1/models");
  return [...new Set(parsed.data.data.map(({ id }) => id))].slice(0, MAX_MODELS);
}
