import type { Offer, Payment } from "../receipts/schema.ts";
import type { PurchaseState } from "../storage/tables.ts";

/** Why a payment was refused, with the numbers a person needs. Amounts in base units. */
export type Refusal = {
  code:
    | "asset_not_allowed"
    | "scheme_not_supported"
    | "payee_not_allowed"
    | "domain_mismatch"
    | "over_per_call_cap"
    | "over_call_limit"
    | "over_hour_cap"
    | "over_day_cap"
    | "over_total_cap"
    | "over_count_cap"
    | "authorization_too_long"
    | "authorization_too_short"
    | "malformed_offer";
  message: string;
  limit?: string;
  asked?: string;
  remaining?: string;
};

/** The request as it goes on the wire, kept so that a retry sends the same bytes. */
export type WireRequest = {
  method: "POST";
  url: string;
  path: string;
  headers: Record<string, string>;
  /** base64 of the exact body. */
  body: string;
  nonce: string;
};

/** One logical purchase in the journal. */
export type PurchaseRecord = {
  idempotencyKey: string;
  argsDigest: string;
  state: PurchaseState;
  sellerId: string;
  model: string;
  offer: Offer;
  payment: Payment;
  request: WireRequest;
  receiptId: string | null;
  transaction: string | null;
  settledAmount: string | null;
  reason: string | null;
  createdAt: number;
  updatedAt: number;
};
