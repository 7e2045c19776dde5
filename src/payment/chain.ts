import type { PublicClient } from "viem";
import { chainIdOf } from "../evidence/eip3009.ts";
import { Proof402Error } from "../errors.ts";

/** Where and how a chain is read: one entry of the configuration's `networks`. */
export type ChainConfig = {
  /** CAIP-2, e.g. `eip155:8453`. */
  network: string;
  rpcUrl: string;
  /** Blocks on top of a block before what it holds is believed. */
  confirmations: number;
  pollMilliseconds: number;
};

/** A chain to read from. Nothing is ever sent to it. */
export type Chain = {
  network: string;
  confirmations: number;
  /**
   * Runs `work` with a client of the chain, whose id is checked once. Throws Proof402Error `wrong_chain`, or
   * `chain_unreachable` for whatever the RPC or the way to it did wrong; its address, which may hold a key, is in neither.
   */
  read<T>(work: (client: PublicClient) => Promise<T>): Promise<T>;
};

/** Opens a chain lazily: no request is made before the first read. */
export function openChain(config: ChainConfig): Chain {
  const chainId = chainIdOf(config.network);
  let checked: Promise<PublicClient> | null = null;
  const client = (): Promise<PublicClient> => {
    checked ??= connect(config, chainId).catch((error: unknown) => {
      checked = null;
      throw error;
    });
    return checked;
  };
  return {
    network: config.network,
    confirmations: config.confirmations,
    async read(work) {
      try {
        return await work(await client());
      } catch (error) {
        if (Proof402Error.isInstance(error)) throw error;
        // viem's messages quote the URL and the request: only the kind of error is kept.
        throw new Proof402Error("chain_unreachable", `The RPC of ${config.network} gave no usable answer.`, {
          next: "Nothing is lost: it is asked again later. Check networks[].rpcUrl if this lasts.",
          details: { network: config.network, error: error instanceof Error ? error.name : "error" },
        });
      }
    },
  };
}

async function connect(config: ChainConfig, chainId: number): Promise<PublicClient> {
  const { createPublicClient, http } = await import("viem");
  const client = createPublicClient({
    transport: http(config.rpcUrl, { retryCount: 1, retryDelay: 100, timeout: 10_000 }),
    pollingInterval: config.pollMilliseconds,
    cacheTime: 0,
  });
  const answered = await client.getChainId();
  if (answered === chainId) return client;
  throw new Proof402Error("wrong_chain", `The RPC configured for ${config.network} serves chain ${answered}.`, {
    next: "Correct networks[].rpcUrl; nothing is believed from this RPC.",
    details: { network: config.network, answered },
  });
}
