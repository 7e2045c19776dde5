import { fromBase64 } from "../evidence/bytes.ts";
import type { HttpResponse } from "../http/client.ts";
import type { WireRequest } from "../payment/types.ts";
import type { BuyerContext } from "./context.ts";

/** A response and when we held its last byte. */
export type Received = HttpResponse & { sentAt: Date; receivedAt: Date };

/**
 * Sends the kept request bytes, with a payment header or without. The answer to a payment is taken however it comes. Throws the
 * HTTP room's Proof402Error.
 */
export async function send(
  ctx: BuyerContext,
  request: WireRequest,
  options: { paymentHeader?: string; signal?: AbortSignal },
): Promise<Received> {
  const sentAt = ctx.clock();
  const { paymentHeader, signal } = options;
  const response = await ctx.http.request({
    method: request.method,
    url: request.url,
    ...(paymentHeader === undefined
      ? { headers: request.headers }
      : { headers: { ...request.headers, "payment-signature": paymentHeader }, paid: true }),
    body: fromBase64(request.body),
    ...(signal === undefined ? {} : { signal }),
  });
  return { ...response, sentAt, receivedAt: ctx.clock() };
}
