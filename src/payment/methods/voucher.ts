import { CHANNELS } from "../../evidence/channel.ts";
import { chainIdOf } from "../../evidence/eip3009.ts";
import { channelOf } from "../../evidence/methods/voucher.ts";
import { unpayableByChannel } from "../channel-offers.ts";
import { idOf, voucherRefusal, type VoucherPayment } from "../channels.ts";
import type { PayerMethod } from "./method.ts";

/** The journal's column of a voucher's own fields. */
type Column = Pick<VoucherPayment, "cumulative" | "channel" | "previous">;

/** Vouchers of a payment channel (scheme_batch_settlement_evm.md). */
export const voucher: PayerMethod<VoucherPayment> = {
  sharing: null,
  needsAllowance: false,
  needsDomain: true,
  refuses: () => null,
  cannotPay: unpayableByChannel,
  // A channel's own books plan it (`planVoucher`).
  plan: () => null,
  refusalIn: voucherRefusal,
  typedDataOf: (payment) => ({
    domain: {
      name: "x402 Batch Settlement",
      version: "1",
      chainId: chainIdOf(payment.network),
      verifyingContract: CHANNELS,
    },
    types: {
      Voucher: [
        { name: "channelId", type: "bytes32" },
        { name: "maxClaimableAmount", type: "uint128" },
      ],
    },
    primaryType: "Voucher",
    message: { channelId: idOf(payment), maxClaimableAmount: BigInt(payment.cumulative) },
  }),
  payloadOf: (payment, signature) => ({
    type: "voucher",
    channelConfig: channelOf(payment),
    voucher: { channelId: idOf(payment), maxClaimableAmount: payment.cumulative, signature },
  }),
  isSpent: () => Promise.resolve(false),
  columnsOf(payment, purchaseId) {
    const { cumulative, channel, previous } = payment;
    const column: Column = { cumulative, channel, ...(previous === undefined ? {} : { previous }) };
    return {
      channel_id: idOf(payment),
      voucher: JSON.stringify(column),
      // One that was not served is signed again, the very same, for the next call: its row is told apart by the attempt.
      nonce: `voucher ${purchaseId}`,
    };
  },
  paymentOf: (authorization, row) => ({
    scheme: "batch-settlement",
    method: "voucher",
    ...authorization,
    ...(JSON.parse(row.voucher ?? "null") as Column),
  }),
};
