import { fromBase64 } from "../evidence/bytes.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import type { HttpRequest } from "../http/client.ts";
import type { Carried, PaymentHeaders } from "../market/carriers/carrier.ts";
import { cutBy } from "../http/errors.ts";
import { readPaymentResponse } from "../payment/offers.ts";
import { noteClaim } from "../payment/sightings.ts";
import type { PurchaseRecord, WireRequest } from "../payment/types.ts";
import type { Candidate } from "../market/choose.ts";
import { forgetAttestation, type Attested } from "./attest.ts";
import type { PartsTeller } from "./answer-parts.ts";
import type { BuyerContext } from "./context.ts";

/** A response and when we held its last byte. */
export type Received = Carried & { sentAt: Date; receivedAt: Date };

/** Whom a request is for, and what was attested of it. */
export type To = { candidate: Candidate; attested: Attested };

/** A payment on its way, as its call took it up. */
type Sending = To & { purchase: PurchaseRecord };

/**
 * Sends the kept request bytes by the carrier of the seller's kind, with a payment or without. The answer to a payment is taken however it comes.
 * Where the attestation names a TLS certificate nothing is sent to another; the next call attests such a seller again.
 * Throws the HTTP room's Proof402Error.
 */
export async function send(
  ctx: BuyerContext,
  request: WireRequest,
  { candidate, attested }: To,
  options: { payment?: PaymentHeaders; signal?: AbortSignal } & Pick<HttpRequest, "once" | "onHead" | "onBody">,
): Promise<Received> {
  const sentAt = ctx.clock();
  const { payment, once = false, signal, onHead, onBody } = options;
  try {
    const response = await ctx.carrierOf(candidate.seller.provider).send({
      method: request.method,
      url: request.url,
      headers: request.headers,
      ...(payment === undefined ? {} : { payment, form: request.paymentForm, paid: true, once }),
      body: fromBase64(request.body),
      certificateSha256: attested.tlsCertificate ?? undefined,
      pin: candidate.seller.certificateSha256,
      signal,
      onHead,
      onBody,
    });
    return { ...response, sentAt, receivedAt: ctx.clock() };
  } catch (error) {
    if (Proof402Error.isInstance(error) && error.code === "http_certificate_refused")
      await forgetAttestation(ctx, candidate.seller.id).catch(() => undefined);
    throw error;
  }
}

/**
 * Sends a payment with its request. What the seller says of its settlement is kept once the answer's head is in: where no body
 * follows it, that is all that there is. It is a hint: a database that cannot take it must not cost the answer.
 *
 * Throws Proof402Error `answer_lost` where an answer came of which nothing can be kept, and what {@link send} throws.
 */
export async function sendPayment(
  ctx: BuyerContext,
  sending: Sending,
  headers: PaymentHeaders,
  parts?: PartsTeller,
): Promise<Received> {
  const { payment, request } = sending.purchase;
  let answered: Answered | null = null;
  let isToBeStored = false;
  let note: (survives: "power loss" | "process") => Promise<unknown> = () => Promise.resolve();
  let noted: Promise<unknown> = Promise.resolve();
  const listener = parts?.hear(sending.candidate.seller.provider);
  try {
    const received = await send(ctx, request, sending, {
      payment: headers,
      // Its seller may count each sending of a call on an authorization for several.
      once: payment.share !== undefined,
      onHead({ status, headers }) {
        const said = readPaymentResponse(headers);
        answered = { status, transaction: said?.transaction ?? null };
        note = (survives) => noteClaim(ctx.db, payment, said, survives).catch(() => undefined);
        noted = note("process");
        listener?.onHead({ status, headers });
      },
      onBody: listener?.onBody,
    });
    isToBeStored = received.status !== 402;
    return received;
  } catch (error) {
    throw Proof402Error.isInstance(error) ? (unsent(sending, error) ?? lost(sending, error, answered) ?? error) : error;
  } finally {
    await noted;
    // The transaction of a receipt makes the note durable. Where no receipt follows, the note waits for the disk itself.
    if (!isToBeStored) await note("power loss");
  }
}

/** What the head of an answer said. */
type Answered = { status: number; transaction: string | null };

/**
 * The error where no byte of the payment went out: no connection was made, or it showed another certificate. The journal goes
 * on counting the payment as sent. Its signature stands there, and another process that takes the call up may have sent it
 * meanwhile, so nothing but the chain can show that it will not be used.
 */
function unsent({ purchase }: Sending, { code, message, next, details }: Proof402Error): Proof402Error | null {
  if (details["requestSent"] !== false) return null;
  // A payment that an earlier call signed may have gone out then.
  const which = purchase.state === "reserved" ? "The payment was signed, and none" : "This time, none";
  return new Proof402Error(code, `${message} ${which} of it was sent.`, { next, details });
}

/** What came and is no HTTP that can be read has one of these codes. */
const UNREADABLE: Readonly<Partial<Record<ErrorCode, string>>> = {
  http_malformed: "with what is no proper HTTP",
  http_headers_too_large: "with more headers than are read",
};

/** The error where an answer came of which there is nothing to keep: no byte of its body, or nothing that HTTP lets be read. */
function lost({ candidate, purchase }: Sending, cause: Proof402Error, answered: Answered | null): Proof402Error | null {
  // The caller's own end loses no answer, and neither does a connection on which none came.
  if (cutBy(cause) === null || (answered === null && UNREADABLE[cause.code] === undefined)) return null;
  const how = answered === null ? UNREADABLE[cause.code] : `with status ${answered.status} and no body after it`;
  return new Proof402Error(
    "answer_lost",
    `Seller "${candidate.seller.id}" answered the payment ${how}: nothing came that a receipt could hold.`,
    {
      next:
        purchase.payment.share === undefined
          ? "Call again with the same idempotency key: the same payment is sent again, and nothing is paid twice. `spending` shows what became of it."
          : "It shares an authorization with other calls, and is not sent again. Call again with the same idempotency key in some minutes: the chain shows by then what was taken, and only a call that nothing was taken for is paid once more.",
      details: { reason: cause.code, status: null, transaction: null, ...answered },
      cause,
    },
  );
}
