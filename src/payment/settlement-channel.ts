import type { PublicClient } from "viem";
import { CHANNELS } from "../evidence/channel.ts";
import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import { settlementEvidence } from "../receipts/schema.ts";
import type { Chain } from "./chain.ts";
import { idOf, type VoucherPayment } from "./channels.ts";
import type { SettlementView } from "./settlement.ts";

/** `channels(bytes32)` of x402's batch settlement: what was put in and not withdrawn, and what was claimed of it. */
const CHANNELS_ABI = [
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

/** A channel in the state of a block. */
export async function readChannelState(
  client: PublicClient,
  channelId: string,
  blockNumber: bigint,
): Promise<{ balance: bigint; totalClaimed: bigint }> {
  const [balance, totalClaimed] = await client.readContract({
    address: toHex0x(fromHex0x(CHANNELS)),
    abi: CHANNELS_ABI,
    functionName: "channels",
    args: [toHex0x(fromHex0x(channelId))],
    blockNumber,
  });
  return { balance, totalClaimed };
}

/**
 * What the chain says of a voucher, in the newest block that has the chain's confirmations on top: settled once its
 * receiver has claimed the voucher's sum, expired once the payer has taken back everything that was not claimed.
 */
export const observeVoucher = (chain: Chain, payment: VoucherPayment): Promise<SettlementView> =>
  chain.read(async (client) => {
    const head = await client.getBlockNumber();
    const depth = BigInt(chain.confirmations);
    if (head < depth) return { state: "pending" };
    const block = await client.getBlock({ blockNumber: head - depth });
    const { balance, totalClaimed } = await readChannelState(client, idOf(payment), block.number);
    const evidence = (outcome: "settled" | "expired") =>
      settlementEvidence.parse({
        kind: "settlement.x402",
        network: payment.network,
        outcome,
        blockNumber: block.number.toString(),
        blockHash: block.hash.toLowerCase(),
        blockTime: Number(block.timestamp),
        logs: [],
        channel: { balance: balance.toString(), totalClaimed: totalClaimed.toString() },
      });
    if (totalClaimed >= BigInt(payment.cumulative))
      return { state: "settled", evidence: evidence("settled"), transaction: null, amount: payment.amount };
    // Empty but for what was claimed, and not because its deposit is too young to be seen here: claimable no more.
    const newest = await readChannelState(client, idOf(payment), head);
    const emptied = balance === totalClaimed && newest.balance === newest.totalClaimed;
    return emptied
      ? { state: "expired", reason: "channel_closed", evidence: evidence("expired") }
      : { state: "pending" };
  });
