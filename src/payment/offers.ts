import * as z from "zod";
import { toHex } from "../evidence/bytes.ts";
import { canonicalJson, canonicalSha256 } from "../evidence/canonical.ts";
import type { Offer } from "../receipts/schema.ts";
import type { ChannelTerms, OpenChannel } from "./channel-offers.ts";
import { paymentMethodOf } from "../evidence/methods/methods.ts";
import { readEcho, type Echo } from "./echo.ts";
import { moneyText } from "../chain/money-text.ts";
import { PAYERS } from "./methods/methods.ts";
import { usdBound, type AssetPolicy, type PaymentPolicy } from "./policy.ts";
import type { Refusal } from "./types.ts";
import { decodeHeader, isPortable } from "./x402-header.ts";
import type { Address } from "../evidence/bytes.ts";

/** Offers looked at, and bytes and nesting of one: sellers on many networks make some dozens. */
const MAX_OFFERS = 128;
const MAX_OFFER_BYTES = 4096;
const MAX_DEPTH = 8;

/**
 * Shortest authorization worth signing, seconds. x402's facilitators refuse one with less than six seconds left when
 * they settle, which is after the seller has done its work.
 */
export const MIN_USABLE_SECONDS = 10;

const requirementSchema = z.looseObject({
  scheme: z.string().min(1).max(64),
  network: z.string().min(1).max(128),
  amount: z.string().regex(/^(?:0|[1-9][0-9]{0,77})$/),
  asset: z.string().min(1).max(128),
  payTo: z.string().min(1).max(128),
  maxTimeoutSeconds: z.int().min(1).max(1_000_000_000),
  extra: z.record(z.string().max(64), z.unknown()).nullish(),
});

/** PaymentRequired of x402 v2 (x402-specification-v2.md §5.1). What we do not use of it is ignored, never shown. */
const paymentRequiredSchema = z.object({
  x402Version: z.literal(2),
  accepts: z.array(z.unknown()).min(1).max(MAX_OFFERS),
  resource: z.unknown().optional(),
  extensions: z.unknown().optional(),
});

type Requirement = z.infer<typeof requirementSchema>;

/** A seller's offers that are of the shape x402 v2 asks for, each bounded in every dimension. Nothing in it is trusted yet. */
export type PaymentRequired = {
  accepts: readonly Requirement[];
  echo: Echo;
};

/** An offer that the payment policy allows. */
export type AcceptedOffer = {
  offer: Offer;
  /** The policy of its asset. */
  asset: AssetPolicy;
  /** The requirement as the seller wrote it: x402 sellers compare the one quoted in a payment with their own field by field. */
  accepted: Record<string, unknown>;
  /** What a payment sends back of the 402 besides. */
  echo: Echo;
};

const malformed = (message: string): { ok: false; refusal: Refusal } => ({
  ok: false,
  refusal: { code: "malformed_offer", message },
});

/** The offers in a 402 response's `PAYMENT-REQUIRED` header (base64 of JSON). Header names are lower case. Never throws. */
export function readPaymentRequired(
  headers: Readonly<Record<string, string>>,
): { ok: true; required: PaymentRequired } | { ok: false; refusal: Refusal } {
  const header = headers["payment-required"];
  if (header === undefined) return malformed("The 402 response carries no PAYMENT-REQUIRED header.");
  const value = decodeHeader(header);
  return value === undefined
    ? malformed("The PAYMENT-REQUIRED header is not bounded base64 of JSON.")
    : readOffers(value);
}

/**
 * The same for an already decoded PaymentRequired object. An offer that is not as x402 v2 has it hides no other: only where
 * all are so is the whole refused. Never throws.
 */
export function readOffers(value: unknown): { ok: true; required: PaymentRequired } | { ok: false; refusal: Refusal } {
  try {
    const parsed = paymentRequiredSchema.safeParse(value);
    if (!parsed.success) return notBounded(parsed.error);
    const read = parsed.data.accepts.map(readRequirement);
    const accepts = read.flatMap((one) => (one.ok ? [one.requirement] : []));
    const [first] = read;
    if (accepts.length === 0 && first?.ok === false) return first;
    return { ok: true, required: { accepts, echo: readEcho(parsed.data) } };
  } catch {
    return malformed("The payment offer holds values that JSON cannot carry.");
  }
}

