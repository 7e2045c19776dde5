import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import * as z from "zod";
import type { Authorization } from "../evidence/methods/method.ts";

const address = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/)
  .transform((text) => text.toLowerCase());
const natural = z.string().regex(/^[0-9]{1,78}$/);
const time = natural.transform(Number);

const eip3009Schema = z.object({
  authorization: z.object({
    from: address,
    value: natural,
    validAfter: time,
    validBefore: time,
    nonce: z
      .string()
      .regex(/^0x[0-9a-fA-F]{64}$/)
      .transform((text) => text.toLowerCase()),
  }),
});
const permit2Schema = z.object({
  permit2Authorization: z.object({
    from: address,
    permitted: z.object({ amount: natural }),
    nonce: natural,
    deadline: time,
    witness: z.object({ facilitator: address.optional(), validAfter: time }),
  }),
});
const voucherSchema = z.object({
  type: z.enum(["voucher", "deposit"]),
  voucher: z.object({
    channelId: z
      .string()
      .regex(/^0x[0-9a-fA-F]{64}$/)
      .transform((text) => text.toLowerCase()),
    maxClaimableAmount: natural,
  }),
});

/** The voucher that a payment shows; null of one by another method. */
export const voucherOf = ({
  payload,
}: Pick<PaymentPayload, "payload">): { channelId: string; maxClaimableAmount: string } | null =>
  voucherSchema.safeParse(payload).data?.voucher ?? null;

/** What a payment is, whatever the bytes that it came in. */
export type PaymentIdentity = {
  /** The same for all that can only move money once: (network, token, payer, nonce), or a channel's sum. */
  key: string;
  /** What the chain knows it by; null of a voucher, which a claim settles together with others. */
  authorization: Authorization | null;
};

/**
 * What a payment's signed part says (scheme_exact_evm.md, scheme_upto_evm.md, scheme_batch_settlement_evm.md), with the
 * network, token and payee of the requirements that it claims to meet. Null where it is of no form that is taken here.
 */
export function identityOf({ payload }: PaymentPayload, terms: PaymentRequirements): PaymentIdentity | null {
  const voucher = voucherOf({ payload });
  if (voucher !== null) {
    const { channelId, maxClaimableAmount } = voucher;
    return { key: `${terms.network} channel ${channelId} ${BigInt(maxClaimableAmount)}`, authorization: null };
  }
  const { network } = terms;
  const asset = terms.asset.toLowerCase();
  const payTo = terms.payTo.toLowerCase();
  const transfer = eip3009Schema.safeParse(payload);
  if (transfer.success) {
    const { from: payer, value: amount, validAfter, validBefore, nonce } = transfer.data.authorization;
    return {
      key: `${network} ${asset} ${payer} ${nonce}`,
      authorization: {
        scheme: "exact",
        method: "eip3009",
        network,
        asset,
        amount,
        payer,
        payTo,
        nonce,
        validAfter,
        validBefore,
      },
    };
  }
  const permit = permit2Schema.safeParse(payload);
  if (!permit.success) return null;
  const { from: payer, permitted, nonce: decimal, deadline, witness } = permit.data.permit2Authorization;
  const nonce = `0x${BigInt(decimal).toString(16).padStart(64, "0")}`;
  return {
    // Permit2's nonces are the payer's, whatever the token.
    key: `${network} permit2 ${payer} ${nonce}`,
    authorization: {
      scheme: witness.facilitator === undefined ? "exact" : "upto",
      method: "permit2",
      network,
      asset,
      amount: permitted.amount,
      payer,
      payTo,
      nonce,
      validAfter: witness.validAfter,
      validBefore: deadline,
      ...(witness.facilitator === undefined ? {} : { facilitator: witness.facilitator }),
    },
  };
}
