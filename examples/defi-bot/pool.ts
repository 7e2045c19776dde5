import {
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  http,
  keccak256,
  type Address,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { pool as contract } from "./pool.artifact.ts";
import { testToken } from "./test-token.artifact.ts";
import type { SignedOrder } from "./store.ts";
import type { Wish } from "./strategy.ts";

/** A trade as the chain tells it. */
export type Swapped = { orderId: Hex; side: Wish["side"]; eth: bigint; usd: bigint; transaction: Hex };

/** Seconds that a signed order stays good for. A late one reverts, which is an end like any other. */
const GOOD_FOR = 120n;
/** How long the chain is waited for: a call, and an order to be mined, ms. */
const CALL_MS = 5000;
const MINED_MS = 60_000;

/** Reads and trades one pool for one account. Nothing here decides: it says what the chain says, and sends what it is given. */
export async function openPool(
  { chain: place, pool }: { chain: { rpcUrl: string; id: number }; pool: Address },
  key: Hex,
) {
  const chain = defineChain({
    id: place.id,
    name: "the pool's chain",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [place.rpcUrl] } },
  });
  const transport = http(place.rpcUrl, { retryCount: 0, timeout: CALL_MS });
  const client = createPublicClient({ chain, transport, pollingInterval: 50 });
  const account = privateKeyToAccount(key);
  const wallet = createWalletClient({ account, chain, transport });
  const at = { address: pool, abi: contract.abi } as const;
  const eth = await client.readContract({ ...at, functionName: "eth" });

  const outcomeOf = async (hash: Hex): Promise<"traded" | "reverted"> => {
    const { status } = await client.waitForTransactionReceipt({ hash, timeout: MINED_MS });
    return status === "success" ? "traded" : "reverted";
  };
  async function swaps(only: { orderId?: Hex }): Promise<Swapped[]> {
    const args = { trader: account.address, ...only };
    const found = await client.getContractEvents({ ...at, eventName: "Swap", args, strict: true, fromBlock: 0n });
    return found.map(({ args: { orderId, buys, eth: amount, usd }, transactionHash }) => ({
      orderId,
      side: buys ? "buy" : "sell",
      eth: amount,
      usd,
      transaction: transactionHash,
    }));
  }
  return {
    trader: account.address,
    /** Wei of ETH that the account holds. */
    position: () =>
      client.readContract({
        address: eth,
        abi: testToken.abi,
        functionName: "balanceOf",
        args: [account.address],
      }),
    /** What the order would cost or bring now, in the pool's USD base units. */
    quote: ({ side, eth: amount }: Wish) =>
      client.readContract({ ...at, functionName: "quote", args: [side === "buy", amount] }),
    balanceOf: (token: Address, owner: Address) =>
      client.readContract({ address: token, abi: testToken.abi, functionName: "balanceOf", args: [owner] }),
    traded: (orderId: Hex) => client.readContract({ ...at, functionName: "traded", args: [account.address, orderId] }),
    /** The number of the account's transactions on chain: each nonce below it is used for ever. */
    used: () => client.getTransactionCount({ address: account.address, blockTag: "latest" }),
    /** Signs an order and sends nothing. Throws where the chain would refuse it now. */
    async sign({ side, eth: amount }: Wish, usdLimit: bigint, orderId: Hex): Promise<SignedOrder> {
      const deadline = BigInt(Math.floor(Date.now() / 1000)) + GOOD_FOR;
      const args = [side === "buy", amount, usdLimit, deadline, orderId] as const;
      const data = encodeFunctionData({ abi: contract.abi, functionName: "swap", args });
      const request = await wallet.prepareTransactionRequest({ to: pool, data, blockTag: "pending" });
      const raw = await wallet.signTransaction(request);
      return { orderId, raw, hash: keccak256(raw), nonce: request.nonce };
    },
    /** Sends a signed order and waits for its block. What it throws says nothing of the order: it may still be mined. */
    async send({ raw, hash }: SignedOrder): Promise<"traded" | "reverted"> {
      await client.sendRawTransaction({ serializedTransaction: raw });
      return outcomeOf(hash);
    },
    /** Sends the same bytes again, once more at most: a chain that has them, or has used their nonce, refuses. */
    async resend({ raw, hash }: SignedOrder): Promise<void> {
      await client.sendRawTransaction({ serializedTransaction: raw }).catch(() => undefined);
      await outcomeOf(hash).catch(() => undefined);
    },
    swap: async (orderId: Hex): Promise<Swapped | null> => (await swaps({ orderId }))[0] ?? null,
    /** The account's trades, the oldest first. */
    swaps: () => swaps({}),
  };
}

export type PoolAccess = Awaited<ReturnType<typeof openPool>>;
