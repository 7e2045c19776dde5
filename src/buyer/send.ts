import { fromBase64 } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import type { HttpResponse } from "../http/client.ts";
import type { WireRequest } from "../payment/types.ts";
import type { Candidate } from "../market/choose.ts";
import { forgetAttestation, type Attested } from "./attest.ts";
import type { BuyerContext } from "./context.ts";

/** A response and when we held its last byte. */
export type Received = HttpResponse & { sentAt: Date; receivedAt: Date };

/** Whom a request is for, and what was attested of it. */
export type To = { candidate: Candidate; attested: Attested };

/**
 * Sends the kept request bytes, with a payment header or without. The answer to a payment is taken however it comes.
 * Where the attestation names a TLS certificate nothing is sent to another; such a seller is attested anew by the next call.
 * Throws the HTTP room's Proof402Error.
 */
export async function send(
  ctx: BuyerContext,
  request: WireRequest,
  { candidate, attested }: To,
  options: { paymentHeader?: string; signal?: AbortSignal },
): Promise<Received> {
  const sentAt = ctx.clock();
  const { paymentHeader, signal } = options;
  try {
    const response = await ctx.http.request({
      method: request.method,
      url: request.url,
      ...(paymentHeader === undefined
        ? { headers: request.headers }
        : { headers: { ...request.headers, "payment-signature": paymentHeader }, paid: true }),
      body: fromBase64(request.body),
      ...(attested.tlsCertificate === null ? {} : { certificateSha256: attested.tlsCertificate }),
      ...(signal === undefined ? {} : { signal }),
    });
    return { ...response, sentAt, receivedAt: ctx.clock() };
  } catch (error) {
    if (Proof402Error.isInstance(error) && error.code === "http_certificate_refused")
      await forgetAttestation(ctx, candidate.seller.id).catch(() => undefined);
    throw error;
  }
}
