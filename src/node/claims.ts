import type { AfterVerifyHook, HTTPFacilitatorClient } from "@x402/core/server";
import type { SettleResponse } from "@x402/core/types";
import {
  BatchSettlementEvmScheme,
  type BatchSettlementChannelManager,
  type Channel,
} from "@x402/evm/batch-settlement/server";
import { privateKeyToAccount } from "viem/accounts";
import { voucherOf } from "./payment-key.ts";
import type { NodePayment, Payment } from "./payment.ts";
import type { VoucherChannels } from "./voucher-channels.ts";

/** How long a payer waits for what is left in a channel: x402's least. */
export const WITHDRAW_DELAY_SECONDS = 900;
/**
 * For a third of the delay a channel is believed to be as it was seen last. Claims within the second third; the last
 * third is for another try after a failed claim.
 */
const BELIEVED_SECONDS = WITHDRAW_DELAY_SECONDS / 3;
export const MAX_CLAIM_SECONDS = WITHDRAW_DELAY_SECONDS / 3;

/** Takes vouchers, and claims and pays out what they granted. */
export type Claims = {
  scheme: BatchSettlementEvmScheme;
  /** Refuses a voucher of a channel in withdrawal, and claims at once the sums granted by others. */
  refuseWithdrawn: AfterVerifyHook;
  /** The facilitator's word about a voucher charged to its channel; null for any other payment. */
  granted(payment: Payment): Promise<SettleResponse | null>;
  /** Claims what was not claimed yet. */
  close(): Promise<void>;
};

type Till = { token: string; manager: BatchSettlementChannelManager };

/** Claims each token by itself: at once what an earlier process left, and then again and again. */
export function openClaims(
  payment: NodePayment,
  { authorizerKey, claimSeconds }: NonNullable<NodePayment["channels"]>,
  { facilitator, channels }: { facilitator: HTTPFacilitatorClient; channels: VoucherChannels },
): Claims {
  const { network, payTo } = payment;
  const scheme = new BatchSettlementEvmScheme(payTo, {
    storage: channels,
    receiverAuthorizerSigner: privateKeyToAccount(authorizerKey),
    withdrawDelay: WITHDRAW_DELAY_SECONDS,
    onchainStateTtlMs: BELIEVED_SECONDS * 1000,
  });
  const tills = [payment.asset, ...(payment.also ?? []).map(({ asset }) => asset)].map((token): Till => ({
    token,
    manager: scheme.createChannelManager(facilitator, network, token),
  }));
  let turn: Promise<void> | null = null;
  const claimAll = (): Promise<void> =>
    (turn ??= (async () => {
      // A facilitator that is gone must not stop a seller; its vouchers stay claimable.
      for (const till of tills) await claim(channels, till).catch(() => undefined);
      turn = null;
    })());
  // A turn that is under way may have passed what is to be claimed now.
  const claimNow = (): Promise<void> => (turn === null ? claimAll() : turn.then(claimAll));
  void claimAll();
  const timer = setInterval(() => void claimAll(), claimSeconds * 1000);
  return {
    scheme,
    refuseWithdrawn({ paymentPayload: { payload }, requirements, result }) {
      const isVoucher = voucherOf({ payload }, requirements) !== null;
      // A facilitator that does not say has not said that there is none.
      const isAskedBack = String(result.extra?.["withdrawRequestedAt"]) !== "0";
      if (!result.isValid || !isVoucher || !isAskedBack) return Promise.resolve();
      void claimNow();
      const message = "The payer has asked the channel for its money back";
      return Promise.resolve({ abort: true, reason: "channel_withdrawal_requested", message });
    },
    async granted({ payload, terms }) {
      const voucher = voucherOf(payload, terms);
      const channel = voucher === null ? undefined : await channels.get(voucher.channelId);
      if (voucher === null || channel === undefined) return null;
      const { chargedCumulativeAmount: charged, signedMaxClaimable: signed, signature, channelConfig } = channel;
      if (BigInt(charged) !== BigInt(voucher.maxClaimableAmount) || BigInt(signed) !== BigInt(charged)) return null;
      // Who names a channel and its sum has not thereby paid: the voucher has to be the one that was charged.
      if (signature.toLowerCase() !== voucher.signature.toLowerCase()) return null;
      return { success: true, payer: channelConfig.payer, transaction: "", network: terms.network };
    },
    async close() {
      clearInterval(timer);
      await claimNow();
    },
  };
}

/** Claims all that a token's vouchers granted, and has it paid out. */
async function claim(channels: VoucherChannels, { token, manager }: Till): Promise<void> {
  const due = (all: Channel[]): Channel[] =>
    all.filter(
      ({ channelConfig, chargedCumulativeAmount: charged, totalClaimed }) =>
        channelConfig.token.toLowerCase() === token.toLowerCase() && BigInt(charged) > BigInt(totalClaimed),
    );
  const targets = due(await channels.list());
  if (targets.length > 0) {
    // Noted before: where this process does not live to hear of the claim, the next one has it paid out.
    await channels.noteClaim(token);
    await manager.claim({ selectClaimChannels: due }).catch(() => claimEach(manager, targets));
  }
  if (targets.length === 0 && !(await channels.awaitsPayout(token))) return;
  await manager.settle();
  await channels.notePayout(token);
}

/** Claims each channel by itself: an emptied channel, or one claimed elsewhere, fails alone. */
async function claimEach(manager: BatchSettlementChannelManager, targets: readonly Channel[]): Promise<void> {
  if (targets.length < 2) return;
  for (const { channelId } of targets)
    await manager
      .claim({ selectClaimChannels: (all) => all.filter((one) => one.channelId === channelId) })
      .catch(() => undefined);
}
