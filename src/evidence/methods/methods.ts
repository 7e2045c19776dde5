import { eip3009 } from "./eip3009.ts";
import type { Authorization, Extra, MethodEvidence } from "./method.ts";
import { permit2 } from "./permit2.ts";
import { upto } from "./upto.ts";
import { voucher } from "./voucher.ts";
import type { Hex } from "../bytes.ts";

/** How an x402 offer may be paid on chain, by the name that configurations give the method. */
export const METHODS = { eip3009, permit2, upto, voucher } as const satisfies Record<string, MethodEvidence>;

export type PaymentMethod = keyof typeof METHODS;
export const PAYMENT_METHODS = Object.keys(METHODS) as PaymentMethod[];

/**
 * Finds the method for an offer's scheme and `extra`, null if the table has none. Each is settled after delivery (x402
 * `extra.assetTransferMethod`, `extra.paymentFlow`).
 */
export function paymentMethodOf({ scheme, extra }: { scheme: string; extra: Extra }): PaymentMethod | null {
  const { assetTransferMethod: transfer, paymentFlow: flow } = extra;
  if (flow !== undefined && flow !== "authorization") return null;
  const asksFor = (one: MethodEvidence): boolean =>
    one.scheme === scheme && (one.transfers as readonly unknown[]).includes(transfer);
  return PAYMENT_METHODS.find((name) => asksFor(METHODS[name])) ?? null;
}

/** The method of a payment; null of one by none of ours, which no receipt's schema lets in. */
export function methodOf({ scheme, method }: Pick<Authorization, "scheme" | "method">): PaymentMethod | null {
  const found = PAYMENT_METHODS.find((name) => METHODS[name].scheme === scheme && METHODS[name].method === method);
  return found ?? null;
}

/** What the table says of a payment's method. Throws TypeError on one by none of ours. */
export function evidenceOf(payment: Pick<Authorization, "scheme" | "method">): MethodEvidence {
  const name = methodOf(payment);
  if (name === null) throw new TypeError("a payment by no known method");
  return METHODS[name];
}

/** Finds the table's entry for an offer, or null. */
export function evidenceFor(offer: { scheme: string; extra: Extra }): MethodEvidence | null {
  const name = paymentMethodOf(offer);
  return name === null ? null : METHODS[name];
}

/** The EIP-712 hash the payer signs, 0x hex. `token` is the asset's own domain, which only some methods sign in. */
export const signingHash = (payment: Authorization, token: { name: string; version: string }): Hex =>
  evidenceOf(payment).hashOf(payment, token);
