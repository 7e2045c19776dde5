import { facilitatorOf } from "../../evidence/methods/upto.ts";
import type { Payment } from "../../receipts/schema.ts";
import { rowNonceOf, shareRefusal } from "../shared.ts";
import type { PayerMethod } from "./method.ts";
import { byPermit, refusesSpender } from "./permits.ts";

const NAMES = { scheme: "upto", method: "permit2" } as const;

/** The journal's column of a share. A later call's row counts no money: the first call's has the whole amount. */
type Column = { first: boolean; kept: string; amount: string };

/** `upto` by Permit2 (scheme_upto_evm.md). */
export const upto: PayerMethod<Extract<Payment, { scheme: "upto" }>> = {
  ...byPermit,
  refuses(asked) {
    const spender = refusesSpender(asked);
    const facilitator = facilitatorOf(asked.extra);
    if (spender !== null || (facilitator !== null && asked.facilitators.includes(facilitator))) return spender;
    return {
      code: "facilitator_not_allowed",
      message: `The offer's facilitator${facilitator === null ? "" : ` (${facilitator})`}, which would name the amount, is not one of the seller's configured ones.`,
      next: "Have the owner compare that address with what the seller publishes and pin it in the seller's facilitators, or choose another seller.",
    };
  },
  plan(authorization, extra) {
    const facilitator = facilitatorOf(extra);
    return facilitator === null ? null : { ...NAMES, ...authorization, facilitator };
  },
  // OpenGradient's gateway (reference: og-x402): a bearer token for later calls on the same permit.
  sharing: { tokenHeader: "x-upto-session" },
  refusalIn: shareRefusal,
  columnsOf(payment) {
    const { facilitator, share, amount } = payment;
    if (share === undefined) return { facilitator };
    const column: Column = { ...share, amount };
    const later = share.first ? {} : { amount: "0", nonce: rowNonceOf(payment) };
    return { facilitator, share: JSON.stringify(column), ...later };
  },
  paymentOf(authorization, { facilitator, share }) {
    if (facilitator === null) throw new TypeError("an upto purchase names its facilitator");
    if (share === null) return { ...NAMES, ...authorization, facilitator };
    const { first, kept, amount } = JSON.parse(share) as Column;
    return { ...NAMES, ...authorization, amount, facilitator, share: { first, kept } };
  },
};
