import type { Address } from "viem";
import type { ConfigInput } from "../config/schema.ts";
import { WITHDRAW_DELAY_SECONDS, type InferenceNode } from "../node/index.ts";
import type { Bank } from "./bank.ts";
import type { ProofContract } from "./groth16-contracts.ts";

/**
 * The sellers of every devnet. `honest` gives evidence of its answers. `tampering` changes answers after it signed them, and
 * is cheaper. `unattested` gives no evidence, and is the cheapest.
 */
export const SELLERS = ["honest", "tampering", "unattested"] as const;
/**
 * The sellers that prove, if the devnet is started with them. `forger` proves the computation of another model. `keyed` has no
 * enclave: its key and its proofs are all there is.
 */
export const PROVING_SELLERS = ["prover", "forger", "keyed"] as const;
export type SellerName = (typeof SELLERS)[number];
export type AnySeller = SellerName | (typeof PROVING_SELLERS)[number];

/** Base units (6 decimals) per inference. */
export const PRICES: Record<AnySeller, string> = {
  honest: "10000",
  tampering: "4000",
  unattested: "3000",
  prover: "20000",
  forger: "15000",
  keyed: "25000",
};
/** Whether a seller proves its answers. */
export const isProving = (name: AnySeller): boolean => PROVING_SELLERS.some((one) => one === name);

/** A seller that runs. */
export type OpenSeller = { name: AnySeller; payTo: Address; origin: string; node: InferenceNode; authorizer: string };

/** The buyer's configuration for a market, as its file says it. */
export function settingsOf(market: {
  rpcUrl: string;
  chainId: number;
  bank: Bank;
  relay: Address;
  registry: Address;
  proofContracts: ProofContract[];
  rootSha256: string;
  sellers: OpenSeller[];
  /** Sellers of other kinds, as their entries have them. */
  others: NonNullable<ConfigInput["sellers"]>;
  /** Their tokens. */
  otherAssets: ConfigInput["payment"]["assets"];
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
        ...market.otherAssets,
      ],
    },
    sellers: [
      ...market.sellers.map(({ name, origin, payTo, node, authorizer }) => ({
        id: name,
        provider: "oip" as const,
        origin,
        payTo: [payTo],
        facilitators: [market.facilitator],
        channel: { receiverAuthorizer: authorizer, withdrawDelaySeconds: WITHDRAW_DELAY_SECONDS },
        assurance: isProving(name)
          ? ("proven" as const)
          : node.measurements === null
            ? ("none" as const)
            : ("attested" as const),
        reference: {
          measurements: node.measurements === null ? [] : [node.measurements],
          keyIds: node.measurements === null && node.keyId !== null ? [node.keyId] : [],
          models: Object.fromEntries(node.models.map((model) => [model.name, model.sha256])),
          proofs: node.proofKeys,
          relays: node.keyId === null ? [] : [{ network, contract: market.relay }],
        },
      })),
      ...market.others,
    ],
    validationRegistry: { network, contract: market.registry },
    proofContracts: market.proofContracts.map((one) => ({ network, ...one })),
    verification: { simulatedRoots: [market.rootSha256], developmentSetups: true },
    http: { allowPrivateAddresses: true },
  };
}