function readRequirement(
  value: unknown,
  index: number,
): { ok: true; requirement: Requirement } | { ok: false; refusal: Refusal } {
  if (!isPortable(value, MAX_DEPTH)) return malformed("The payment offer is nested too deeply or is no portable JSON.");
  const parsed = requirementSchema.safeParse(value);
  if (!parsed.success) return notBounded(parsed.error, ["accepts", index]);
  if (canonicalJson(parsed.data).length > MAX_OFFER_BYTES)
    return malformed("The payment offer's extra data is too long.");
  return { ok: true, requirement: parsed.data };
}

/** Names the place that does not fit. Keys may be a seller's words, so only short plain ones are repeated. */
function notBounded({ issues }: z.ZodError, at: readonly PropertyKey[] = []): { ok: false; refusal: Refusal } {
  const path = [...at, ...(issues[0]?.path ?? [])].filter((part) => /^[A-Za-z0-9]{1,24}$/.test(String(part)));
  return malformed(`The payment offer is not a bounded x402 v2 PaymentRequired (at ${path.join(".") || "its top"}).`);
}

/**
 * What the seller says became of the payment (`PAYMENT-RESPONSE`, of x402 v1 `X-PAYMENT-RESPONSE`): unsigned, so a hint where to look on chain at most. Null
 * where the header is missing or malformed. `transaction` is 32 bytes of 0x hex, lower case. `pending` is x402's
 * `settlement_pending`: submitted, and not known to be on chain yet.
 */
export function readPaymentResponse(headers: Readonly<Record<string, string>>): PaymentResponse | null {
  // A server and a proxy before it may each write one, and the commas between them are in no base64.
  const said = (headers["payment-response"] ?? headers["x-payment-response"] ?? "")
    .split(",")
    .map((one) => readOneResponse(one.trim()));
  return said.find((one) => one?.transaction !== undefined) ?? said.find((one) => one !== null) ?? null;
}

type PaymentResponse = { success: boolean; pending: boolean; transaction?: string };

function readOneResponse(header: string): PaymentResponse | null {
  const value = decodeHeader(header);
  if (typeof value !== "object" || value === null) return null;
  const { success, transaction, errorReason } = value as Record<string, unknown>;
  if (typeof success !== "boolean") return null;
  const isHash = typeof transaction === "string" && /^0x[0-9a-fA-F]{64}$/.test(transaction);
  const said = { success, pending: errorReason === "settlement_pending" };
  return isHash ? { ...said, transaction: transaction.toLowerCase() } : said;
}

/**
 * The seller's offers that the policy allows, the cheapest first. Decimals, EIP-712 domain and worth of an asset come from the
 * policy only. Offers in USD-stable assets are compared by worth and come first; others follow in the policy's order.
 *
 * `payTo` and `facilitators` are the seller's pinned lists of addresses; `maxUsd` the caller's own bound, which only USD-stable assets can meet.
 * Refusals come with the one that got furthest first. Seller text is in none of them. Throws Proof402Error `invalid_max_usd`.
 */
export function chooseOffer(options: {
  policy: PaymentPolicy;
  payTo: readonly Address[];
  facilitators?: readonly Address[];
  channelTerms?: ChannelTerms | undefined;
  channels?: readonly OpenChannel[];
  required: PaymentRequired;
  maxUsd?: number | undefined;
}): { ok: true; offers: [AcceptedOffer, ...AcceptedOffer[]] } | { ok: false; refusals: Refusal[] } {
  const judged = options.required.accepts.map((requirement) => judge(requirement, options));
  const [cheapest, ...others] = judged
    .flatMap((one) => (one.ok ? [one] : []))
    .toSorted((a, b) => compareRanks(a.rank, b.rank))
    .map(({ accepted }) => accepted);
  if (cheapest !== undefined) return { ok: true, offers: [cheapest, ...others] };
  const refusals = judged.flatMap((one) => (one.ok ? [] : [one])).toSorted((a, b) => b.stage - a.stage);
  return { ok: false, refusals: refusals.map((one) => one.refusal) };
}

/** sha256(JCS(offer without offerHash)), hex: names one offer. */
export const offerHashOf = (offer: Omit<Offer, "offerHash">): string => toHex(canonicalSha256(offer));

