import { lowered, type Address } from "../bytes.ts";
import { channelIdOf, voucherHash, type ChannelConfig } from "../channel.ts";
import { chainIdOf } from "../eip3009.ts";
import {
  fault,
  type Authorization,
  type Extra,
  type Finding,
  type MethodEvidence,
  type ShownSettlement,
} from "./method.ts";

/** When a voucher ends: never, in unix seconds that every format can carry. */
export const NEVER = 4_294_967_295;

/** A payment that is a voucher. */
type Voucher = Authorization & Required<Pick<Authorization, "channel" | "cumulative">>;

/** The channel whose voucher an authorization is. */
export const channelOf = ({
  payer,
  payTo,
  asset,
  channel,
}: Authorization & Pick<Voucher, "channel">): ChannelConfig => ({
  payer,
  receiver: payTo,
  token: asset,
  ...channel,
});

/** The terms of a channel that a batch-settlement offer names, or null where it names none in full. */
export function channelTermsOf({
  receiverAuthorizer,
  withdrawDelay,
}: Extra): { receiverAuthorizer: Address; withdrawDelay: number } | null {
  return typeof receiverAuthorizer === "string" &&
    /^0x[0-9a-fA-F]{40}$/.test(receiverAuthorizer) &&
    typeof withdrawDelay === "number" &&
    Number.isSafeInteger(withdrawDelay)
    ? { receiverAuthorizer: lowered(`0x${receiverAuthorizer.slice(2)}`), withdrawDelay }
    : null;
}

/** A voucher of a payment channel (`batch-settlement`) whose deposits are EIP-3009 authorizations. */
export const voucher = {
  scheme: "batch-settlement",
  transfers: [undefined, "eip3009"],
  method: "voucher",
  inTokenDomain: false,
  namesPayer: true,
  metered: false,
  claimed: true,
  does: "The voucher grants",

  hashOf(payment) {
    const { channel, cumulative } = read(payment);
    const chainId = chainIdOf(payment.network);
    return voucherHash(chainId, channelIdOf(chainId, channelOf({ ...payment, channel })), cumulative);
  },
  signerOf: (payment) => read(payment).channel.payerAuthorizer,

  differsFrom(payment, extra) {
    const { channel } = read(payment);
    const terms = channelTermsOf(extra);
    return terms?.receiverAuthorizer === channel.receiverAuthorizer && terms.withdrawDelay === channel.withdrawDelay
      ? null
      : "The voucher is of a channel on other terms than the offer's.";
  },

  /** A voucher is named by its own hash, and the amount is what it grants beyond the ones before. */
  contradictionIn(payment) {
    const { nonce, authorizationHash, amount, cumulative, previous } = { ...payment, ...read(payment) };
    if (nonce !== authorizationHash)
      return fault("voucher_nonce_mismatch", "The payment is named by another voucher than the one it shows.");
    const before = previous === undefined ? null : BigInt(previous);
    const grants =
      before === null ? BigInt(amount) <= BigInt(cumulative) : before + BigInt(amount) === BigInt(cumulative);
    return grants ? null : fault("voucher_amount_mismatch", "The voucher does not grant the amount that is told.");
  },

  unpinnedIn(payment, { channel: pinned }) {
    const { channel } = read(payment);
    return pinned?.receiverAuthorizer === channel.receiverAuthorizer &&
      pinned.withdrawDelaySeconds === channel.withdrawDelay
      ? null
      : fault("channel_mismatch", "The channel's terms are not those that the policy names for this seller.");
  },

  // A claim settles it together with others, which no transaction of its own shows.
  usedByCall: false,
  amountIn: () => null,
  isUsedIn: () => false,
  lastSecondOf: ({ validBefore }) => validBefore,

  judge: (payment, shown, earliest) =>
    shown.blockTime < earliest
      ? fault("settlement_time", "The channel's state is older than the payment.")
      : judgeClaim(read(payment), shown),
} as const satisfies MethodEvidence;

/** A voucher is settled by a claim of its sum or more, which the channel's own state shows. */
function judgeClaim(payment: Pick<Voucher, "cumulative">, { channel, outcome }: ShownSettlement): Finding {
  if (channel === undefined) return fault("channel_missing", "The settlement does not show the channel.");
  if (outcome === "expired") {
    return channel.balance === channel.totalClaimed && BigInt(channel.totalClaimed) < BigInt(payment.cumulative)
      ? {
          status: "skip",
          code: "channel_closed",
          note: "The channel was emptied before the voucher was claimed: no money moved for it.",
        }
      : fault("not_expired", "The channel still held what the voucher grants.");
  }
  if (BigInt(channel.totalClaimed) < BigInt(payment.cumulative))
    return fault("voucher_not_claimed", "The channel's claims do not reach the voucher's sum.");
  return {
    status: "pass",
    note: `The channel's receiver has claimed ${channel.totalClaimed} base units, this voucher's sum among them.`,
  };
}

/** A voucher's own fields, which its schema asks for. */
function read({ channel, cumulative }: Authorization): Pick<Voucher, "channel" | "cumulative"> {
  if (channel === undefined || cumulative === undefined) throw new TypeError("a voucher is of a channel");
  return { channel, cumulative };
}
