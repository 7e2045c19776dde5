import { toHex } from "../../evidence/bytes.ts";
import { canonicalSha256 } from "../../evidence/canonical.ts";
import { evidenceOf, methodOf, paymentMethodOf, signingHash } from "../../evidence/methods/methods.ts";
import { requestNonceOf, termsHash } from "../../evidence/payment-binding.ts";
import type { LayerResult, Payment, Receipt, ReceiptCore, SettlementEvidence } from "../../receipts/schema.ts";
import { allEvidence, onlyOne, type IsOwn } from "../find-evidence.ts";
import { judgeCarried } from "./exchange.ts";
import type { AppraisalPolicy } from "../policy.ts";
import type { VerificationCache } from "../verification-cache.ts";
import { judgeTerms } from "./terms.ts";
import { fail, pass, pending, reported } from "../types.ts";

/**
 * `payment`: the terms are the policy's, the authorization is exactly what the offer asked for, and the request carries the
 * hash of all of it. Where the payer's signature is shown, it is of this authorization.
 */
export function judgePayment(receipt: Receipt, policy: AppraisalPolicy, session: VerificationCache): LayerResult {
  const { core } = receipt;
  const { offer, payment } = core;
  const { offerHash, ...bare } = offer;
  if (toHex(canonicalSha256(bare)) !== offerHash)
    return fail("offer_hash_mismatch", "The offer is not the one its hash names.");
  for (const field of ["scheme", "network", "asset", "amount", "payTo"] as const) {
    if (payment[field] !== offer[field]) return fail("payment_mismatch", `The payment's ${field} is not the offer's.`);
  }
  const paidBy = methodOf(payment);
  if (paidBy === null || paidBy !== paymentMethodOf(offer))
    return fail("payment_mismatch", "The payment is not authorized in the way the offer asks for.");
  if (payment.share !== undefined && BigInt(payment.share.kept) > BigInt(payment.amount))
    return fail("payment_mismatch", "The call's share is more than its authorization.");
  const method = evidenceOf(payment);
  const differs = method.differsFrom(payment, offer.extra);
  if (differs !== null) return fail("payment_mismatch", differs);
  const { name = "", version = "" } = method.inTokenDomain ? offer.extra : {};
  if (typeof name !== "string" || typeof version !== "string" || (method.inTokenDomain && name === ""))
    return fail("domain_missing", "The offer names no token domain, so the authorization cannot be recomputed.");
  if (signingHash(payment, { name, version }) !== payment.authorizationHash)
    return fail("authorization_hash_mismatch", "The authorization is not the one its hash names.");
  const contradiction = method.contradictionIn(payment);
  if (contradiction !== null) return contradiction;
  const terms = judgeTerms(core, policy);
  if (terms?.status === "fail") return terms;
  if (core.request.nonce !== boundNonce(core)) {
    return fail(
      "request_not_bound",
      "The request carries the hash of other terms than these: the payment was for something else, or is not as it is told.",
    );
  }
  if (signatureOfPayer(receipt, session) === "wrong")
    return fail("payer_signature_invalid", "The signature shown is not the payer's of this authorization.");
  const carried = judgeCarried(core);
  if (carried !== null) return carried;
  const sentAt = Date.parse(core.request.sentAt) / 1000;
  const skew = policy.clockSkewSeconds;
  if (payment.validAfter > sentAt + skew || payment.validBefore < sentAt - skew)
    return fail("authorization_time", "The authorization was not valid when it was sent.");
  if (!method.claimed && payment.validBefore > sentAt + offer.maxTimeoutSeconds + skew)
    return fail("authorization_too_long", "The authorization outlives what the offer asked for.");
  if (terms !== null) return terms;
  return pass(`${method.does} exactly what the offer asked for, and the request carries its hash.`);
}

/**
 * `settlement`: the chain shows that this payment moved its amount from payer to payee, as its method has it. Logs
 * unknown to `isOwn` are the file's word about the chain.
 */
export function judgeSettlement(receipt: Receipt, policy: AppraisalPolicy, isOwn: IsOwn): LayerResult {
  const { payment, request } = receipt.core;
  const found = onlyOne(allEvidence(receipt), "settlement.x402");
  if (found.kind === "none") return pending("awaiting_settlement", "The payment was not seen on chain yet.");
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one settlement for one payment.");
  const { evidence } = found;
  if (evidence.network !== payment.network)
    return fail("network_mismatch", "The settlement is on another chain than the payment.");
  const earliest = Date.parse(request.sentAt) / 1000 - policy.clockSkewSeconds - 1;
  const finding = evidenceOf(payment).judge(payment, evidence, earliest);
  if (finding.status === "fail" && finding.code === "token_moved_more" && !isOwn(evidence))
    return fail(
      "token_moved_more_reported",
      `The file tells this, and it was not read from the chain here: ${finding.note}`,
    );
  if (finding.status !== "pass") return finding;
  const note = `${finding.note}${divisionOf(receipt, evidence)}`;
  return isOwn(evidence)
    ? pass(note)
    : reported("settlement_reported", `The file tells this, and it was not read from the chain here: ${note}`);
}

/** The buyer's word for how one transfer is divided over calls. Nothing else shows it, so it decides nothing. */
function divisionOf({ core: { payment } }: Receipt, { shared }: Pick<SettlementEvidence, "shared">): string {
  if (payment.share === undefined) return "";
  if (shared === undefined) return " Other calls share the authorization.";
  const { calls, reported: told, part } = shared;
  const costs = told === null ? "not all with a cost in the seller's words" : `together ${told} in the seller's words`;
  return ` By the buyer's books it is for ${calls} calls, ${costs}; this one's part is ${part}.`;
}

/** What a request has to carry for this payment. In format 1 that names the authorization and nothing of its terms. */
const boundNonce = (core: ReceiptCore): string =>
  core.payment.salt === undefined ? requestNonceOf(core.payment.nonce) : termsHash(core);

/** Whose key signs a payment: the payer's, or of a channel its authorizer's. */
export const payerKeyOf = (payment: Payment): string => evidenceOf(payment).signerOf(payment);

/**
 * Tells whether a signature fixes the payer: the payment's own message or, from format 2 on, the terms, by their hash
 * in the bytes signed by the seller's key. Where nothing does, a signature shows no agreement: any address that it
 * happens to recover to can be named as the payer.
 */
export const fixesPayer = (core: ReceiptCore, sellerSigned: boolean): boolean =>
  evidenceOf(core.payment).namesPayer ||
  (sellerSigned &&
    core.payment.salt !== undefined &&
    core.request.nonce === termsHash(core) &&
    judgeCarried(core) === null);

/** Whether a receipt shows the payer's signature of exactly this authorization. */
export function signatureOfPayer(receipt: Receipt, session: VerificationCache): "shown" | "wrong" | "missing" {
  const { payment } = receipt.core;
  const settlement = onlyOne(allEvidence(receipt), "settlement.x402");
  if (settlement.kind !== "one" || settlement.evidence.signature === undefined) return "missing";
  const { signature } = settlement.evidence;
  const holds = session.isSignedBy(signature, payment.authorizationHash, payerKeyOf(payment));
  return holds ? "shown" : "wrong";
}
