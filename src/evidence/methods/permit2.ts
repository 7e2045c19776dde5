import type { MethodEvidence } from "./method.ts";
import { byPermit, permitUse, settledOf } from "./permits.ts";
import { byTransfer } from "./transfers.ts";

/** `exact` by Permit2, through x402's own contract. */
export const permit2 = {
  ...byPermit,
  scheme: "exact",
  transfers: ["permit2"],
  differsFrom: () => null,
  unpinnedIn: () => null,
  ...byTransfer({ ...permitUse, metered: false, amountIn: settledOf }),
} as const satisfies MethodEvidence;
