import { jsonOf } from "../evidence/bytes.ts";
import { decodeHeader } from "./x402-header.ts";

/** The reason of a seller or facilitator for turning a payment down, in our own words. */
export type SellerRefusal = {
  code: keyof typeof REFUSALS;
  /** x402's own code that was found, one of those below. */
  x402Code: string;
  /** What it means, as one sentence. */
  message: string;
  /** What to do about it, as one sentence. It says nothing about money: only the journal knows. */
  advice: string;
};

type Meaning = { message: string; advice: string; codes: readonly string[] };

/**
 * x402's error codes by what they mean to a buyer: those of the specification (x402-specification-v2.md §9) and those that
 * @x402/core and @x402/evm 2.27 add.
 */
export const REFUSALS = {
  seller_says_insufficient_funds: {
    message: "The facilitator says that the wallet holds too little of the token.",
    advice: "The owner can look at the balance with `proof402 wallet show` and send the token to the wallet.",
    codes: [
      "insufficient_funds",
      "invalid_exact_evm_insufficient_balance",
      "permit2_insufficient_balance",
      "invalid_batch_settlement_evm_insufficient_balance",
    ],
  },
  seller_says_wrong_domain: {
    message: "The facilitator says that the payment is signed for another EIP-712 domain than the token's own.",
    advice: "The owner should compare `domain` of the asset in the payment policy with the token's name and version.",
    codes: [
      "invalid_exact_evm_token_name_mismatch",
      "invalid_exact_evm_token_version_mismatch",
      "invalid_exact_evm_missing_eip712_domain",
      "invalid_batch_settlement_evm_missing_eip712_domain",
      "missing_eip712_domain",
    ],
  },
  seller_says_bad_signature: {
    message: "The facilitator says that the signature is not the payer's over this payment.",
    advice:
      "The owner should compare the asset's `domain`, its address and the network's chain id in the configuration with the token.",
    codes: [
      "invalid_exact_evm_signature",
      "invalid_exact_evm_payload_signature",
      "invalid_exact_evm_payload_signature_address",
      "invalid_exact_evm_failed_to_parse_signature",
      "invalid_permit2_signature",
      "permit2_invalid_owner",
      "invalid_batch_settlement_evm_voucher_signature",
      "invalid_batch_settlement_evm_receive_authorization_signature",
      "invalid_batch_settlement_evm_permit2_invalid_signature",
      "invalid_exact_evm_payload_undeployed_smart_wallet",
      "smart_wallet_deployment_failed",
      "eip6492_factory_not_allowed",
      "invalid_batch_settlement_evm_smart_wallet_deployment_failed",
      "invalid_batch_settlement_evm_eip6492_factory_not_allowed",
    ],
  },
  seller_says_expired: {
    message: "The facilitator says that the payment has expired or leaves it too little time.",
    advice:
      "Compare this machine's clock with the time; the owner can raise maxAuthorizationSeconds for a slow seller.",
    codes: [
      "invalid_exact_evm_payload_authorization_valid_before",
      "permit2_deadline_expired",
      "invalid_batch_settlement_evm_payload_authorization_valid_before",
      "invalid_batch_settlement_evm_permit2_deadline_expired",
      "eip2612_deadline_expired",
    ],
  },
  seller_says_too_early: {
    message: "The facilitator says that the payment is not valid yet.",
    advice: "Choose another seller: its facilitator's clock is slow, for this payment was valid from the first.",
    codes: [
      "invalid_exact_evm_payload_authorization_valid_after",
      "permit2_not_yet_valid",
      "permit2_payment_too_early",
      "invalid_batch_settlement_evm_payload_authorization_valid_after",
    ],
  },
  seller_says_used: {
    message: "The facilitator says that this authorization was used already.",
    advice: "Call again with the same idempotency key: the chain is looked at, and the answer asked for again.",
    codes: ["invalid_exact_evm_nonce_already_used", "permit2_invalid_nonce", "payment_recorded"],
  },
  seller_says_pending: {
    message: "The facilitator says that the transaction is sent and not yet in a block.",
    advice: "Call again with the same idempotency key in a minute.",
    codes: ["settlement_pending"],
  },
  seller_says_allowance: {
    message: "The facilitator says that Permit2 may not move this much of the token.",
    advice: "The owner can allow it with `proof402 wallet approve`.",
    codes: [
      "permit2_allowance_required",
      "invalid_batch_settlement_evm_permit2_allowance_required",
      "invalid_batch_settlement_evm_permit2_authorization_required",
    ],
  },
  seller_says_other_terms: {
    message: "The seller compares the payment with other terms than it offered.",
    advice: "Choose another seller.",
    codes: [
      "invalid_exact_evm_authorization_value",
      "invalid_exact_evm_payload_authorization_value",
      "invalid_exact_evm_payload_authorization_value_mismatch",
      "invalid_exact_evm_recipient_mismatch",
      "invalid_exact_evm_payload_recipient_mismatch",
      "invalid_exact_evm_network_mismatch",
      "invalid_exact_evm_scheme",
      "invalid_upto_evm_network_mismatch",
      "invalid_upto_evm_scheme",
      "invalid_permit2_recipient_mismatch",
      "invalid_permit2_spender",
      "permit2_amount_mismatch",
      "permit2_invalid_amount",
      "permit2_invalid_destination",
      "permit2_token_mismatch",
      "upto_amount_exceeds_permitted",
      "upto_facilitator_mismatch",
      "upto_unauthorized_facilitator",
      "invalid_upto_evm_payload_settlement_exceeds_amount",
      "extension_echo_mismatch",
      "invalid_payment_requirements",
      "invalid_payload",
      "invalid_network",
      "invalid_scheme",
    ],
  },
  seller_says_unsupported: {
    message: "The seller's facilitator does not settle payments of this kind.",
    advice: "Choose another seller.",
    codes: [
      "unsupported_scheme",
      "unsupported_payload_type",
      "unsupported_payment_flow",
      "unsupported_asset_transfer_method",
      "invalid_x402_version",
      "invalid_exact_evm_eip3009_not_supported",
      "permit2_proxy_not_deployed",
    ],
  },
  seller_says_not_settled: {
    message: "The facilitator says that the transfer failed on chain, or that it could not try it.",
    advice: "Call again with the same idempotency key later: the chain is looked at before anything else is done.",
    codes: [
      "settle_failed",
      "settlement_failed",
      "unexpected_settle_error",
      "unexpected_verify_error",
      "invalid_transaction_state",
      "invalid_exact_evm_transaction_failed",
      "invalid_exact_evm_transaction_simulation_failed",
      "invalid_exact_evm_transfer_event_mismatch",
      "invalid_upto_evm_transaction_failed",
      "permit2_simulation_failed",
      "invalid_batch_settlement_evm_rpc_read_failed",
      "invalid_batch_settlement_evm_verification_state_unavailable",
    ],
  },
  seller_says_channel: {
    message: "The facilitator refuses the payment channel or what was granted from it.",
    advice: "The owner can compare the channel with the chain by `proof402 channel list`.",
    codes: [
      "invalid_batch_settlement_evm_channel_busy",
      "invalid_batch_settlement_evm_channel_id_invalid",
      "invalid_batch_settlement_evm_channel_id_mismatch",
      "invalid_batch_settlement_evm_channel_not_found",
      "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative",
      "invalid_batch_settlement_evm_cumulative_amount_mismatch",
      "invalid_batch_settlement_evm_cumulative_below_claimed",
      "invalid_batch_settlement_evm_cumulative_exceeds_balance",
      "invalid_batch_settlement_evm_missing_channel",
      "invalid_batch_settlement_evm_network_mismatch",
      "invalid_batch_settlement_evm_payload_type",
      "invalid_batch_settlement_evm_receiver_authorizer_mismatch",
      "invalid_batch_settlement_evm_receiver_mismatch",
      "invalid_batch_settlement_evm_scheme",
      "invalid_batch_settlement_evm_token_mismatch",
      "invalid_batch_settlement_evm_withdraw_delay_mismatch",
      "invalid_batch_settlement_evm_withdraw_delay_out_of_range",
    ],
  },
} as const satisfies Record<string, Meaning>;

