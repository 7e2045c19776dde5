import type { Address, Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { fromHex0x, lowered, toHex0x } from "../evidence/bytes.ts";
import { configSchema, type Config, type ConfigInput } from "../config/schema.ts";
import {
  createInferenceNode,
  createSimulatedEnclave,
  createSigner,
  createSimulatedRoot,
  generateSigningKey,
  type Enclave,
  type Signer,
} from "../node/index.ts";
import { walletFromPrivateKey, type Wallet } from "../payment/wallet.ts";
import { startAnvil } from "./anvil.ts";
import { openDevnetGateway, type GatewayName } from "./gateway/in-devnet.ts";
import { openChatSeller, type ChatSellerName, type OpenChatSeller } from "./chat-seller.ts";
import { openVerifiers } from "./groth16-contracts.ts";
import { openProving } from "./proving.ts";
import { tampering } from "./dishonest.ts";
import { addFaucet } from "./faucet.ts";
import { createFacilitator } from "./facilitator.ts";
import { openRelay, openValidationRegistry } from "./relay.ts";
import { isProving, PRICES, settingsOf, type AnySeller, type OpenSeller, type SellerName } from "./settings.ts";
import { serveLocally } from "./serve.ts";
import { createUpstream, upstreamAt, type Upstream } from "./upstream.ts";
import { openBank, type Bank } from "./bank.ts";

/** Small and quick, so that an anchored answer can be watched. */
const BATCHES = { maxLeaves: 20, maxWaitMilliseconds: 250 };
const MODELS = ["eth-risk", "payroll-check", "supply-route"] as const;

/** What of a devnet can be chosen. Money in base units of its token. */
export type DevnetOptions = {
  /** Fixed ports where wanted; free ones otherwise. */
  ports?: Partial<Record<"chain" | "facilitator" | AnySeller | ChatSellerName | GatewayName, number>> | undefined;
  /** What the buyer's wallet holds at the start, base units. */
  fund?: bigint;
  /** Seconds between blocks; a block per transaction when absent. */
  blockSeconds?: number | undefined;
  /** The buyer's key; a new one when absent. */
  privateKey?: Hex | undefined;
  /**
   * Adds the sellers that prove. Their keys' development setups take some seconds; a folder keeps them for the next start.
   */
  proving?: boolean | { keptIn: string };
  /**
   * Adds `chat`, a seller of chats and completions: of the built-in upstream, or of any OpenAI-compatible API by the base of
   * its address (`http://127.0.0.1:11434/v1`). A `key` goes out to it as a bearer token.
   */
  chat?: boolean | { upstream: string; key?: string } | undefined;
  /**
   * Adds `gateway`, a gateway of language models as OpenGradient's, with its registry, its token and its certificate. An
   * upstream lists its models at `/v1/models`.
   */
  gateway?: boolean | { upstream: string; key?: string } | undefined;
  /** Hears the name of each step at its beginning. */
  progress?: ((step: string) => void) | undefined;
};

/** A whole market on this machine. */
export type Devnet = {
  /** A complete buyer's configuration for it, with its database in memory. `openBuyer(devnet)` takes it with the wallet. */
  config: Config;
  /** The buyer's funded wallet. */
  wallet: Wallet;
  /** The same as a configuration file says it, with its database beside the file. */
  settings: ConfigInput;
  /** The key of the wallet. */
  privateKey: Hex;
  rpcUrl: string;
  chainId: number;
  token: Address;
  /** The contract whose events anchor the sellers' batches. */
  relay: Address;
  facilitatorUrl: string;
  sellers: Record<SellerName, { origin: string; payTo: Address }> &
    Partial<Record<AnySeller | ChatSellerName | GatewayName, { origin: string; payTo: Address }>>;
  bank: Bank;
  balanceOf(owner: string): Promise<bigint>;
  /** Ends everything that was started. `await using` calls it. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Starts chain, token, facilitator and sellers. Everything it started is stopped again if any part fails.
 * Throws Proof402Error `anvil_missing`, `anvil_failed`, `port_taken`, `onnxruntime_missing` or `snarkjs_missing`.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { startDevnet } from "proof402/devnet";
 *
 * const market = await startDevnet();
 * const buyer = await openBuyer(market);
 * const { models } = await buyer.listModels();
 * await buyer.close();
 * await market.stop();
 * ```
 */
export async function startDevnet(options: DevnetOptions = {}): Promise<Devnet> {
  const started: (() => Promise<void>)[] = [];
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= endAll(started));
  const tell = options.progress ?? ((): void => {});
  try {
    tell("Starting a chain");
    const anvil = await startAnvil({
      port: options.ports?.chain,
      blockSeconds: options.blockSeconds,
    });
    started.push(anvil.stop);
    const { proving: wanted = false } = options;
    const proving = wanted === false ? null : openProving(MODELS, wanted === true ? null : wanted.keptIn);
    if (proving !== null) started.push(() => proving.close());
    tell(
      `Putting a token on the chain${proving === null ? "" : ", and making the proving keys that the folder does not hold"}`,
    );
    const [bank, root, proofs] = await Promise.all([openBank(anvil), createSimulatedRoot(), proving?.ready]);
    tell("Putting the contracts on the chain");
    const [relay, registry] = await Promise.all([openRelay(anvil, bank), openValidationRegistry(anvil, bank)]);
    const keys = Object.values(proofs?.models ?? {}).map(({ key }) => key);
    const verifiers = await openVerifiers(anvil, bank, keys);
    tell("Starting a facilitator and the sellers");
    const facilitatorKey = await bank.fundedKey();
    const app = createFacilitator(anvil, facilitatorKey);
    addFaucet(app, bank);
    const facilitator = await serveLocally(app.fetch, options.ports?.facilitator);
    started.push(facilitator.stop);

    const open = async (
      name: AnySeller,
      { enclave, signer }: { enclave?: Enclave; signer?: Signer } = {},
    ): Promise<OpenSeller> => {
      const authorizerKey = generatePrivateKey();
      const payTo = lowered(privateKeyToAccount(generatePrivateKey()).address);
      const node = await createInferenceNode({
        models: MODELS.map((model) => ({ name: model, price: PRICES[name] })),
        payment: {
          network: `eip155:${anvil.chainId}`,
          asset: bank.token.address,
          domain: { name: bank.token.name, version: bank.token.version },
          payTo,
          facilitatorUrl: facilitator.origin,
          rpcUrl: anvil.rpcUrl,
          ownPayee: true,
          methods: ["eip3009", "permit2", "upto", "voucher"],
          channels: { authorizerKey, claimSeconds: 1 },
          also: [
            {
              asset: bank.dai.address,
              domain: { name: bank.dai.name, version: bank.dai.version },
              rate: 10n ** BigInt(bank.dai.decimals - bank.token.decimals),
            },
          ],
        },
        enclave: enclave ?? null,
        // One honest seller sells by both ways.
        mcp: name === "honest",
        ...(signer === undefined ? {} : { signer }),
        anchoring: { anchor: await relay.anchor(), relay: relay.place, ...BATCHES },
        proving: proofs && isProving(name) ? { ...proofs, record: verifiers.record } : undefined,
      });
      started.push(() => node.close());
      const disguise = { tampering, forger: proving?.forging };
      const wrap = name === "tampering" || name === "forger" ? disguise[name] : undefined;
      const served = await serveLocally(wrap?.(node.fetch) ?? node.fetch, options.ports?.[name]);
      started.push(served.stop);
      const authorizer = privateKeyToAccount(authorizerKey).address.toLowerCase();
      return { name, payTo, node, origin: served.origin, authorizer };
    };
    const attesting = [
      "tampering",
      "honest",
      ...(proofs === undefined ? [] : (["prover", "forger"] as const)),
    ] as const;
    const sellers = await all([
      ...attesting.map(async (name) => open(name, { enclave: await createSimulatedEnclave({ root }) })),
      ...(proofs === undefined
        ? []
        : [generateSigningKey().then(async (pem) => open("keyed", { signer: await createSigner(pem) }))]),
      open("unattested"),
    ]);
    const privateKey = options.privateKey ?? generatePrivateKey();
    const facilitatorAddress = privateKeyToAccount(facilitatorKey).address.toLowerCase();
    const ofChats = await all(chatSellers({ anvil, bank, facilitator: facilitator.origin, options, started }));
    const buyer = privateKeyToAccount(privateKey).address;
    const atFacilitator = { origin: facilitator.origin, address: lowered(`0x${facilitatorAddress.slice(2)}`) };
    const gateways = await all(
      gatewaysOf(options).map(async ({ upstream }) => {
        const shared = { anvil, bank, root, relay, facilitator: atFacilitator, upstream, buyer };
        const { stop: end, ...gateway } = await openDevnetGateway(shared, { port: options.ports?.gateway });
        started.push(end);
        return gateway;
      }),
    );
    await bank.token.mint(buyer, options.fund ?? 100_000_000n);
    await bank.dai.mint(buyer, (options.fund ?? 100_000_000n) * 10n ** 12n);
    // Only for approvals: a payment costs its payer no gas.
    await bank.fund(buyer);
    const settings = settingsOf({
      rpcUrl: anvil.rpcUrl,
      chainId: anvil.chainId,
      bank,
      relay: relay.address,
      registry,
      proofContracts: verifiers.contracts,
      rootSha256: root.sha256,
      sellers,
      others: [
        ...ofChats.map(({ entry }) => ({ ...entry, facilitators: [facilitatorAddress] })),
        ...gateways.map(({ entry }) => entry),
      ],
      otherAssets: gateways.map(({ asset }) => asset),
      facilitator: facilitatorAddress,
    });
    return {
      config: configSchema.parse({ ...settings, database: ":memory:" }),
      wallet: walletFromPrivateKey(privateKey),
      settings,
      privateKey,
      rpcUrl: anvil.rpcUrl,
      chainId: anvil.chainId,
      token: bank.token.address,
      relay: relay.address,
      facilitatorUrl: facilitator.origin,
      sellers: Object.fromEntries(
        [...sellers, ...ofChats, ...gateways].map((s) => [s.name, { origin: s.origin, payTo: s.payTo }]),
      ) as Devnet["sellers"],
      bank,
      balanceOf: (owner) => bank.balanceOf(toHex0x(fromHex0x(owner))),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    // What failed first is what the caller needs to hear.
    await stop().catch(() => undefined);
    throw error;
  }
}

const gatewaysOf = ({ gateway = false }: DevnetOptions): { upstream: Upstream }[] =>
  gateway === false
    ? []
    : [{ upstream: gateway === true ? createUpstream() : upstreamAt(gateway.upstream, gateway.key) }];

/** Opens the wanted sellers of chats, and puts them on the list of what was started. */
function chatSellers({
  anvil,
  bank,
  facilitator,
  options: { chat = false, ports },
  started,
}: {
  anvil: { chainId: number };
  bank: Bank;
  facilitator: string;
  options: DevnetOptions;
  started: (() => Promise<void>)[];
}): Promise<OpenChatSeller>[] {
  if (chat === false) return [];
  const upstream = chat === true ? createUpstream() : upstreamAt(chat.upstream, chat.key);
  const network = `eip155:${anvil.chainId}` as const;
  const opening = openChatSeller(
    { upstream, network, token: bank.token, facilitatorUrl: facilitator },
    { port: ports?.chat },
  );
  return [opening.then(({ stop, ...seller }) => (started.push(stop), seller))];
}

/** As `Promise.all`, but nothing is still starting when it throws: what starts later could not be stopped. */
async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** Ends in reverse order. One part that will not end keeps no other running. */
async function endAll(parts: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of parts.toReversed()) await end().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw new AggregateError(failures, "A part of the devnet did not end.");
}
