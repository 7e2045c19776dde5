import type { Http, HttpRequest, HttpResponse } from "../../http/client.ts";
import type { PaymentForm } from "../../payment/types.ts";

/** The headers that pay for a request over HTTP: the payment itself, or a seller's token for one shown before. */
export type PaymentHeaders = Readonly<Record<string, string>>;

/** A request for an answer, in the terms of HTTP: to whom, its bytes, and what pays for it. */
export type CarriedRequest = HttpRequest & { payment?: PaymentHeaders | undefined; form?: PaymentForm | undefined };

/** Its answer in the same terms. `form`: the one in which the seller takes payments, if its offer shows one. */
export type Carried = HttpResponse & { form?: PaymentForm };

/**
 * One way for a request, its payment, an offer and a settlement to travel. All of them come and go in the terms of x402 over HTTP: a
 * status, the payment's headers, `PAYMENT-RESPONSE`, and an offer in a 402. So the flow of a purchase knows no other terms. Holds every
 * bound of the HTTP client and throws its errors.
 */
export type Carrier = { send(request: CarriedRequest): Promise<Carried> };

/** HTTP itself: a payment is a header. */
export const httpCarrier = (http: Http): Carrier => ({
  send: ({ payment, form: _form, ...request }) =>
    http.request(payment === undefined ? request : { ...request, headers: { ...request.headers, ...payment } }),
});
