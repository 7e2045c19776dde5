import { authorizationHash, chainIdOf, isAuthorizationUsed, type TransferAuthorization } from "../eip3009.ts";
import type { Authorization, MethodEvidence } from "./method.ts";
import { byTransfer } from "./transfers.ts";

/** The EIP-3009 message of an authorization. */
export const transferOf = (payment: Authorization): TransferAuthorization => ({
  from: payment.payer,
  to: payment.payTo,
  value: payment.amount,
  validAfter: payment.validAfter,
  validBefore: payment.validBefore,
  nonce: payment.nonce,
});

/** `exact` by an EIP-3009 authorization, which the token itself takes and logs. */
export const eip3009 = {
  scheme: "exact",
  transfers: [undefined, "eip3009"],
  method: "eip3009",
  inTokenDomain: true,
  namesPayer: true,
  hashOf: (payment, token) =>
    authorizationHash(
      { ...token, chainId: chainIdOf(payment.network), verifyingContract: payment.asset },
      transferOf(payment),
    ),
  differsFrom: () => null,
  unpinnedIn: () => null,
  ...byTransfer({
    usedByCall: false,
    metered: false,
    amountIn: (_transaction, { amount }) => BigInt(amount),
    isUsedIn: ({ logs }, { asset, payer, nonce }) => logs.some((log) => isAuthorizationUsed(log, asset, payer, nonce)),
    // "Before" `validBefore` (EIP-3009).
    lastSecondOf: ({ validBefore }) => validBefore - 1,
  }),
} as const satisfies MethodEvidence;
