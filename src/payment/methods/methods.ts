import { methodOf, paymentMethodOf, type PaymentMethod } from "../../evidence/methods/methods.ts";
import type { Offer, Payment } from "../../receipts/schema.ts";
import { eip3009 } from "./eip3009.ts";
import type { PayerMethod } from "./method.ts";
import { permit2 } from "./permit2.ts";
import { upto } from "./upto.ts";
import { voucher } from "./voucher.ts";

/** The buyer's half of each payment method. */
export const PAYERS: Readonly<Record<PaymentMethod, PayerMethod>> = { eip3009, permit2, upto, voucher };

/** The buyer's half of a payment's method. Throws TypeError on one by none of ours. */
export function payerOf(payment: Pick<Payment, "scheme" | "method">): PayerMethod {
  const name = methodOf(payment);
  if (name === null) throw new TypeError("a payment by no known method");
  return PAYERS[name];
}

/** How one authorization under an offer may serve several calls; null if it serves one. */
export function sharingOf(offer: Offer): PayerMethod["sharing"] {
  const name = paymentMethodOf(offer);
  return name === null ? null : PAYERS[name].sharing;
}
