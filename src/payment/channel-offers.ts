import type { Extra } from "../evidence/methods/method.ts";
import { paymentMethodOf } from "../evidence/methods/methods.ts";
import { channelTermsOf } from "../evidence/methods/voucher.ts";
import type { AssetPolicy } from "./policy.ts";
import type { Refusal } from "./types.ts";
import { moneyText } from "../chain/money-text.ts";
import type { Address } from "../evidence/bytes.ts";

/** The terms pinned for channels with a seller. */
export type ChannelTerms = { receiverAuthorizer: Address; withdrawDelaySeconds: number };

/** The terms that an offer of a channel names, null if it names none in full; undefined of another offer. */
export function termsOffered(offer: { scheme: string; extra: Extra }): ChannelTerms | null | undefined {
  if (paymentMethodOf(offer) !== "voucher") return undefined;
  const terms = channelTermsOf(offer.extra);
  return terms && { receiverAuthorizer: terms.receiverAuthorizer, withdrawDelaySeconds: terms.withdrawDelay };
}

/** A channel the owner opened and what a voucher of it can still grant, base units. */
export type OpenChannel = { id: string; network: string; asset: Address; receiver: Address; left: bigint };

/** Why an offer cannot be paid by a voucher, or null where an open channel under the pinned terms has enough left. */
export function unpayableByChannel(options: {
  asset: AssetPolicy;
  payee: string;
  amount: bigint;
  extra: Readonly<Record<string, unknown>>;
  channelTerms: ChannelTerms | undefined;
  channels: readonly OpenChannel[];
}): Refusal | null {
  const { asset, payee, amount, channelTerms } = options;
  const offered = channelTermsOf(options.extra);
  if (
    channelTerms === undefined ||
    offered === null ||
    offered.receiverAuthorizer !== channelTerms.receiverAuthorizer ||
    offered.withdrawDelay !== channelTerms.withdrawDelaySeconds
  ) {
    return {
      code: "channel_terms_not_allowed",
      message: "The offer's channel has another receiver authorizer or withdrawal delay than the configuration pins.",
    };
  }
  const channels = channelsFor(options.channels, { network: asset.network, asset: asset.asset, payTo: payee });
  if (channels.length === 0)
    return { code: "channel_missing", message: `No channel of ${asset.symbol} with this seller is open.` };
  if (channels.some(({ left }) => left >= amount)) return null;
  const left = channels.reduce((most, channel) => (channel.left > most ? channel.left : most), 0n);
  return {
    code: "channel_exhausted",
    message: `The channel has ${moneyText(left, asset)} left.`,
    limit: left.toString(),
    asked: amount.toString(),
  };
}

/** The channels that pay this payee in this asset. */
const channelsFor = (
  channels: readonly OpenChannel[],
  { network, asset, payTo }: { network: string; asset: string; payTo: string },
): OpenChannel[] => channels.filter((one) => one.network === network && one.asset === asset && one.receiver === payTo);

/** The channels that pay an offer's payee in its asset and have its amount left, the preferred first. */
export const payingChannels = (
  channels: readonly OpenChannel[],
  offer: { network: string; asset: string; payTo: string; amount: string },
): OpenChannel[] => channelsFor(channels, offer).filter(({ left }) => left >= BigInt(offer.amount));

/** A seller's figure for the sum granted from a channel, base units, and its voucher for it, unchecked. */
export type ChargedWord = { charged: bigint; signed: { cumulative: string; signature: string } | null };

type Offered = { scheme: string; extra?: Readonly<Record<string, unknown>> | null | undefined };

/** That word in a 402 (x402 corrective 402, `extra.channelState` and `extra.voucherState`), or null where it says nothing. */
export function chargedIn({ accepts }: { accepts: readonly Offered[] }, channelId: string): ChargedWord | null {
  for (const { scheme, extra } of accepts) {
    const state = (extra?.["channelState"] ?? {}) as { channelId?: unknown; chargedCumulativeAmount?: unknown };
    const voucher = (extra?.["voucherState"] ?? {}) as { signedMaxClaimable?: unknown; signature?: unknown };
    const { chargedCumulativeAmount: charged } = state;
    const { signedMaxClaimable: cumulative, signature } = voucher;
    const ours = typeof state.channelId === "string" && state.channelId.toLowerCase() === channelId;
    if (scheme !== "batch-settlement" || !ours || !isSum(charged)) continue;
    return {
      charged: BigInt(charged),
      signed: isSum(cumulative) && typeof signature === "string" ? { cumulative, signature } : null,
    };
  }
  return null;
}

/** A uint128 as x402 writes it. */
const isSum = (value: unknown): value is string => typeof value === "string" && /^[0-9]{1,39}$/.test(value);