type Rank = { class: number; worth: bigint; liked: number };
type Judged = { ok: true; accepted: AcceptedOffer; rank: Rank } | { ok: false; stage: number; refusal: Refusal };

const compareRanks = (a: Rank, b: Rank): number =>
  a.class - b.class || (a.worth < b.worth ? -1 : a.worth > b.worth ? 1 : a.liked - b.liked);

function judge(
  requirement: Requirement,
  {
    policy,
    payTo,
    facilitators = [],
    channelTerms,
    channels = [],
    required,
    maxUsd,
  }: Parameters<typeof chooseOffer>[0],
): Judged {
  const refuse = (stage: number, refusal: Refusal): Judged => ({ ok: false, stage, refusal });
  const address = requirement.asset.toLowerCase();
  const index = policy.assets.findIndex((one) => one.network === requirement.network && one.asset === address);
  const asset = policy.assets[index];
  if (asset === undefined) {
    return refuse(0, {
      code: "asset_not_allowed",
      message: "The offer's network and asset are not in the payment policy.",
    });
  }
  const extra = requirement.extra ?? {};
  const method = paymentMethodOf({ scheme: requirement.scheme, extra });
  if (method === null) {
    return refuse(1, {
      code: "scheme_not_supported",
      message:
        "Only exact payments by EIP-3009 or Permit2, upto payments by Permit2, and vouchers, settled after delivery, are made.",
    });
  }
  if (!asset.methods.includes(method)) {
    return refuse(1, {
      code: "method_not_allowed",
      message: `The offer asks to be paid by ${method}, which the policy does not allow for ${asset.symbol}.`,
    });
  }
  const named = requirement.payTo.toLowerCase();
  const payee = payTo.find((one) => one === named);
  if (payee === undefined) {
    return refuse(2, {
      code: "payee_not_allowed",
      message: "The offer's payee is not one of the seller's configured addresses.",
    });
  }
  const amount = BigInt(requirement.amount);
  const asked = { asset, payee, amount, extra, facilitators, channelTerms, channels };
  const unfit = PAYERS[method].refuses(asked);
  if (unfit !== null) return refuse(3, unfit);
  if (requirement.maxTimeoutSeconds < MIN_USABLE_SECONDS) {
    return refuse(4, {
      code: "authorization_too_short",
      message: `The offer leaves ${requirement.maxTimeoutSeconds} s to be paid; at least ${MIN_USABLE_SECONDS} s are needed.`,
      limit: String(MIN_USABLE_SECONDS),
      asked: String(requirement.maxTimeoutSeconds),
    });
  }
  const over = overCallBounds(amount, asset, maxUsd);
  if (over !== null) return refuse(5, over);
  const unpayable = PAYERS[method].cannotPay(asked);
  if (unpayable !== null) return refuse(6, unpayable);
  const offer = {
    scheme: requirement.scheme,
    network: asset.network,
    asset: asset.asset,
    decimals: asset.decimals,
    amount: requirement.amount,
    payTo: payee,
    maxTimeoutSeconds: requirement.maxTimeoutSeconds,
    extra,
  };
  const liked = asset.methods.indexOf(method);
  const rank = asset.usdStable
    ? { class: -1, worth: amount * 10n ** BigInt(36 - asset.decimals), liked }
    : { class: index, worth: amount, liked };
  return {
    ok: true,
    accepted: {
      offer: { ...offer, offerHash: offerHashOf(offer) },
      asset,
      accepted: requirement,
      echo: required.echo,
    },
    rank,
  };
}

function overCallBounds(amount: bigint, asset: AssetPolicy, maxUsd: number | undefined): Refusal | null {
  const over = (code: Refusal["code"], limit: bigint, whose: string): Refusal => ({
    code,
    message: `The offer asks ${moneyText(amount, asset)}, over ${whose} of ${moneyText(limit, asset)}.`,
    limit: limit.toString(),
    asked: amount.toString(),
  });
  const cap = BigInt(asset.perCall);
  if (amount > cap) return over("over_per_call_cap", cap, "the policy's cap per call");
  if (maxUsd === undefined) return null;
  const bound = usdBound(maxUsd, asset);
  return amount > bound ? over("over_call_limit", bound, "this call's own limit") : null;
}
