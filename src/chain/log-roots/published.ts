import { lowered, type Address } from "../../evidence/bytes.ts";
import { Proof402Error } from "../../errors.ts";
import type { Chain } from "../chain.ts";
import { DEPLOYER, LOG_ROOTS, LOG_ROOTS_ABI, nameWord } from "./contract.ts";

/** One log of a publisher. `name` is at most 31 ASCII characters. */
export type NamedLog = { publisher: Address; name: string };

/** A root as the chain keeps it: `root` is 32 bytes as hex without 0x, `at` the block's time in unix seconds. */
export type PublishedRoot = { entries: number; root: string; at: number };

/** Far behind any block's time, and a time that a Date holds: unix seconds of the year 9999. */
const LAST_SECOND = 253_402_300_799n;

/** Whether the chain has the contract, and the deployer. Throws the chain's Proof402Error. */
export const codeAt = (chain: Chain): Promise<{ contract: boolean; deployer: boolean }> =>
  chain.read(async (client) => {
    const [contract, deployer] = await Promise.all([client.getCode(LOG_ROOTS), client.getCode(DEPLOYER)]);
    return { contract: contract.length > 2, deployer: deployer.length > 2 };
  });

/** The newest root over a log, by the chain's newest block; null where there is none. Throws the chain's Proof402Error. */
export async function publishedRoot(chain: Chain, { publisher, name }: NamedLog): Promise<PublishedRoot | null> {
  const args = [publisher, nameWord(name)] as const;
  const head = await chain.read(async (client) =>
    (await client.getCode(LOG_ROOTS)).length > 2
      ? client.readContract({ address: LOG_ROOTS, abi: LOG_ROOTS_ABI, functionName: "heads", args })
      : null,
  );
  if (head === null || head[0] === 0n) return null;
  const [entries, at, root] = head;
  if (entries > BigInt(Number.MAX_SAFE_INTEGER) || at > LAST_SECOND) {
    throw new Proof402Error("chain_answer_unusable", "The chain tells of a root that no log can have.", {
      next: "Use another RPC, then run the same command again.",
    });
  }
  return { entries: Number(entries), root: lowered(root).slice(2), at: Number(at) };
}
