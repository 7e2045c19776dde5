import { chainIdOf } from "../../evidence/eip3009.ts";
import { permitOf } from "../../evidence/methods/permits.ts";
import { PERMIT2, spenderOf } from "../../evidence/permit2.ts";
import type { Payment } from "../../receipts/schema.ts";
import { isBitSet } from "../../chain/nonces.ts";
import type { TypedData } from "../account.ts";
import type { Refusal } from "../types.ts";
import { plain, type Asked } from "./method.ts";

const PERMIT = [
  { name: "permitted", type: "TokenPermissions" },
  { name: "spender", type: "address" },
  { name: "nonce", type: "uint256" },
  { name: "deadline", type: "uint256" },
  { name: "witness", type: "Witness" },
];
const PERMISSIONS = [
  { name: "token", type: "address" },
  { name: "amount", type: "uint256" },
];

/**
 * The reason to refuse an offer by a permit, or null if its `extra` leaves the spender to us. x402 has no field for a
 * spender: an offer naming one wants other contracts than x402's own, even if only those would ever be signed for.
 */
export const refusesSpender = ({ extra }: Pick<Asked, "extra">): Refusal | null =>
  Object.keys(extra).some((key) => /spender|proxy|permit2address/i.test(key))
    ? {
        code: "spender_not_allowed",
        message: "The offer names a spender of its own; permits are only signed for x402's contracts.",
      }
    : null;

/** What both methods over Permit2 have. */
export const byPermit = {
  ...plain,
  needsAllowance: true,
  needsDomain: false,
  isSpent: isBitSet,
  typedDataOf(payment: Payment): TypedData {
    const permit = permitOf(payment);
    const { facilitator } = permit;
    return {
      domain: { name: "Permit2", chainId: chainIdOf(payment.network), verifyingContract: PERMIT2 },
      types: {
        PermitWitnessTransferFrom: PERMIT,
        TokenPermissions: PERMISSIONS,
        Witness: [
          { name: "to", type: "address" },
          ...(facilitator === undefined ? [] : [{ name: "facilitator", type: "address" }]),
          { name: "validAfter", type: "uint256" },
        ],
      },
      primaryType: "PermitWitnessTransferFrom",
      message: {
        permitted: { token: permit.token, amount: BigInt(permit.amount) },
        spender: spenderOf(permit),
        nonce: BigInt(permit.nonce),
        deadline: BigInt(permit.deadline),
        witness: {
          to: permit.to,
          ...(facilitator === undefined ? {} : { facilitator }),
          validAfter: BigInt(permit.validAfter),
        },
      },
    };
  },
  payloadOf(payment: Payment, signature: string): Record<string, unknown> {
    const permit = permitOf(payment);
    return {
      signature,
      permit2Authorization: {
        from: payment.payer,
        permitted: { token: permit.token, amount: permit.amount },
        spender: spenderOf(permit),
        nonce: BigInt(permit.nonce).toString(),
        deadline: String(permit.deadline),
        witness: {
          to: permit.to,
          // JSON has no field for what is undefined.
          facilitator: permit.facilitator,
          validAfter: String(permit.validAfter),
        },
      },
    };
  },
} as const;
