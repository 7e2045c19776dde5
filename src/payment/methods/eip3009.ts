import { chainIdOf } from "../../evidence/eip3009.ts";
import { transferOf } from "../../evidence/methods/eip3009.ts";
import type { Payment } from "../../receipts/schema.ts";
import { isAuthorizationSpent } from "../../chain/nonces.ts";
import { typedTransferOf } from "../typed-data.ts";
import { plain, type PayerMethod } from "./method.ts";

const NAMES = { scheme: "exact", method: "eip3009" } as const;

/** `exact` by EIP-3009 (scheme_exact_evm.md). */
export const eip3009: PayerMethod<Extract<Payment, { method: "eip3009" }>> = {
  ...plain,
  needsAllowance: false,
  needsDomain: true,
  refuses: ({ asset, extra }) =>
    extra["name"] === asset.domain.name && extra["version"] === asset.domain.version
      ? null
      : {
          code: "domain_mismatch",
          message: `The offer names another EIP-712 domain than the policy pins for ${asset.symbol}.`,
        },
  plan: (authorization) => ({ ...NAMES, ...authorization }),
  typedDataOf: (payment, token) =>
    typedTransferOf("TransferWithAuthorization", transferOf(payment), {
      ...token,
      chainId: chainIdOf(payment.network),
      verifyingContract: payment.asset,
    }),
  payloadOf(payment, signature) {
    const { validAfter, validBefore, ...authorization } = transferOf(payment);
    return {
      signature,
      authorization: { ...authorization, validAfter: String(validAfter), validBefore: String(validBefore) },
    };
  },
  isSpent: isAuthorizationSpent,
  paymentOf: (authorization) => ({ ...NAMES, ...authorization }),
};
