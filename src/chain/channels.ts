import { CHANNELS } from "../evidence/channel.ts";
import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import type { ChainClient } from "./client.ts";

/** `channels(bytes32)` of x402's batch settlement: the deposit less withdrawals, and the claimed sum. */
export const CHANNELS_ABI = [
  {
    type: "function",
    name: "channels",
    stateMutability: "view",
    inputs: [{ name: "channelId", type: "bytes32" }],
    outputs: [
      { name: "balance", type: "uint128" },
      { name: "totalClaimed", type: "uint128" },
    ],
  },
] as const;

/** Base units. */
export type ChannelState = { balance: bigint; totalClaimed: bigint };

/** Channels of one request. */
const MOST_AT_ONCE = 500;

const callFor = (channelId: string) =>
  ({
    address: CHANNELS,
    abi: CHANNELS_ABI,
    functionName: "channels",
    args: [toHex0x(fromHex0x(channelId))],
  }) as const;

/** A channel in the state of a block. */
export async function readChannelState(
  client: ChainClient,
  channelId: string,
  blockNumber: bigint,
): Promise<ChannelState> {
  const [balance, totalClaimed] = await client.readContract(callFor(channelId), blockNumber);
  return { balance, totalClaimed };
}

/** Channels as the newest block has them, in their order. */
export async function readChannelStates(client: ChainClient, channelIds: readonly string[]): Promise<ChannelState[]> {
  const states: ChannelState[] = [];
  for (let from = 0; from < channelIds.length; from += MOST_AT_ONCE) {
    const read = await client.readContracts(channelIds.slice(from, from + MOST_AT_ONCE).map(callFor));
    states.push(...read.map(([balance, totalClaimed]) => ({ balance, totalClaimed })));
  }
  return states;
}
