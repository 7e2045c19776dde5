import type { ErrorCode } from "../errors.ts";
import type { ListedPrice, Offer, Payment } from "../receipts/schema.ts";
import type { PurchaseState } from "../storage/tables.ts";

/** Why a payment was refused, with the numbers a person needs. Amounts in base units. */
export type Refusal = {
  code: Extract<
    ErrorCode,
    | "asset_not_allowed"
    | "scheme_not_supported"
    | "method_not_allowed"
    | "facilitator_not_allowed"
    | "spender_not_allowed"
    | "allowance_too_low"
    | "insufficient_funds"
    | "channel_terms_not_allowed"
    | "channel_missing"
    | "channel_exhausted"
    | "authorization_used_up"
    | "payee_not_allowed"
    | "domain_mismatch"
    | "over_per_call_cap"
    | "over_call_limit"
    | "over_hour_cap"
    | "over_day_cap"
    | "over_total_cap"
    | "over_count_cap"
    | "over_seller_cap"
    | "over_client_cap"
    | "over_listed_price"
    | "outside_hours"
    | "authorization_too_long"
    | "authorization_too_short"
    | "malformed_offer"
  >;
  message: string;
  /** The next step, if the policy does not decide it. */
  next?: string;
  limit?: string;
  asked?: string;
  remaining?: string;
  /** The wallet's holdings, and the part reserved for other payments. */
  holds?: string;
  promised?: string;
};

/** How a payment is written for a seller that takes it in one form only: `text` is base64 in place of an object. */
export type PaymentForm = "text";

/** The request as it goes on the wire, kept so that a retry sends the same bytes. */
export type WireRequest = {
  method: "POST";
  url: string;
  path: string;
  headers: Record<string, string>;
  /** base64 of the exact body. */
  body: string;
  nonce: string;
  /** The resource that the payment with it names, as the seller wrote it. */
  paymentResource?: Record<string, unknown>;
  /** Extensions of that payment: the seller's declared ones, and our payment identifier if it takes one. */
  paymentExtensions?: Record<string, unknown>;
  /** The form of that payment, if its offer showed one. */
  paymentForm?: PaymentForm;
};

/** One attempt at a logical purchase in the journal. */
export type PurchaseRecord = {
  /** Names this attempt; the transitions take it. */
  id: string;
  idempotencyKey: string;
  /** 1, and one more for each signed authorization before it. */
  attempt: number;
  argsDigest: string;
  state: PurchaseState;
  sellerId: string;
  /** The program it was bought for, or null. */
  client: string | null;
  model: string;
  offer: Offer;
  /** The requirement as the seller wrote it: a payment has to quote it unchanged. */
  accepted: Record<string, unknown>;
  /** What the seller listed when it was chosen. */
  listedPrice: ListedPrice | null;
  payment: Payment;
  request: WireRequest;
  receiptId: string | null;
  /** Unix ms. */
  answeredAt: number | null;
  transaction: string | null;
  settledAmount: string | null;
  /** The call's cost in the seller's words, and its part of a sum moved for several calls, base units. */
  reported: string | null;
  part: string | null;
  reason: string | null;
  createdAt: number;
  updatedAt: number;
};

/** What became of a wanted change of state. Nothing was written where `ok` is false. */
export type Transition =
  /** `changed` is false where the purchase already was where the caller wanted it. */
  | { ok: true; state: PurchaseState; changed: boolean }
  | { ok: false; code: "illegal_transition" | "unknown_purchase"; state: PurchaseState | null }
  /** The policy of this moment does not let it be signed. */
  | { ok: false; code: "refused"; state: PurchaseState; refusal: Refusal };

/** One asset's caps and what counts against them. */
export type AssetSpending = {
  network: string;
  asset: string;
  symbol: string;
  decimals: number;
  usdStable: boolean;
  /** Base units. `reserved` may still be redeemed; `spent` is on chain. Windows count both. */
  reserved: string;
  spent: string;
  windows: { name: "hour" | "day" | "total"; used: string; cap: string; remaining: string }[];
  perCall: string;
};
