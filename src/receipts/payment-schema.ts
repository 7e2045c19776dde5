import * as z from "zod";
import { address, baseUnits, hex, hex0x, isOpaque, network } from "./fields.ts";

const authorization = {
  network,
  asset: address,
  /** The amount paid; under `upto` its ceiling. */
  amount: baseUnits,
  payer: address,
  payTo: address,
  /** The token's authorization nonce (EIP-3009), Permit2's unordered nonce as a uint256, or the voucher's own hash. */
  nonce: hex0x(32),
  /** Unix seconds. EIP-3009: valid before this second. Permit2: the deadline, in which it is still valid. Vouchers never end. */
  validAfter: z.int().min(0),
  validBefore: z.int().min(0),
  /** EIP-712 signing hash: of TransferWithAuthorization in the token's domain, of the permit in Permit2's, or of the voucher. */
  authorizationHash: hex0x(32),
};

const eip3009 = z.strictObject({ scheme: z.literal("exact"), method: z.literal("eip3009"), ...authorization });
const permit2 = z.strictObject({ scheme: z.literal("exact"), method: z.literal("permit2"), ...authorization });
/** The seller names the amount afterwards; only this facilitator may settle it. */
const upto = z.strictObject({
  scheme: z.literal("upto"),
  method: z.literal("permit2"),
  ...authorization,
  facilitator: address,
});
/**
 * One call's share of an authorization for several calls, by the buyer's own books. The seller settles all of them in one
 * sum. Nothing on chain bounds a share: only the whole amount binds the seller.
 */
const share = z.strictObject({
  /** The authorization was signed for this call. */
  first: z.boolean(),
  /** The sum kept free of the authorization for this call, base units. */
  kept: baseUnits,
});
export type PaymentShare = z.infer<typeof share>;

/** A voucher of a payment channel: its receiver may claim up to `cumulative` of the channel in all, this purchase included. */
const voucher = z.strictObject({
  scheme: z.literal("batch-settlement"),
  method: z.literal("voucher"),
  ...authorization,
  cumulative: baseUnits,
  channel: z.strictObject({
    payerAuthorizer: address,
    receiverAuthorizer: address,
    /** Seconds the payer waits for the unclaimed rest. */
    withdrawDelay: z.int().min(0).max(1_099_511_627_775),
    salt: hex0x(32),
  }),
});

const salted = {
  /** Keeps the hash of the terms from being guessed by who sees the request and not the receipt. */
  salt: hex0x(32),
};
/** What the channel's vouchers granted before this one: `cumulative` is this and the amount. */
const summed = { previous: baseUnits };

/** How the transfer is authorized on chain, by the receipt's format. */
export const paymentSchemas = {
  1: z.discriminatedUnion("scheme", [z.discriminatedUnion("method", [eip3009, permit2]), upto, voucher]),
  2: z.discriminatedUnion("scheme", [
    z.discriminatedUnion("method", [eip3009.extend(salted), permit2.extend(salted)]),
    upto.extend({ ...salted, share: share.optional() }),
    voucher.extend({ ...salted, ...summed }),
  ]),
};

/** What the seller asked for, as the policy accepted it. */
export const offerSchema = z.strictObject({
  scheme: z.string().max(64),
  network,
  asset: address,
  /** Pinned by the buyer's policy, never taken from the seller. */
  decimals: z.int().min(0).max(36),
  amount: baseUnits,
  payTo: address,
  maxTimeoutSeconds: z.int().min(1).max(1_000_000_000),
  /** EIP-712 domain of the token and scheme options, as offered. */
  extra: z.record(z.string().max(64), z.unknown()).refine(isOpaque, "JSON at most 16 levels deep"),
  /** sha256(JCS(offer without offerHash)), hex. */
  offerHash: hex(32),
});
