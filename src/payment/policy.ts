import * as z from "zod";
import { parseUnits, usdToBaseUnits } from "../chain/amounts.ts";
import { PAYMENT_METHODS } from "../evidence/methods/methods.ts";
import { hoursSchema } from "./hours.ts";
import { anyCaseAddress } from "../receipts/fields.ts";

const baseUnits = z.string().regex(/^(?:0|[1-9][0-9]{0,77})$/, "base units as a decimal string");

/** A chain by CAIP-2, e.g. `eip155:8453`. Its number is held exactly, as signatures name it: 15 digits are more than any chain has. */
export const networkId = z
  .string()
  .regex(/^eip155:[1-9][0-9]{0,14}$/, "CAIP-2 id such as eip155:8453, of at most 15 digits");

/** One asset the wallet may pay with, and how much of it. All amounts in base units of that asset. */
export const assetPolicySchema = z.strictObject({
  network: networkId,
  asset: anyCaseAddress,
  symbol: z.string().regex(/^[A-Za-z0-9.]{1,12}$/),
  decimals: z.int().min(0).max(36),
  /** True where one whole token is worth one US dollar: only then USD views and `max_usd` apply to it. */
  usdStable: z.boolean().default(false),
  /** EIP-712 domain of the token, pinned here and not taken from the seller. */
  domain: z.strictObject({ name: z.string().min(1).max(64), version: z.string().min(1).max(16) }),
  /**
   * How it may be paid, best liked first. Permit2 and upto need an allowance, given with `proof402 wallet approve`; vouchers
   * a channel, opened with `proof402 channel open`.
   */
  methods: z.array(z.enum(PAYMENT_METHODS)).min(1).max(PAYMENT_METHODS.length).default(["eip3009"]),
  perCall: baseUnits,
  perHour: baseUnits,
  perDay: baseUnits,
  total: baseUnits,
  /** Amounts above this need a person's approval; without it no person is asked. */
  approveAbove: baseUnits.optional(),
});

/** The owner's own caps for one seller and asset of the policy, base units. Absent ones do not bound. */
export const sellerLimitsSchema = z.strictObject({
  network: networkId,
  asset: anyCaseAddress,
  perHour: baseUnits.optional(),
  perDay: baseUnits.optional(),
  total: baseUnits.optional(),
});

/** One authorization for several calls to a seller, where its offers are paid by a method that allows it. */
export const sharedAuthorizationSchema = z.strictObject({
  /** How later calls show it: by the token of the seller's first answer, or by the first call's own payment header again. */
  shownBy: z.enum(["token", "payment"]).default("token"),
  /** The most calls on one authorization. Each keeps an equal part of the amount free for itself. */
  calls: z.int().min(2).max(1000).default(20),
  /** Unused for so long it takes no further call. Keep it under the seller's own limit. */
  idleSeconds: z.int().min(1).max(600).default(45),
  /** So long before its end it takes no further call: the seller has to settle it in that time. */
  marginSeconds: z.int().min(20).max(1800).default(130),
});
export type SharedAuthorization = z.infer<typeof sharedAuthorizationSchema>;

/** What the wallet may do. No tool argument can widen it (docs/architecture.md §6.1). */
export const paymentPolicySchema = z.strictObject({
  assets: z.array(assetPolicySchema).min(1).max(256),
  /** Tokens this wallet has paid in and pays in no more: what another of its databases paid in them is still found. */
  formerAssets: z
    .array(
      assetPolicySchema.pick({ network: true, asset: true }).extend({
        /** Decimals of one worth a US dollar: clients' budgets go on counting what they paid in it. */
        usdDecimals: assetPolicySchema.shape.decimals.optional(),
      }),
    )
    .max(16)
    .optional(),
  /** Purchases per rolling hour, over all assets. */
  callsPerHour: z.int().min(0).max(1_000_000).default(1000),
  /** Longest life of an authorization we sign, seconds. Offers that ask for longer get this; shorter ones are kept. */
  maxAuthorizationSeconds: z.int().min(10).max(3600).default(300),
  /** Absent: at any time. */
  hours: hoursSchema.optional(),
});

export type AssetPolicy = z.infer<typeof assetPolicySchema>;
export type SellerLimits = z.infer<typeof sellerLimitsSchema>;
export type PaymentPolicy = z.infer<typeof paymentPolicySchema>;

/** A caller's bound in USD, in base units of an asset. Nothing says what one without a declared USD value is worth: 0. */
export const usdBound = (usd: number, { usdStable, decimals }: AssetPolicy): bigint =>
  usdStable ? usdToBaseUnits(usd, decimals) : 0n;

/** Dollars as a person writes them (`0.25`, `$0.25`) in base units of a token that is worth one each, or null. */
export const parseDollars = (text: string, decimals: number): bigint | null =>
  parseUnits(text.trim().replace(/^\$/, ""), decimals);

/** The place of a token: CAIP-2 network and address. */
type Placed = { network: string; asset: string };

/** The policy's entry for the asset of a price, an offer or a payment; undefined if it allows none such. */
export const findAsset = <One extends Placed = AssetPolicy>(
  of: Placed | null,
  assets: readonly One[],
): One | undefined => assets.find(({ network, asset }) => network === of?.network && asset === of.asset);
