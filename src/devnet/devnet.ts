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
  WITHDRAW_DELAY_SECONDS,
  type Enclave,
  type InferenceNode,
  type Signer,
} from "../node/index.ts";
import { walletFromPrivateKey, type Wallet } from "../payment/wallet.ts";
import { startAnvil } from "./anvil.ts";
import { openVerifiers, type ProofContract } from "./groth16-contracts.ts";
import { openProving } from "./proving.ts";
import { tampering } from "./dishonest.ts";
import { addFaucet } from "./faucet.ts";
import { createFacilitator } from "./facilitator.ts";
import { openRelay, openValidationRegistry } from "./relay.ts";
import { serveLocally } from "./serve.ts";
import { openBank, type Bank } from "./bank.ts";

/**
 * The sellers of every devnet. `honest` gives evidence of its answers. `tampering` changes answers after it signed them, and
 * is cheaper. `unattested` gives no evidence, and is the cheapest.
 */
export const SELLERS = ["honest", "tampering", "unattested"] as const;
/**
 * The sellers that prove, if the devnet is started with them. `forger` proves the computation of another model. `keyed` has no
 * enclave: its key and its proofs are all there is.
 */
const PROVING_SELLERS = ["prover", "forger", "keyed"] as const;
export type SellerName = (typeof SELLERS)[number];
type AnySeller = SellerName | (typeof PROVING_SELLERS)[number];

/** Base units (6 decimals) per inference. */
const PRICES: Record<AnySeller, string> = {
  honest: "10000",
  tampering: "4000",
  unattested: "3000",
  prover: "20000",
  forger: "15000",
  keyed: "25000",
};
/** Small and quick, so that an anchored answer can be watched. */
const BATCHES = { maxLeaves: 20, maxWaitMilliseconds: 250 };
const MODELS = ["eth-risk", "payroll-check", "supply-route"] as const;

/** What of a devnet can be chosen. Money in base units of its token. */
export type DevnetOptions = {
  /** Fixed ports where wanted; free ones otherwise. */
  ports?: Partial<Record<"chain" | "facilitator" | AnySeller, number>> | undefined;
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
    Partial<Record<AnySeller, { origin: string; payTo: Address }>>;
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
    const buyer = privateKeyToAccount(privateKey).address;
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
        sellers.map((s) => [s.name, { origin: s.origin, payTo: s.payTo }]),
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

const isProving = (name: AnySeller): boolean => PROVING_SELLERS.some((one) => one === name);

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

type OpenSeller = { name: AnySeller; payTo: Address; origin: string; node: InferenceNode; authorizer: string };

function settingsOf(market: {
  rpcUrl: string;
  chainId: number;
  bank: Bank;
  relay: Address;
  registry: Address;
  proofContracts: ProofContract[];
  rootSha256: string;
  sellers: OpenSeller[];
  facilitator: string;
}): ConfigInput {
  const { token, dai } = market.bank;
  const network = `eip155:${market.chainId}`;
  return {
    networks: [{ network, rpcUrl: market.rpcUrl, confirmations: 0, pollMilliseconds: 50 }],
    payment: {
      assets: [
        {
          network,
          asset: token.address,
          symbol: token.symbol,
          decimals: token.decimals,
          usdStable: true,
          domain: { name: token.name, version: token.version },
          perCall: "100000",
          perHour: "5000000",
          perDay: "20000000",
          total: "50000000",
        },
        {
          network,
          asset: dai.address,
          symbol: dai.symbol,
          decimals: dai.decimals,
          usdStable: true,
          domain: { name: dai.name, version: dai.version },
          perCall: "200000000000000000",
          perHour: "5000000000000000000",
          perDay: "20000000000000000000",
          total: "50000000000000000000",
        },
      ],
    },
    sellers: market.sellers.map(({ name, origin, payTo, node, authorizer }) => ({
      id: name,
      provider: "oip",
      origin,
      payTo: [payTo],
      facilitators: [market.facilitator],
      channel: { receiverAuthorizer: authorizer, withdrawDelaySeconds: WITHDRAW_DELAY_SECONDS },
      assurance: isProving(name) ? "proven" : node.measurements === null ? "none" : "attested",
      reference: {
        measurements: node.measurements === null ? [] : [node.measurements],
        keyIds: node.measurements === null && node.keyId !== null ? [node.keyId] : [],
        models: Object.fromEntries(node.models.map((model) => [model.name, model.sha256])),
        proofs: node.proofKeys,
        relays: node.keyId === null ? [] : [{ network, contract: market.relay }],
      },
    })),
    validationRegistry: { network, contract: market.registry },
    proofContracts: market.proofContracts.map((one) => ({ network, ...one })),
    verification: { simulatedRoots: [market.rootSha256], developmentSetups: true },
    http: { allowPrivateAddresses: true },
  };
}
