import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  nonceManager,
  type Address,
  type Hex,
  type PublicClient,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { lowered } from "../evidence/bytes.ts";
import { rpcTransport } from "./transport.ts";
import type { Anvil } from "./anvil.ts";
import { EXACT_PROXY, PERMIT2, UPTO_PROXY } from "../evidence/permit2.ts";
import { CHANNELS, DEPOSIT_COLLECTOR } from "../evidence/channel.ts";
import { devChannels } from "./contracts/dev-channels.artifact.ts";
import { devDepositCollector } from "./contracts/dev-deposit-collector.artifact.ts";
import { devExactProxy } from "./contracts/dev-exact-proxy.artifact.ts";
import { devPermit2 } from "./contracts/dev-permit2.artifact.ts";
import { devUptoProxy } from "./contracts/dev-upto-proxy.artifact.ts";
import { devMulticall } from "./contracts/dev-multicall.artifact.ts";
import { devUsd } from "./contracts/dev-usd.artifact.ts";

/** What a token is deployed with. */
export type TokenSpec = { name: string; symbol: string; version: string; decimals: number };

/** USDC's own EIP-712 domain, so buyers and sellers are set up as for the real token. */
export const USDC_SPEC: TokenSpec = { name: "USD Coin", symbol: "USDC", version: "2", decimals: 6 };

/** A token of 18 decimals beside it. */
const DAI_SPEC: TokenSpec = { name: "Dev Dai", symbol: "DAI", version: "1", decimals: 18 };

/** A deployed token. `mint` takes base units and resolves when they are there. */
export type Token = TokenSpec & { address: Address; mint(to: Address, amount: bigint): Promise<void> };

/** A chain with money on it: who pays gas, and the deployed token. */
export type Bank = {
  client: PublicClient;
  token: Token;
  /** A second token, of 18 decimals, which is worth as much a piece. */
  dai: Token;
  deploy(spec: TokenSpec): Promise<Token>;
  /** A fresh account with ether for gas. */
  fundedKey(): Promise<Hex>;
  /** Gives an account ether for gas. */
  fund(account: Address): Promise<void>;
  balanceOf(owner: Address): Promise<bigint>;
};

const MULTICALL3: Address = "0xcA11bde05977b3631167028862bE2a173976CA11";
const ETHER = 10n ** 18n;
/** viem's default of four seconds would be all the time there is. */
export const POLL_MS = 20;

/**
 * Puts the multicall double in place (facilitators need it to name their errors) and deploys a USDC-like token.
 *
 * @example
 * ```ts
 * import { openBank, startAnvil } from "proof402/devnet";
 *
 * const bank = await openBank(await startAnvil());
 * const key = await bank.fundedKey();
 * ```
 */
export async function openBank(anvil: Anvil): Promise<Bank> {
  const transport = rpcTransport(anvil.rpcUrl);
  const client = createPublicClient({ chain: foundry, transport, pollingInterval: POLL_MS });
  const test = createTestClient({ chain: foundry, transport, mode: "anvil" });
  // Canonical addresses hold on every chain; what stands there here is our own doubles of them.
  for (const [address, { runtime }] of [
    [MULTICALL3, devMulticall],
    [PERMIT2, devPermit2],
    [EXACT_PROXY, devExactProxy],
    [UPTO_PROXY, devUptoProxy],
    [CHANNELS, devChannels],
    [DEPOSIT_COLLECTOR, devDepositCollector],
  ] as const)
    await test.setCode({ address, bytecode: runtime });
  const fund = (address: Address): Promise<void> => test.setBalance({ address, value: 1000n * ETHER });
  const fundedKey = async (): Promise<Hex> => {
    const key = generatePrivateKey();
    await fund(privateKeyToAccount(key).address);
    return key;
  };
  const account = privateKeyToAccount(await fundedKey(), { nonceManager });
  const wallet = createWalletClient({ account, chain: foundry, transport, pollingInterval: POLL_MS });
  const deploy = async (spec: TokenSpec): Promise<Token> => {
    const hash = await wallet.deployContract({
      abi: devUsd.abi,
      bytecode: devUsd.bytecode,
      args: [spec.name, spec.symbol, spec.version, spec.decimals],
    });
    const { contractAddress } = await client.waitForTransactionReceipt({ hash });
    if (contractAddress == null) throw new Error("the token was not deployed");
    const address = lowered(contractAddress);
    return {
      ...spec,
      address,
      async mint(to, amount) {
        const mintHash = await wallet.writeContract({
          address,
          abi: devUsd.abi,
          functionName: "mint",
          args: [to, amount],
        });
        await client.waitForTransactionReceipt({ hash: mintHash });
      },
    };
  };
  const [token, dai] = [await deploy(USDC_SPEC), await deploy(DAI_SPEC)];
  return {
    client,
    token,
    dai,
    deploy,
    fundedKey,
    fund,
    balanceOf: (owner) =>
      client.readContract({ address: token.address, abi: devUsd.abi, functionName: "balanceOf", args: [owner] }),
  };
}
