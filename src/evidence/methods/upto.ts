import { fault, type Extra, type MethodEvidence } from "./method.ts";
import { byPermit, permitUse, settledOf } from "./permits.ts";
import { byTransfer } from "./transfers.ts";
import { lowered, type Address } from "../bytes.ts";

/** The facilitator an upto offer binds its permit to, lower case, or null where it names none. */
export function facilitatorOf({ facilitatorAddress }: Extra): Address | null {
  return typeof facilitatorAddress === "string" && /^0x[0-9a-fA-F]{40}$/.test(facilitatorAddress)
    ? lowered(`0x${facilitatorAddress.slice(2)}`)
    : null;
}

/** `upto` by Permit2: the seller names the amount afterwards, and only one facilitator may settle it. */
export const upto = {
  ...byPermit,
  scheme: "upto",
  transfers: [undefined, "permit2"],
  facilitatorOf,
  differsFrom: ({ facilitator }, extra) =>
    facilitator === facilitatorOf(extra) ? null : "The payment is bound to another facilitator than the offer's.",
  unpinnedIn: ({ facilitator = "" }, { facilitators }) =>
    facilitators.includes(facilitator)
      ? null
      : fault("facilitator_mismatch", "The payment may be settled by a facilitator that the policy does not name."),
  ...byTransfer({
    ...permitUse,
    metered: true,
    amountIn(transaction, payment) {
      const amount = settledOf(transaction, payment);
      return amount === 0n ? null : amount;
    },
  }),
} as const satisfies MethodEvidence;
