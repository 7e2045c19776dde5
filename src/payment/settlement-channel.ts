import { readChannelState } from "../chain/channels.ts";
import { settlementEvidence, type Payment, type SettlementEvidence } from "../receipts/schema.ts";
import type { Chain, LookLimits } from "../chain/chain.ts";
import { idOf, type VoucherPayment } from "./channels.ts";
import type { Sight } from "./settlement-view.ts";

/**
 * The chain's word on a voucher, in the newest confirmed block: settled once its receiver has claimed the voucher's
 * sum, expired once the payer has taken back everything unclaimed.
 */
export const observeVoucher = (chain: Chain, payment: VoucherPayment, limits: LookLimits): Promise<Sight> =>
  chain.read(async (client) => {
    const newest = await client.getBlock();
    const head = { number: newest.number, time: Number(newest.timestamp) };
    const depth = BigInt(chain.confirmations);
    const seen = (view: Sight["view"]): Sight => ({ head, spent: null, view });
    if (head.number < depth) return seen({ state: "pending" });
    const block = depth === 0n ? newest : await client.getBlock(head.number - depth);
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
    if (totalClaimed >= BigInt(payment.cumulative)) {
      const amount = payment.amount;
      return seen({ state: "settled", evidence: evidence("settled"), transaction: null, amount, fault: null });
    }
    // Empty but for what was claimed, and not because its deposit is too young to be seen here: claimable no more.
    const now = await readChannelState(client, idOf(payment), head.number);
    const emptied = balance === totalClaimed && now.balance === now.totalClaimed;
    return seen(
      emptied ? { state: "expired", reason: "channel_closed", evidence: evidence("expired") } : { state: "pending" },
    );
  }, limits);

/** Whether a channel had another state in the told block, as far as the node still has that. */
export async function isOtherChannel(chain: Chain, payment: Payment, told: SettlementEvidence): Promise<boolean> {
  const { channel, blockNumber } = told;
  if (!("channel" in payment) || channel === undefined) return false;
  const was = await chain.read((client) =>
    readChannelState(client, idOf(payment), BigInt(blockNumber)).catch(() => null),
  );
  return was !== null && (was.balance !== BigInt(channel.balance) || was.totalClaimed !== BigInt(channel.totalClaimed));
}
