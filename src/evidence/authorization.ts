import { channelIdOf, voucherHash, type ChannelConfig } from "./channel.ts";
import { authorizationHash, chainIdOf, type TransferAuthorization } from "./eip3009.ts";
import { permitHash, type TransferPermit } from "./permit2.ts";

/** What a payer signs, whatever the method: a receipt's `payment` without its hash. */
export type Authorization = {
  method: "eip3009" | "permit2" | "voucher";
  /** CAIP-2. */
  network: string;
  asset: string;
  amount: string;
  payer: string;
  payTo: string;
  nonce: string;
  validAfter: number;
  validBefore: number;
  facilitator?: string;
  cumulative?: string;
  channel?: { payerAuthorizer: string; receiverAuthorizer: string; withdrawDelay: number; salt: string };
};

/** The EIP-3009 message of an authorization. */
export const transferOf = (payment: Authorization): TransferAuthorization => ({
  from: payment.payer,
  to: payment.payTo,
  value: payment.amount,
  validAfter: payment.validAfter,
  validBefore: payment.validBefore,
  nonce: payment.nonce,
});

/** The Permit2 message of an authorization. */
export const permitOf = (payment: Authorization): TransferPermit => ({
  token: payment.asset,
  amount: payment.amount,
  nonce: payment.nonce,
  deadline: payment.validBefore,
  to: payment.payTo,
  ...(payment.facilitator === undefined ? {} : { facilitator: payment.facilitator }),
  validAfter: payment.validAfter,
});

/** The channel whose voucher an authorization is, or null where it is none. */
export function channelOf(payment: Authorization & Required<Pick<Authorization, "channel">>): ChannelConfig;
export function channelOf(payment: Authorization): ChannelConfig | null;
export function channelOf({ payer, payTo, asset, channel }: Authorization): ChannelConfig | null {
  return channel === undefined ? null : { payer, receiver: payTo, token: asset, ...channel };
}

/** The EIP-712 hash the payer signs, 0x hex. `token` is the asset's own domain, which only EIP-3009 uses. */
export function signingHash(payment: Authorization, token: { name: string; version: string }): `0x${string}` {
  const chainId = chainIdOf(payment.network);
  if (payment.method === "permit2") return permitHash(chainId, permitOf(payment));
  const channel = channelOf(payment);
  if (payment.method === "eip3009" || channel === null || payment.cumulative === undefined)
    return authorizationHash({ ...token, chainId, verifyingContract: payment.asset }, transferOf(payment));
  return voucherHash(chainId, channelIdOf(chainId, channel), payment.cumulative);
}
