import { fromBase64 } from "../evidence/bytes.ts";
import { Proof402Error, type MoneyState } from "../errors.ts";
import type { WireRequest } from "../payment/types.ts";
import type { BuyerContext } from "./context.ts";

/** A response and when we held its last byte. */
export type Received = {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
  sentAt: Date;
  receivedAt: Date;
};

/**
 * Sends the kept request bytes, with a payment header or without.
 * Throws the HTTP room's Proof402Error, with `money` set to what a failure means for a signed authorization.
 */
export async function send(
  ctx: BuyerContext,
  request: WireRequest,
  options: { paymentHeader?: string; signal?: AbortSignal },
): Promise<Received> {
  const sentAt = ctx.clock();
  try {
    const response = await ctx.http.request({
      method: request.method,
      url: request.url,
      headers:
        options.paymentHeader === undefined
          ? request.headers
          : { ...request.headers, "payment-signature": options.paymentHeader },
      body: fromBase64(request.body),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return { ...response, sentAt, receivedAt: ctx.clock() };
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    // A signature that never left this process is one that nobody can redeem.
    const unsent = options.paymentHeader === undefined || error.details["requestSent"] === false;
    const money: MoneyState = unsent ? "not-moved" : "may-move";
    throw new Proof402Error(error.code, error.message, {
      money,
      next:
        money === "may-move"
          ? "Call again with the same idempotency key: the same authorization is used, so nothing is paid twice."
          : error.next,
      details: error.details,
      cause: error,
    });
  }
}
