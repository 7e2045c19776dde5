import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { fromHex, toBase64, toHex0x, utf8 } from "../evidence/bytes.ts";
import { authorizationHash, chainIdOf, type TokenDomain, type TransferAuthorization } from "../evidence/eip3009.ts";
import { Proof402Error } from "../errors.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { AssetPolicy, PaymentPolicy } from "./policy.ts";

/**
 * The authorization that would pay an offer: exactly its amount to its payee, valid at once (`validAfter` 0, since a buyer's
 * fast clock must not delay it) and for no longer than both the offer and the policy say (threat T9). The domain it is
 * bound to is the policy's.
 *
 * `nonce` is 32 bytes of 0x hex (see {@link deriveNonce}). Throws Proof402Error `asset_not_allowed` when the policy does
 * not know the offer's asset.
 */
export function planPayment(options: {
  offer: Offer;
  payer: string;
  nonce: string;
  now: Date;
  policy: PaymentPolicy;
}): Payment {
  const { offer, payer, nonce, now, policy } = options;
  const asset = policy.assets.find((one) => one.network === offer.network && one.asset === offer.asset);
  if (asset === undefined) {
    throw new Proof402Error("asset_not_allowed", "The offer's network and asset are not in the payment policy.", {
      next: "Choose another seller, or have the owner add the asset to the policy.",
    });
  }
  const terms = {
    scheme: "exact" as const,
    method: "eip3009" as const,
    network: offer.network,
    asset: offer.asset,
    amount: offer.amount,
    payer: payer.toLowerCase(),
    payTo: offer.payTo,
    nonce,
    validAfter: 0,
    validBefore: Math.floor(now.getTime() / 1000) + Math.min(offer.maxTimeoutSeconds, policy.maxAuthorizationSeconds),
  };
  return { ...terms, authorizationHash: authorizationHash(domainOf(asset), authorizationOf(terms)) };
}

/** The pinned EIP-712 domain of an asset. */
export const domainOf = (asset: Pick<AssetPolicy, "network" | "asset" | "domain">): TokenDomain => ({
  ...asset.domain,
  chainId: chainIdOf(asset.network),
  verifyingContract: asset.asset,
});

/** The EIP-3009 message of a payment. */
export const authorizationOf = (payment: Omit<Payment, "authorizationHash">): TransferAuthorization => ({
  from: payment.payer,
  to: payment.payTo,
  value: payment.amount,
  validAfter: payment.validAfter,
  validBefore: payment.validBefore,
  nonce: payment.nonce,
});

/**
 * The EIP-3009 nonce of one attempt at one logical call: HMAC-SHA256 under the journal's secret, 0x hex. The same call
 * gets the same nonce after a crash, so that what is signed again is the same authorization and the chain takes one of them.
 * Without the secret it tells nothing about the key.
 */
export const deriveNonce = (secret: string, idempotencyKey: string, attempt: number): `0x${string}` =>
  toHex0x(hmac(sha256, fromHex(secret), utf8(`proof402 eip3009 nonce\n${attempt}\n${idempotencyKey}`)));

/**
 * The value of `PAYMENT-SIGNATURE`: base64 of an x402 v2 PaymentPayload with the exact EVM scheme's
 * `{signature, authorization}` (scheme_exact_evm.md). `accepted` is the requirement as the seller wrote it, since sellers
 * compare all of its fields with their own. No resource is sent: it is optional and would tell the facilitator more than it
 * needs (threat T28).
 */
export function paymentHeader(options: {
  payment: Payment;
  accepted: Record<string, unknown>;
  signature: string;
  extensions?: Record<string, unknown> | undefined;
}): string {
  const { payment, accepted, signature, extensions } = options;
  const { validAfter, validBefore, ...authorization } = authorizationOf(payment);
  const payload = {
    x402Version: 2,
    accepted,
    payload: {
      signature,
      authorization: { ...authorization, validAfter: String(validAfter), validBefore: String(validBefore) },
    },
    ...(extensions === undefined ? {} : { extensions }),
  };
  return toBase64(utf8(JSON.stringify(payload)));
}
