import { CHANNELS_ABI, readChannelState, readChannelStates } from "../chain/channels.ts";
import { NONCES_ABI } from "../chain/nonces.ts";
import type { Hex } from "../evidence/bytes.ts";
import { channelIdOf, CHANNELS, type ChannelConfig } from "../evidence/channel.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import type { Chain } from "../chain/chain.ts";
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
  ...CHANNELS_ABI,
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
] as const;

/** Whether the token took the authorization of a channel's deposit. */
const depositOf = ({ token, payer }: ChannelConfig, id: Hex) =>
  ({
    address: token,
    abi: NONCES_ABI,
    functionName: "authorizationState",
    args: [payer, depositNonce(id)],
  }) as const;

/** A channel as the newest block has it. Throws Proof402Error `wrong_chain` or `chain_unreachable`. */
export const readOnChain = (chain: Chain, config: ChannelConfig): Promise<ChannelOnChain> =>
  chain.read(async (client) => {
    const id = channelIdOf(chainIdOf(chain.network), config);
    const { number: blockNumber, timestamp } = await client.getBlock();
    const [{ balance, totalClaimed }, [amount, initiatedAt], deposited] = await Promise.all([
      readChannelState(client, id, blockNumber),
      client.readContract({ address: CHANNELS, abi: ABI, functionName: "pendingWithdrawals", args: [id] }, blockNumber),
      client.readContract(depositOf(config, id), blockNumber),
    ]);
    // A uint40 in the contract: a greater one is no time, and the RPC's own.
    if (initiatedAt >= 2 ** 40) throw new RangeError("a time that the contract cannot hold");
    return {
      deposited,
      balance,
      totalClaimed,
      withdrawal: initiatedAt === 0 ? null : { amount, readyAt: initiatedAt + config.withdrawDelay },
      now: Number(timestamp),
    };
  });

/**
 * Picks the channels their payer has used, as of the newest block: its deposit's authorization is spent, or a voucher
 * of its own was claimed. What is in a channel tells nothing: anyone can put money there. One request for all. Throws
 * as {@link readOnChain} does.
 */
export const readUsed = (chain: Chain, configs: readonly ChannelConfig[]): Promise<boolean[]> =>
  chain.read(async (client) => {
    const channels = configs.map((config) => ({ config, id: channelIdOf(chainIdOf(chain.network), config) }));
    const [states, authorizations] = await Promise.all([
      readChannelStates(
        client,
        channels.map(({ id }) => id),
      ),
      client.readContracts(channels.map(({ config, id }) => depositOf(config, id))),
    ]);
    return states.map(({ totalClaimed }, at) => totalClaimed > 0n || authorizations[at] === true);
  });

/**
 * The state of a channel on chain, over any note of it. A note counts only before the channel's deposit. A stranger can
 * put in a little meanwhile: that does not make it the wanted channel.
 */
export function stateOf(seen: ChannelOnChain, noted: Pick<ChannelsTable, "state" | "deposit">): ChannelsTable["state"] {
  if (seen.withdrawal !== null) return "closing";
  const waits = !seen.deposited && seen.totalClaimed === 0n && seen.balance < BigInt(noted.deposit);
  if (noted.state === "opening" && waits) return "opening";
  return seen.balance > seen.totalClaimed ? "open" : "closed";
}
