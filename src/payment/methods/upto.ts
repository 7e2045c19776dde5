import { facilitatorOf } from "../../evidence/methods/upto.ts";
import type { Payment } from "../../receipts/schema.ts";
import type { PayerMethod } from "./method.ts";
import { byPermit, refusesSpender } from "./permits.ts";

const NAMES = { scheme: "upto", method: "permit2" } as const;

/** `upto` by Permit2 (scheme_upto_evm.md). */
export const upto: PayerMethod<Extract<Payment, { scheme: "upto" }>> = {
  ...byPermit,
  refuses(asked) {
    const spender = refusesSpender(asked);
    const facilitator = facilitatorOf(asked.extra);
    if (spender !== null || (facilitator !== null && asked.facilitators.includes(facilitator))) return spender;
    return {
      code: "facilitator_not_allowed",
      message: "The offer's facilitator, which would name the amount, is not one of the seller's configured ones.",
    };
  },
  plan(authorization, extra) {
    const facilitator = facilitatorOf(extra);
    return facilitator === null ? null : { ...NAMES, ...authorization, facilitator };
  },
  columnsOf: ({ facilitator }) => ({ facilitator }),
  paymentOf(authorization, { facilitator }) {
    if (facilitator === null) throw new TypeError("an upto purchase names its facilitator");
    return { ...NAMES, ...authorization, facilitator };
  },
};
