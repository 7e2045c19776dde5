import type { PublicClient } from "viem";

/**
 * The chain id that an RPC names; null if it is no hex quantity (EIP-695). A bigint: a number of JavaScript would round
 * one above 2^53.
 */
export async function askChainId(client: PublicClient): Promise<bigint | null> {
  const said: unknown = await client.request({ method: "eth_chainId" }, { dedupe: true });
  return typeof said === "string" && /^0x[0-9a-fA-F]{1,64}$/.test(said) ? BigInt(said) : null;
}
