import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { fromHex, lowered, toBase64, toHex0x, utf8, type Address, type Hex } from "../evidence/bytes.ts";
import { paymentMethodOf, signingHash } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import { networkOfV1 } from "./body-offers.ts";
import { clocksDisagree } from "./clocks.ts";
import { payerOf, PAYERS } from "./methods/methods.ts";
import { MIN_USABLE_SECONDS } from "./offers.ts";
import { findAsset, type PaymentPolicy } from "./policy.ts";

/**
 * The authorization that would pay an offer by the method it asks for: its amount, and under `upto` no more, to its
 * payee, valid at once (`validAfter` 0, since a buyer's fast clock must not delay it) and for no longer than both the
 * offer and the policy say (threat T9). The domain it is bound to is the policy's.
 *
 * Where the chain's time is known, the life is reckoned by the slower of its clock and ours: by neither is it longer.
 *
 * `nonce` is 32 bytes of 0x hex (see {@link deriveNonce}). Throws Proof402Error `clock_disagrees` where the clocks are
 * so far apart that the authorization could not be used, `authorization_too_short` where its life is too short for
 * clocks that are well, `asset_not_allowed` when the policy does not know the offer's
 * asset, `scheme_not_supported` where the offer asks for another method.
 */
export function planPayment(options: {
  offer: Offer;
  payer: Address;
  nonce: Hex;
  now: Date;
  policy: PaymentPolicy;
  /** The chain's own time, unix seconds, where it is known ({@link beforePaying}). */
  chainTime?: number | undefined;
}): Payment {
  const { offer, payer, nonce, now, policy } = options;
  const asset = findAsset(offer, policy.assets);
  if (asset === undefined) {
    throw new Proof402Error("asset_not_allowed", "The offer's network and asset are not in the payment policy.", {
      next: "Choose another seller, or have the owner add the asset to the policy.",
    });
  }
  const authorization = {
    network: offer.network,
    asset: offer.asset,
    amount: offer.amount,
    payer: lowered(payer),
    payTo: offer.payTo,
    nonce,
    validAfter: 0,
    validBefore: endOf(now, options.chainTime, Math.min(offer.maxTimeoutSeconds, policy.maxAuthorizationSeconds)),
  };
  const method = paymentMethodOf(offer);
  const terms = method === null ? null : PAYERS[method].plan(authorization, offer.extra);
  if (terms !== null) return { ...terms, authorizationHash: signingHash(terms, asset.domain) };
  throw new Proof402Error("scheme_not_supported", "The offer asks to be paid in a way that is not supported.", {
    next: "Choose another seller.",
  });
}

/**
 * The EIP-3009 nonce of one attempt at one logical call: HMAC-SHA256 under the buyer's secret, 0x hex. The same call
 * gets the same nonce after a crash, so signing again makes the same authorization, and the chain takes one of them.
 * Without the secret it tells nothing about the key.
 */
export const deriveNonce = (secret: string, idempotencyKey: string, attempt: number): Hex =>
  toHex0x(hmac(sha256, fromHex(secret), utf8(`proof402 eip3009 nonce\n${attempt}\n${idempotencyKey}`)));

/**
 * The salt of one attempt's terms ({@link termsHash}): HMAC-SHA256 under the buyer's secret, 0x hex. The same call gets
 * the same one after a crash. `unpaid` is the nonce of the price request, before there are terms.
 */
export const deriveSalt = (
  secret: string,
  idempotencyKey: string,
  attempt: number,
  of: "terms" | "unpaid" = "terms",
): Hex => toHex0x(hmac(sha256, fromHex(secret), utf8(`proof402 ${of} salt\n${attempt}\n${idempotencyKey}`)));

/** The life that x402's sellers commonly offer, seconds. */
const USUAL_LIFE_SECONDS = 60;

/** The second before which an authorization of this life may be used, by our clock and the chain's. */
function endOf(now: Date, chainTime: number | undefined, life: number): number {
  const ours = Math.floor(now.getTime() / 1000);
  const end = Math.min(ours, chainTime ?? ours) + life;
  if (chainTime === undefined || end - Math.max(ours, chainTime) >= MIN_USABLE_SECONDS) return end;
  const apart = Math.abs(ours - chainTime);
  // The usual life would be enough: the clocks are well, and this one is too short.
  if (USUAL_LIFE_SECONDS - apart >= MIN_USABLE_SECONDS)
    throw new Proof402Error(
      "authorization_too_short",
      `The authorization would live ${life} s, and the chain's newest block is ${apart} s ${ours > chainTime ? "behind" : "ahead of"} this machine's clock: ${Math.max(life - apart, 0)} s of it could be used, and ${MIN_USABLE_SECONDS} s are needed.`,
      {
        next: "Nothing was signed. Choose a seller whose offer leaves more time, or have the owner look at maxAuthorizationSeconds of the payment policy, which bounds it too.",
        details: { life, ourTime: ours, chainTime },
      },
    );
  throw clocksDisagree(ours, chainTime, `no authorization of ${life} s could be used`);
}

/**
 * The value of `PAYMENT-SIGNATURE`: base64 of an x402 v2 PaymentPayload with the exact EVM scheme's payload of its
 * method. `accepted` is the requirement as the seller wrote it, since sellers compare all of its fields with their own;
 * resource and extensions are what `echoFor` makes of the seller's (threat T28). An offer of x402 v1 is paid in its form,
 * the value of `X-PAYMENT`.
 */
export function paymentHeader(options: {
  payment: Payment;
  accepted: Record<string, unknown>;
  signature: string;
  resource?: Record<string, unknown> | undefined;
  extensions?: Record<string, unknown> | undefined;
}): string {
  const { payment, accepted, signature, resource, extensions } = options;
  const signed = payerOf(payment).payloadOf(payment, signature);
  const network = networkOfV1(accepted);
  const payload =
    network === null
      ? // JSON has no field for what is undefined.
        { x402Version: 2, resource, accepted, payload: signed, extensions }
      : { x402Version: 1, scheme: accepted["scheme"], network, payload: signed };
  return toBase64(utf8(JSON.stringify(payload)));
}

/** The same as the header that pays a request, by its name in x402's version of the offer. */
export const paymentHeaders = (options: Parameters<typeof paymentHeader>[0]): Record<string, string> => ({
  [networkOfV1(options.accepted) === null ? "payment-signature" : "x-payment"]: paymentHeader(options),
});