const KNOWN: ReadonlyMap<string, SellerRefusal["code"]> = new Map(
  Object.entries(REFUSALS).flatMap(([code, { codes }]) =>
    codes.map((one) => [one as string, code as SellerRefusal["code"]] as const),
  ),
);

/** Longest body that is looked through for a code, bytes, and longest text of one field, characters. */
const MAX_BODY = 65_536;
const MAX_TEXT = 4096;

/**
 * Why a payment was turned down, as far as a 402 or an error answer says it by one of x402's codes, or null. The codes are
 * looked for where x402's servers put them: `PAYMENT-RESPONSE`, the `error` of `PAYMENT-REQUIRED`, then the body; also
 * inside a longer text, since facilitators' errors are quoted. Unsigned, so a hint for people: no money is judged by it.
 * Header names are lower case. Never throws.
 */
export function readRefusal(headers: Readonly<Record<string, string>>, body: Uint8Array): SellerRefusal | null {
  const said = [
    ...textsOf(headers["payment-response"], decodeHeader),
    ...textsOf(headers["payment-required"], decodeHeader),
    ...textsOf(body.length > MAX_BODY ? undefined : body, jsonOf),
  ];
  for (const text of said) {
    const x402Code = text
      .slice(0, MAX_TEXT)
      .match(/[a-z0-9]+(?:_[a-z0-9]+)+/g)
      ?.find((word) => KNOWN.has(word));
    const code = x402Code === undefined ? undefined : KNOWN.get(x402Code);
    if (x402Code === undefined || code === undefined) continue;
    const { message, advice } = REFUSALS[code];
    return { code, x402Code, message, advice };
  }
  return null;
}

/** Every code of x402 that has a meaning here. */
export const knownCodes = (): string[] => [...KNOWN.keys()];

const FIELDS = ["errorReason", "invalidReason", "error", "errorMessage", "invalidMessage", "message", "code"] as const;

/** The texts of the fields that may hold a code, those of an `error` object included. */
function textsOf<T>(source: T | undefined, read: (source: T) => unknown): string[] {
  const value = source === undefined ? undefined : read(source);
  const fields = FIELDS.map((field) => fieldOf(value, field));
  const nested = FIELDS.map((field) => fieldOf(fieldOf(value, "error"), field));
  return [...fields, ...nested].filter((one) => typeof one === "string");
}

const fieldOf = (value: unknown, field: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, field)
    ? (value as Record<string, unknown>)[field]
    : undefined;
