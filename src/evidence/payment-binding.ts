import { fromHex0x, keccak256, toHex } from "./bytes.ts";
import { canonicalSha256 } from "./canonical.ts";

/**
 * The request nonce of receipts of format 1: the first 16 bytes of keccak256(authorization nonce), hex. It names the
 * authorization, and nothing of its terms.
 */
export const requestNonceOf = (authorizationNonce: string): string =>
  toHex(keccak256(fromHex0x(authorizationNonce)).subarray(0, 16));

/**
 * The request nonce of a purchase: sha256(JCS({ terms, type })), hex, of all that is agreed about the payment. The nonce
 * stands in the request bytes that the seller signs for: so the signature over the answer is also the word of the seller's
 * key for these terms, and no other terms can be shown with it. The payment's salt keeps who sees the request alone from
 * guessing them.
 *
 * The authorization's own nonce is one of the terms and no hash of them. It follows from the idempotency key alone, so
 * a token takes one payment per key under any terms (threat T44).
 */
export const termsHash = (terms: PaymentTerms): string =>
  toHex(canonicalSha256({ type: "proof402/terms", terms: pick(terms) }));

/** What a request binds: the offer, the listed price, and the payment as it is signed, with its salt. */
export type PaymentTerms = { offer: object; listedPrice?: object | null; payment: { salt?: string } };

/**
 * The name of a payment's purchase among those of its payer, network and asset: its nonce. Of an authorization for several
 * calls each later call is named by its salt, too, a part of the terms that its request commits to.
 */
export const purchaseNonceOf = ({ nonce, salt, share }: NamedPayment): string =>
  isLaterShare({ share }) && salt !== undefined ? `${nonce} ${salt}` : nonce;

/** Whether a payment is a later call's share of an authorization that another call signed. */
export const isLaterShare = ({ share }: Pick<NamedPayment, "share">): boolean => share?.first === false;

/** The parts of a payment that name its purchase. */
type NamedPayment = { nonce: string; salt?: string | undefined; share?: { first: boolean } | undefined };

const pick = ({ offer, listedPrice, payment }: PaymentTerms): PaymentTerms => ({
  offer,
  listedPrice: listedPrice ?? null,
  payment,
});
