import { Proof402Error, type ErrorCode } from "../errors.ts";
import { BEFORE_SIGNING } from "../errors/buying.ts";
import { errorText } from "../tools/outcome.ts";

/** An error as OpenAI's API has it, with what proof402 says of the money. */
export type Refusal = { status: number; body: { error: Record<string, unknown> } };

/** The statuses of codes. Every other code before a signature is 403, as the policy's, and every other one 502. */
const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_input: 400,
  invalid_max_usd: 400,
  insufficient_funds: 402,
  allowance_too_low: 402,
  channel_missing: 402,
  channel_exhausted: 402,
  model_not_found: 404,
  seller_not_found: 404,
  idempotency_conflict: 409,
  call_in_progress: 409,
  wallet_changed: 409,
  aborted: 499,
  internal_error: 500,
  wallet_missing: 503,
  buyer_closed: 503,
  database_busy: 503,
  database_unreachable: 503,
  seller_unreachable: 502,
  seller_on_hold: 502,
  attestation_failed: 502,
  malformed_seller_data: 502,
  malformed_offer: 502,
  no_offer: 502,
};

const TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  402: "payment_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
};

/** What a client is told of an error. Of one that is not ours only its class is told. */
export function refusalOf(error: unknown): Refusal {
  const told = Proof402Error.isInstance(error)
    ? error
    : new Proof402Error(
        "internal_error",
        `An unexpected ${error instanceof Error ? error.name : "error"} ended the call.`,
        {
          next: "Look at `proof402 spending`, then send the request again.",
        },
      );
  const { code, message, money, next, idempotencyKey, details } = told;
  const status = STATUSES[code] ?? (Object.hasOwn(BEFORE_SIGNING, code) ? 403 : 502);
  const receiptId = details["receiptId"];
  return {
    status,
    body: {
      error: {
        // Most clients show the message alone.
        message: errorText({ code, message, next, ...(money === undefined ? {} : { money }) }),
        type: TYPES[status] ?? "api_error",
        param: null,
        code,
        money: money ?? null,
        next,
        ...(idempotencyKey === undefined ? {} : { idempotency_key: idempotencyKey }),
        ...(typeof receiptId === "string" ? { receipt_id: receiptId } : {}),
      },
    },
  };
}

/** A refusal before anything was bought. */
export const turnedAway = (status: number, message: string, next: string): Refusal => ({
  status,
  body: {
    error: {
      message: `${message} ${next} Nothing was bought.`,
      type: TYPES[status] ?? (status === 401 ? "authentication_error" : "invalid_request_error"),
      param: null,
      code: "refused",
      money: "not-moved",
      next,
    },
  },
});
