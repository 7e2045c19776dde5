import type { AfterVerifyHook, HTTPFacilitatorClient } from "@x402/core/server";
import type { SettleResponse } from "@x402/core/types";
import {
  BatchSettlementEvmScheme,
  type BatchSettlementChannelManager,
  type Channel,
} from "@x402/evm/batch-settlement/server";
import { privateKeyToAccount } from "viem/accounts";
import type { ChainReader } from "./chain-view.ts";
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
/** For so long after a claim that failed a channel's vouchers still buy something, ms: two tries more at the rarest. */
const CREDIT_MS = 2 * MAX_CLAIM_SECONDS * 1000;

/** Takes vouchers, and claims and pays out what they granted. */
export type Claims = {
  scheme: BatchSettlementEvmScheme;
  /**
   * Refuses a voucher of a channel in withdrawal, and claims at once the sums granted by others. Refuses a voucher of a
   * channel too whose grants cannot be claimed for long: it would be served without money.
   */
  refuseUnpaid: AfterVerifyHook;
  /** The facilitator's word about a voucher charged to its channel; null for any other payment. */
  granted(payment: Payment): Promise<SettleResponse | null>;
  /** Claims what was not claimed yet. */
  close(): Promise<void>;
};

type Till = { token: string; manager: BatchSettlementChannelManager };
type Books = { channels: VoucherChannels; chain: Pick<ChainReader, "channels"> };

/** Claims each token by itself: at once what an earlier process left, and then again and again. */
export function openClaims(
  payment: NodePayment,
  { authorizerKey, claimSeconds }: NonNullable<NodePayment["channels"]>,
  { facilitator, ...books }: Books & { facilitator: HTTPFacilitatorClient },
): Claims {
  const { channels } = books;
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
      for (const till of tills) await claim(books, till).catch(() => undefined);
      turn = null;
    })());
  // A turn that is under way may have passed what is to be claimed now.
  const claimNow = (): Promise<void> => (turn === null ? claimAll() : turn.then(claimAll));
  void claimAll();
  const timer = setInterval(() => void claimAll(), claimSeconds * 1000);
  return {
    scheme,
    async refuseUnpaid({ paymentPayload: { payload }, requirements, result }) {
      const voucher = voucherOf({ payload }, requirements);
      if (!result.isValid || voucher === null) return undefined;
      const refuse = (reason: string, message: string) => ({ abort: true, reason, message }) as const;
      // A facilitator that does not say has not said that there is none.
      if (String(result.extra?.["withdrawRequestedAt"]) !== "0") {
        void claimNow();
        return refuse("channel_withdrawal_requested", "The payer has asked the channel for its money back");
      }
      const since = await channels.unclaimedSince(voucher.channelId);
      return since === null || Date.now() - since < CREDIT_MS
        ? undefined
        : refuse(
            "channel_not_claimed",
            "What the channel granted could not be claimed: the facilitator claims nothing",
          );
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
async function claim(books: Books, { token, manager }: Till): Promise<void> {
  const { channels } = books;
  const isDue = ({ channelConfig, chargedCumulativeAmount: charged, totalClaimed }: Channel): boolean =>
    channelConfig.token.toLowerCase() === token.toLowerCase() && BigInt(charged) > BigInt(totalClaimed);
  // One that its payer has emptied can be claimed of no more.
  const due = (all: Channel[]): Channel[] =>
    all.filter((one) => isDue(one) && BigInt(one.chargedCumulativeAmount) <= BigInt(one.balance));
  const asked = (await channels.list()).filter(isDue);
  // A claim may be in a block though this node, or the process before it, never heard of it.
  await noteStates(books, asked);
  const targets = due(await channels.list());
  if (targets.length > 0) {
    // Noted before: where this process does not live to hear of the claim, the next one has it paid out.
    await channels.noteClaim(token);
    await manager.claim({ selectClaimChannels: due }).catch(() => claimEach(manager, targets));
    await noteStates(books, targets);
  }
  for (const { channelId, chargedCumulativeAmount: charged } of asked) {
    const claimed = BigInt((await channels.get(channelId))?.totalClaimed ?? "0");
    await channels.noteClaimed(channelId, claimed >= BigInt(charged), Date.now());
  }
  if (targets.length === 0 && !(await channels.awaitsPayout(token))) return;
  await manager.settle();
  await channels.notePayout(token);
}

/** Notes the chain's state of channels, if the chain can be read: it counts more than a facilitator's word. */
async function noteStates({ channels, chain }: Books, asked: readonly Channel[]): Promise<void> {
  const seen = asked.length === 0 ? null : await chain.channels(asked.map(({ channelId }) => channelId));
  for (const [at, { channelId }] of asked.entries()) {
    const state = seen?.[at];
    if (state === undefined) continue;
    const { balance, totalClaimed } = { balance: String(state.balance), totalClaimed: String(state.totalClaimed) };
    await channels.updateChannel(channelId, (current) => current && { ...current, balance, totalClaimed });
  }
}

/** Claims each channel by itself: an emptied channel, or one claimed elsewhere, fails alone. */
async function claimEach(manager: BatchSettlementChannelManager, targets: readonly Channel[]): Promise<void> {
  if (targets.length < 2) return;
  for (const { channelId } of targets)
    await manager
      .claim({ selectClaimChannels: (all) => all.filter((one) => one.channelId === channelId) })
      .catch(() => undefined);
}
