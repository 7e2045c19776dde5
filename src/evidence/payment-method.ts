/** How an x402 offer is paid on chain. */
export type PaymentMethod = "eip3009" | "permit2" | "upto" | "voucher";

/**
 * The method an offer's scheme and `extra` ask for, or null where it is none of ours: `exact` by an EIP-3009 authorization
 * (the default) or by Permit2, `upto` by Permit2, each settled after delivery (x402 `extra.assetTransferMethod`,
 * `extra.paymentFlow`), or by vouchers of a channel (`batch-settlement`) whose deposits are EIP-3009 authorizations.
 */
export function paymentMethodOf(offer: {
  scheme: string;
  extra: Readonly<Record<string, unknown>>;
}): PaymentMethod | null {
  const { assetTransferMethod: transfer, paymentFlow: flow } = offer.extra;
  if (flow !== undefined && flow !== "authorization") return null;
  if (offer.scheme === "upto") return transfer === undefined || transfer === "permit2" ? "upto" : null;
  if (offer.scheme === "batch-settlement") return transfer === undefined || transfer === "eip3009" ? "voucher" : null;
  if (offer.scheme !== "exact") return null;
  if (transfer === undefined || transfer === "eip3009") return "eip3009";
  return transfer === "permit2" ? "permit2" : null;
}

/** The facilitator an upto offer binds its permit to, lower case, or null where it names none. */
export function facilitatorOf(extra: Readonly<Record<string, unknown>>): string | null {
  const { facilitatorAddress } = extra;
  return typeof facilitatorAddress === "string" && /^0x[0-9a-fA-F]{40}$/.test(facilitatorAddress)
    ? facilitatorAddress.toLowerCase()
    : null;
}

/**
 * Whether an offer's `extra` leaves the spender of a permit to us. x402 has no field for one: whatever names one wants
 * something else than x402's own contracts, even if only they would ever be signed for.
 */
export const namesNoSpender = (extra: Readonly<Record<string, unknown>>): boolean =>
  !Object.keys(extra).some((key) => /spender|proxy|permit2address/i.test(key));

/** The method of a payment. */
export const methodOf = (payment: {
  scheme: "exact" | "upto" | "batch-settlement";
  method: "eip3009" | "permit2" | "voucher";
}): PaymentMethod => (payment.scheme === "upto" ? "upto" : payment.method);

/** The terms of a channel that a batch-settlement offer names, or null where it names none in full. */
export function channelTermsOf(
  extra: Readonly<Record<string, unknown>>,
): { receiverAuthorizer: string; withdrawDelay: number } | null {
  const { receiverAuthorizer, withdrawDelay } = extra;
  return typeof receiverAuthorizer === "string" &&
    /^0x[0-9a-fA-F]{40}$/.test(receiverAuthorizer) &&
    typeof withdrawDelay === "number" &&
    Number.isSafeInteger(withdrawDelay)
    ? { receiverAuthorizer: receiverAuthorizer.toLowerCase(), withdrawDelay }
    : null;
}
