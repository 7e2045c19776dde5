import { fromBase64 } from "../evidence/bytes.ts";
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

/** Sends the kept request bytes, with a payment header or without. Throws the HTTP room's Proof402Error. */
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
    headers: paymentHeader === undefined ? request.headers : { ...request.headers, "payment-signature": paymentHeader },
    body: fromBase64(request.body),
    ...(signal === undefined ? {} : { signal }),
  });
  return { ...response, sentAt, receivedAt: ctx.clock() };
}
