import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import { channelIdOf, CHANNELS, type ChannelConfig } from "../evidence/channel.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import type { Chain } from "./chain.ts";
import { readChannelState } from "./settlement-channel.ts";
import { depositNonce } from "./typed-data.ts";

/** What the chain says of a channel. Amounts in base units, times in unix seconds of the chain. */
export type ChannelOnChain = {
  /** The token took the authorization of its deposit. */
  deposited: boolean;
  /** What was put in and not taken back, claimed money included. */
  balance: bigint;
  totalClaimed: bigint;
  /** What was asked back, and from when on it can be taken; null where nothing was. */
  withdrawal: { amount: bigint; readyAt: number } | null;
  /** Time of the block read. */
  now: number;
};

/** Of x402's batch settlement and of EIP-3009. */
const ABI = [
  {
    type: "function",
    name: "pendingWithdrawals",
    stateMutability: "view",
    inputs: [{ name: "channelId", type: "bytes32" }],
    outputs: [
      { name: "amount", type: "uint128" },
      { name: "initiatedAt", type: "uint40" },
    ],
  },
  {
    type: "function",
    name: "authorizationState",
    stateMutability: "view",
    inputs: [
      { name: "authorizer", type: "address" },
      { name: "nonce", type: "bytes32" },
    ],
    outputs: [{ name: "", type: "bool" }],
  },
] as const;

/** A channel as the newest block has it. Throws Proof402Error `wrong_chain` or `chain_unreachable`. */
export const readOnChain = (chain: Chain, config: ChannelConfig): Promise<ChannelOnChain> =>
  chain.read(async (client) => {
    const id = channelIdOf(chainIdOf(chain.network), config);
    const { number: blockNumber, timestamp } = await client.getBlock();
    const [{ balance, totalClaimed }, [amount, initiatedAt], deposited] = await Promise.all([
      readChannelState(client, id, blockNumber),
      client.readContract({
        address: hex(CHANNELS),
        abi: ABI,
        functionName: "pendingWithdrawals",
        args: [hex(id)],
        blockNumber,
      }),
      client.readContract({
        address: hex(config.token),
        abi: ABI,
        functionName: "authorizationState",
        args: [hex(config.payer), hex(depositNonce(id))],
        blockNumber,
      }),
    ]);
    return {
      deposited,
      balance,
      totalClaimed,
      withdrawal: initiatedAt === 0 ? null : { amount, readyAt: initiatedAt + config.withdrawDelay },
      now: Number(timestamp),
    };
  });

/** The state of a channel by what the chain shows, whatever was noted of it; `noted` counts only before its deposit. */
export function stateOf(seen: ChannelOnChain, noted: ChannelsTable["state"]): ChannelsTable["state"] {
  if (seen.withdrawal !== null) return "closing";
  if (seen.balance > seen.totalClaimed) return "open";
  return noted === "opening" && !seen.deposited ? "opening" : "closed";
}

const hex = (text: string): `0x${string}` => toHex0x(fromHex0x(text));
