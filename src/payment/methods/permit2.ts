import type { Payment } from "../../receipts/schema.ts";
import type { PayerMethod } from "./method.ts";
import { byPermit, refusesSpender } from "./permits.ts";

const NAMES = { scheme: "exact", method: "permit2" } as const;

/** `exact` by Permit2 (scheme_exact_evm.md). */
export const permit2: PayerMethod<Extract<Payment, { scheme: "exact"; method: "permit2" }>> = {
  ...byPermit,
  refuses: refusesSpender,
  plan: (authorization) => ({ ...NAMES, ...authorization }),
  paymentOf: (authorization) => ({ ...NAMES, ...authorization }),
};
