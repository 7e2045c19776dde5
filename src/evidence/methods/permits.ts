import { chainIdOf } from "../eip3009.ts";
import { permitHash, settledByCall, type TransferPermit } from "../permit2.ts";
import type { Authorization, SettlingTransaction } from "./method.ts";

/** The Permit2 message of an authorization. */
export const permitOf = (payment: Authorization): TransferPermit => ({
  token: payment.asset,
  amount: payment.amount,
  nonce: payment.nonce,
  deadline: payment.validBefore,
  to: payment.payTo,
  facilitator: payment.facilitator,
  validAfter: payment.validAfter,
});

/** Reads the amount settled of a permit, base units, null unless the transaction settles this one. */
export function settledOf({ to, input }: SettlingTransaction, payment: Authorization): bigint | null {
  if (to === undefined || input === undefined) return null;
  try {
    const permit = permitOf(payment);
    return settledByCall({ to, input }, { chainId: chainIdOf(payment.network), payer: payment.payer, permit });
  } catch {
    // A file may name a chain or an amount that no call can have.
    return null;
  }
}

/** What both methods over Permit2 have. It logs nothing, so the transaction itself has to be the call that settles the permit. */
export const byPermit = {
  method: "permit2",
  inTokenDomain: false,
  namesPayer: false,
  hashOf: (payment: Authorization) => permitHash(chainIdOf(payment.network), permitOf(payment)),
} as const;

export const permitUse = {
  usedByCall: true,
  isUsedIn: (transaction: SettlingTransaction, payment: Authorization) => settledOf(transaction, payment) !== null,
  // The deadline itself (SignatureTransfer: expired when `block.timestamp > deadline`).
  lastSecondOf: ({ validBefore }: Authorization) => validBefore,
} as const;
