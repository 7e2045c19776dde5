import { chainIdOf } from "../evidence/eip3009.ts";
import { Proof402Error } from "../errors.ts";
import type { ChainClient } from "./client.ts";

/**
 * Throws Proof402Error `wrong_chain` if an RPC names another chain than its network's, or no hex quantity (EIP-695). The
 * ids are compared as bigints: a number of JavaScript would round one above 2^53.
 */
export async function requireChainId(client: ChainClient, network: string): Promise<void> {
  const said: unknown = await client.chainId();
  const id = typeof said === "string" && /^0x[0-9a-fA-F]{1,64}$/.test(said) ? BigInt(said) : null;
  if (id === BigInt(chainIdOf(network))) return;
  throw new Proof402Error(
    "wrong_chain",
    id === null
      ? `The RPC configured for ${network} names no chain id that can be read.`
      : `The RPC configured for ${network} serves chain ${id}.`,
    {
      next: "Correct the RPC's address in the configuration; nothing is believed from this RPC.",
      details: { network, answered: id !== null && id > Number.MAX_SAFE_INTEGER ? id.toString() : id && Number(id) },
    },
  );
}
