import type { Address, Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { lowered, utf8 } from "../../evidence/bytes.ts";
import type { ConfigInput } from "../../config/schema.ts";
import { createSimulatedEnclave, type Enclave, type SimulatedRoot } from "../../node/index.ts";
import type { Anvil } from "../anvil.ts";
import type { Bank, Token, TokenSpec } from "../bank.ts";
import type { Relay } from "../relay.ts";
import type { Upstream } from "../upstream.ts";
import { createGateway, type GatewayOptions } from "./gateway.ts";
import { openPublisher } from "./publishing.ts";
import { openTeeRegistry, type TeeRegistry } from "./registry.ts";
import { makeTlsIdentity, serveTls } from "./tls.ts";

/** A token like OPG. */
const OPG_SPEC: TokenSpec = { name: "OpenGradient", symbol: "OPG", version: "1", decimals: 18 };
/** Base units for a token of a prompt and of an answer. */
const PRICE = { input: 10n ** 13n, output: 4n * 10n ** 13n };
/** What one permit may take: a tenth of a token. */
const CAP = 10n ** 17n;
/** What an image of a gateway is told apart by here. */
const IMAGE = utf8("proof402 devnet gateway");

/** A running gateway, registered with its key and certificate. */
export type OpenGateway = {
  origin: string;
  payTo: Address;
  teeId: Hex;
  certificateSha256: string;
  /** DER. */
  certificate: Uint8Array;
  enclave: Enclave;
  stop: () => Promise<void>;
};

/** The shared parts of a market's gateways. */
export type GatewayMarket = {
  token: Token;
  registry: TeeRegistry;
  payTo: Address;
  /** Where the blobs of batches are read, and the contract that anchors them; null without a relay. */
  publishing: { aggregator: string; relay: { network: string; contract: Address } } | null;
  /** Ends what the gateways share. */
  stop(): Promise<void>;
  /** Starts one more gateway and registers it. `wrap` stands between it and its buyers. */
  open(options?: {
    port?: number | undefined;
    wrap?: ((fetch: (request: Request) => Promise<Response>) => (request: Request) => Promise<Response>) | undefined;
    isPriced?: () => boolean;
    publish?: GatewayOptions["publish"];
  }): Promise<OpenGateway>;
};

/** Puts token and registry of gateways on a chain. */
export async function openGatewayMarket(market: {
  anvil: Anvil;
  bank: Bank;
  root: SimulatedRoot;
  facilitator: { origin: string; address: Address };
  upstream: Upstream;
  models: readonly string[];
  /** How long a permit waits for another call before it is settled, ms. */
  idleMs?: number;
  /** Anchors the batches of those that ask for it, after this time, ms. */
  relay?: Relay;
  batchMs?: number;
  /** Deploys a registry of the older layout. */
  older?: boolean;
}): Promise<GatewayMarket> {
  const { anvil, bank, root, facilitator, upstream } = market;
  const [token, registry] = [
    await bank.deploy(OPG_SPEC),
    await openTeeRegistry(anvil, bank, { older: market.older ?? false }),
  ];
  const { relay } = market;
  const publisher =
    relay === undefined ? null : await openPublisher(await relay.anchor(), { waitMs: market.batchMs ?? 50 });
  const payTo = lowered(privateKeyToAccount(generatePrivateKey()).address);
  const prices = Object.fromEntries(market.models.map((model) => [model, PRICE]));
  return {
    token,
    registry,
    payTo,
    publishing:
      relay === undefined || publisher === null ? null : { aggregator: publisher.aggregator, relay: relay.place },
    stop: async () => publisher?.stop(),
    async open({ port, wrap, isPriced, publish } = {}) {
      const identity = await makeTlsIdentity();
      const enclave = await createSimulatedEnclave({ root, tlsCertificate: identity.der });
      await enclave.measureModels(IMAGE);
      const gateway = createGateway({
        upstream,
        prices,
        enclave,
        payment: {
          network: `eip155:${anvil.chainId}`,
          asset: token.address,
          domain: { name: token.name, version: token.version },
          payTo,
          facilitatorUrl: facilitator.origin,
          facilitatorAddress: facilitator.address,
          cap: CAP,
          maxTimeoutSeconds: 300,
          idleMs: market.idleMs ?? 500,
        },
        ...(isPriced === undefined ? {} : { isPriced }),
        publish: publish ?? ((exchange) => publisher?.publish(exchange)),
      });
      const served = await serveTls(wrap?.(gateway.fetch) ?? gateway.fetch, identity, port);
      const teeId = await registry.register({
        publicKey: enclave.publicKey,
        tlsCertificate: identity.der,
        paymentAddress: payTo,
        endpoint: served.origin,
        measurements: enclave.measurements(),
      });
      const stop = async (): Promise<void> => {
        await gateway.close();
        await served.stop();
      };
      const { der: certificate, sha256: certificateSha256 } = identity;
      return { origin: served.origin, payTo, teeId, certificateSha256, certificate, enclave, stop };
    },
  };
}

/** A gateway's seller and its token as a buyer's configuration names them. */
export function gatewaySettings(
  { token, registry, payTo, publishing }: GatewayMarket,
  { enclave }: OpenGateway,
  about: { network: string; facilitator: Address; models: readonly string[] },
): { asset: ConfigInput["payment"]["assets"][number]; seller: ConfigInput["sellers"][number] } {
  const { network } = about;
  return {
    asset: {
      network,
      asset: token.address,
      symbol: token.symbol,
      decimals: token.decimals,
      domain: { name: token.name, version: token.version },
      methods: ["upto"],
      perCall: String(CAP),
      perHour: String(CAP * 50n),
      perDay: String(CAP * 200n),
      total: String(CAP * 500n),
    },
    seller: {
      id: "gateway",
      provider: "opengradient",
      registry: registry.place,
      models: [...about.models],
      payTo: [payTo],
      facilitators: [about.facilitator],
      assurance: "attested",
      ...(publishing === null ? {} : { aggregator: publishing.aggregator }),
      reference: {
        measurements: [enclave.measurements()],
        relays: publishing === null ? [] : [publishing.relay],
      },
    },
  };
}
