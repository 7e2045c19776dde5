import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import * as z from "zod";
import type { Authorization } from "../evidence/methods/method.ts";
import { paymentMethodOf, type PaymentMethod } from "../evidence/methods/methods.ts";
import { lowered } from "../evidence/bytes.ts";

const address = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/)
  .transform((text) => lowered(`0x${text.slice(2)}`));
const natural = z.string().regex(/^[0-9]{1,78}$/);
const time = natural.transform(Number);

const bytes32 = z
  .string()
  .regex(/^0x[0-9a-fA-F]{64}$/)
  .transform((text) => lowered(`0x${text.slice(2)}`));
const signature = z.string();

// Strict: facilitators tell methods apart by the fields, so no payment may have those of two.
const eip3009Schema = z.strictObject({
  signature,
  authorization: z.object({ from: address, value: natural, validAfter: time, validBefore: time, nonce: bytes32 }),
});
const permit2Schema = z.strictObject({
  signature,
  permit2Authorization: z.object({
    from: address,
    permitted: z.object({ amount: natural }),
    nonce: natural,
    deadline: time,
    witness: z.object({ facilitator: address.optional(), validAfter: time }),
  }),
});
const voucherFields = {
  channelConfig: z.looseObject({}),
  voucher: z.object({ channelId: bytes32, maxClaimableAmount: natural, signature }),
};
const voucherSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("voucher"), ...voucherFields }),
  z.strictObject({ type: z.literal("deposit"), ...voucherFields, deposit: z.looseObject({}) }),
]);

/** The voucher in a payment, if the terms ask for one; null otherwise. */
export const voucherOf = (
  { payload }: Pick<PaymentPayload, "payload">,
  terms: PaymentRequirements,
): z.infer<typeof voucherFields.voucher> | null => voucherPayment(payload, terms)?.voucher ?? null;

const voucherPayment = (payload: unknown, terms: PaymentRequirements): z.infer<typeof voucherSchema> | null =>
  methodFor(terms) === "voucher" ? (voucherSchema.safeParse(payload).data ?? null) : null;

/** The method that terms ask for. They may have been sent by anyone, and without `extra`. */
const methodFor = ({ scheme, extra }: PaymentRequirements): PaymentMethod | null =>
  paymentMethodOf({ scheme, extra: z.record(z.string(), z.unknown()).safeParse(extra).data ?? {} });

/** Identifies a payment, in any encoding of it. */
export type PaymentIdentity = {
  /** The same for all that can only move money once: (network, token, payer, nonce), or a channel's sum. */
  key: string;
  /** An address, or a channel. Its payer once the payment is found good, a mere claim before. */
  payer: string;
  /** Its identity on chain; null of a voucher, settled by a claim together with others. */
  authorization: Authorization | null;
};

/**
 * Reads a payment's signed part (scheme_exact_evm.md, scheme_upto_evm.md, scheme_batch_settlement_evm.md), by the
 * method, network, token and payee of the requirements it has to meet. Null where it has not the form of that method,
 * or fields of another beside.
 */
export function identityOf(payment: PaymentPayload, terms: PaymentRequirements): PaymentIdentity | null {
  const method = methodFor(terms);
  if (method === null) return null;
  if (method === "voucher") return identityOfVoucher(payment, terms);
  return method === "eip3009" ? identityOfTransfer(payment, terms) : identityOfPermit(payment, terms);
}

function identityOfVoucher(payment: PaymentPayload, terms: PaymentRequirements): PaymentIdentity | null {
  const voucher = voucherPayment(payment.payload, terms);
  if (voucher === null) return null;
  const { channelId, maxClaimableAmount } = voucher.voucher;
  const key = `${terms.network} channel ${channelId} ${BigInt(maxClaimableAmount)}`;
  // The scheme refuses a channel without a payer later.
  const payer = address.safeParse(voucher.channelConfig["payer"]).data ?? channelId;
  return { key, payer, authorization: null };
}

const placeSchema = z.object({ network: z.string(), asset: address, payTo: address });

function identityOfTransfer({ payload }: PaymentPayload, terms: PaymentRequirements): PaymentIdentity | null {
  const transfer = eip3009Schema.safeParse(payload);
  const place = placeSchema.safeParse(terms);
  if (!transfer.success || !place.success) return null;
  const { from: payer, value: amount, validAfter, validBefore, nonce } = transfer.data.authorization;
  return {
    key: `${place.data.network} ${place.data.asset} ${payer} ${nonce}`,
    payer,
    authorization: {
      scheme: "exact",
      method: "eip3009",
      ...place.data,
      amount,
      payer,
      nonce,
      validAfter,
      validBefore,
    },
  };
}

function identityOfPermit({ payload }: PaymentPayload, terms: PaymentRequirements): PaymentIdentity | null {
  const permit = permit2Schema.safeParse(payload);
  const place = placeSchema.safeParse(terms);
  if (!permit.success || !place.success) return null;
  const { from: payer, permitted, nonce: decimal, deadline, witness } = permit.data.permit2Authorization;
  const nonce = `0x${BigInt(decimal).toString(16).padStart(64, "0")}` as const;
  return {
    // Permit2's nonces are the payer's, over all tokens, under `exact` and `upto` alike.
    key: `${place.data.network} permit2 ${payer} ${nonce}`,
    payer,
    authorization: {
      scheme: terms.scheme,
      method: "permit2",
      ...place.data,
      amount: permitted.amount,
      payer,
      nonce,
      validAfter: witness.validAfter,
      validBefore: deadline,
      facilitator: witness.facilitator,
    },
  };
}
