import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { configSchema, type Config } from "../../src/config/schema.ts";
import {
  gatewaySettings,
  openGatewayMarket,
  type GatewayMarket,
  type OpenGateway,
} from "../../src/devnet/gateway/open.ts";
import { openRelay } from "../../src/devnet/relay.ts";
import { createUpstream, type Upstream } from "../../src/devnet/upstream.ts";
import { lowered } from "../../src/evidence/bytes.ts";
import { createSimulatedRoot } from "../../src/node/index.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { openMarket, type Market } from "./devnet.ts";

/** The model that the devnet's upstream answers by. */
export const CHAT_MODEL = "devnet-chat";
export const HELLO = { messages: [{ role: "user", content: "Say hello to the world" }] };

type Wrap = (fetch: (request: Request) => Promise<Response>) => (request: Request) => Promise<Response>;

/** A devnet with gateways, whose buyers may spend their OPG. */
export type GatewayWorld = {
  market: Market;
  gateways: GatewayMarket;
  /** Starts one more gateway. `wrap` stands between it and its buyers. */
  open(options?: Parameters<GatewayMarket["open"]>[0]): Promise<OpenGateway>;
  /** A buyer's configuration for these gateways alone. */
  config(gateway: OpenGateway, change?: (config: Config) => void): Promise<Config>;
  buyer(gateway: OpenGateway, change?: (config: Config) => void): Promise<Buyer>;
  /** Base units of OPG of the payee. */
  received(): Promise<bigint>;
  stop(): Promise<void>;
};

export async function openGatewayWorld(
  options: { upstream?: Upstream; older?: boolean; idleMs?: number } = {},
): Promise<GatewayWorld> {
  const market = await openMarket();
  const { devnet } = market;
  const anvil = { rpcUrl: devnet.rpcUrl, chainId: devnet.chainId, stop: () => Promise.resolve() };
  const root = await createSimulatedRoot();
  const address = lowered(`0x${devnet.config.sellers[0]?.facilitators[0]?.slice(2) ?? ""}`);
  const gateways = await openGatewayMarket({
    anvil,
    bank: devnet.bank,
    root,
    facilitator: { origin: devnet.facilitatorUrl, address },
    upstream: options.upstream ?? createUpstream(),
    models: [CHAT_MODEL],
    idleMs: options.idleMs ?? 50,
    relay: await openRelay(anvil, devnet.bank),
    older: options.older ?? false,
  });
  await gateways.token.mint(devnet.wallet.address, 10n ** 20n);
  const stops: (() => Promise<void>)[] = [];
  let isApproved = false;
  const configOf = async (gateway: OpenGateway, change?: (config: Config) => void): Promise<Config> => {
    const network = `eip155:${devnet.chainId}`;
    const { asset, seller } = gatewaySettings(gateways, gateway, {
      network,
      facilitator: address,
      models: [CHAT_MODEL],
    });
    const base = market.config();
    const made = configSchema.parse({
      ...devnet.settings,
      database: base.database,
      payment: { assets: [asset] },
      sellers: [seller],
      verification: { ...devnet.settings.verification, simulatedRoots: [root.sha256] },
    });
    change?.(made);
    if (!isApproved) {
      const [chainConfig, token] = [made.networks[0], made.payment.assets[0]];
      if (chainConfig === undefined || token === undefined) throw new Error("a devnet has a network and a token");
      const db = await openDatabase(":memory:");
      const { wallet } = devnet;
      await approvePermit2({ db, chain: openChain(chainConfig), wallet, asset: token, amount: BigInt(token.total) });
      await db.destroy();
      isApproved = true;
    }
    return made;
  };
  return {
    market,
    gateways,
    async open(how) {
      const gateway = await gateways.open(how);
      stops.push(() => gateway.stop());
      return gateway;
    },
    config: configOf,
    async buyer(gateway, change) {
      const buyer = await openBuyer({ config: await configOf(gateway, change), wallet: devnet.wallet });
      stops.push(() => buyer.close());
      return buyer;
    },
    received: () =>
      devnet.bank.client.readContract({
        address: gateways.token.address,
        abi: [
          {
            type: "function",
            name: "balanceOf",
            stateMutability: "view",
            inputs: [{ name: "owner", type: "address" }],
            outputs: [{ name: "", type: "uint256" }],
          },
        ],
        functionName: "balanceOf",
        args: [gateways.payTo],
      }),
    async stop() {
      for (const end of stops.toReversed()) await end();
      await gateways.stop();
      await market.stop();
    },
  };
}

export type { Wrap };
