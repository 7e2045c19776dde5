import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { signingHash } from "../evidence/authorization.ts";
import { channelTermsOf, facilitatorOf, methodOf, paymentMethodOf } from "../evidence/payment-method.ts";
import { lastSecondOf, movedBy, takenBy, usesAuthorization } from "../evidence/settlement.ts";
import { requestNonceOf, termsHash } from "../evidence/payment-binding.ts";
import { signerOf } from "../evidence/signer.ts";
import type { LayerResult, Payment, Receipt, ReceiptCore, SettlementEvidence } from "../receipts/schema.ts";
import { allEvidence, onlyOne, type IsOwn } from "./evidence.ts";
import { judgeCarried } from "./exchange.ts";
import type { AppraisalPolicy } from "./policy.ts";
import type { VerifySession } from "./session.ts";
import { judgeTerms } from "./terms.ts";
import { fail, pass, pending, reported, skip } from "./types.ts";

/**
 * `payment`: the terms are the policy's, the authorization is exactly what the offer asked for, and the request carries the
 * hash of all of it. Where the payer's signature is shown, it is of this authorization.
 */
export function judgePayment(receipt: Receipt, policy: AppraisalPolicy, session: VerifySession): LayerResult {
  const { core } = receipt;
  const { offer, payment } = core;
  const { offerHash, ...bare } = offer;
  if (toHex(canonicalSha256(bare)) !== offerHash)
    return fail("offer_hash_mismatch", "The offer is not the one its hash names.");
  for (const field of ["scheme", "network", "asset", "amount", "payTo"] as const) {
    if (payment[field] !== offer[field]) return fail("payment_mismatch", `The payment's ${field} is not the offer's.`);
  }
  if (methodOf(payment) !== paymentMethodOf(offer))
    return fail("payment_mismatch", "The payment is not authorized in the way the offer asks for.");
  if (payment.method === "voucher" && !ofOfferedTerms(payment, offer))
    return fail("payment_mismatch", "The voucher is of a channel on other terms than the offer's.");
  if (payment.scheme === "upto" && payment.facilitator !== facilitatorOf(offer.extra))
    return fail("payment_mismatch", "The payment is bound to another facilitator than the offer's.");
  const { name = "", version = "" } = payment.method === "eip3009" ? offer.extra : {};
  if (typeof name !== "string" || typeof version !== "string" || (payment.method === "eip3009" && name === ""))
    return fail("domain_missing", "The offer names no token domain, so the authorization cannot be recomputed.");
  if (signingHash(payment, { name, version }) !== payment.authorizationHash)
    return fail("authorization_hash_mismatch", "The authorization is not the one its hash names.");
  const summed = payment.method === "voucher" ? judgeSum(payment) : null;
  if (summed !== null) return summed;
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
  if (payment.method !== "voucher" && payment.validBefore > sentAt + offer.maxTimeoutSeconds + skew)
    return fail("authorization_too_long", "The authorization outlives what the offer asked for.");
  if (terms !== null) return terms;
  return payment.method === "voucher"
    ? pass("The voucher grants exactly what the offer asked for, and the request carries its hash.")
    : pass("The authorization is exactly what the offer asked for, and the request carries its hash.");
}

/**
 * `settlement`: the token's own logs show that this authorization moved this amount from payer to payee. Logs that `isOwn`
 * does not know are what the file tells of the chain.
 */
export function judgeSettlement(receipt: Receipt, policy: AppraisalPolicy, isOwn: IsOwn): LayerResult {
  const { payment, request } = receipt.core;
  const found = onlyOne(allEvidence(receipt), "settlement.x402");
  if (found.kind === "none") return pending("awaiting_settlement", "The payment was not seen on chain yet.");
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one settlement for one payment.");
  const { evidence } = found;
  const shown = isOwn(evidence)
    ? pass
    : (note: string): LayerResult =>
        reported("settlement_reported", `The file tells this, and it was not read from the chain here: ${note}`);
  if (evidence.network !== payment.network)
    return fail("network_mismatch", "The settlement is on another chain than the payment.");
  const earliest = Date.parse(request.sentAt) / 1000 - policy.clockSkewSeconds - 1;
  if (payment.method === "voucher") {
    return evidence.blockTime < earliest
      ? fail("settlement_time", "The channel's state is older than the payment.")
      : judgeClaim(payment, evidence, shown);
  }
  if (evidence.outcome === "expired") {
    if (evidence.blockTime <= lastSecondOf(payment))
      return fail("not_expired", "The chain had not passed the authorization's end.");
    return skip("authorization_expired", "The authorization was never used and no longer can be: no money moved.");
  }
  if (evidence.transaction === undefined) return fail("transaction_missing", "The settlement names no transaction.");
  const moved = movedBy(evidence, payment);
  // What a call of Permit2 moved is read from the use itself.
  if ((moved === null || payment.method !== "permit2") && !usesAuthorization(evidence, payment))
    return fail("authorization_not_used", "The transaction did not use this payment's authorization.");
  if (moved === null)
    return fail("transfer_mismatch", "The transaction did not transfer this amount from the payer to the payee.");
  const taken = takenBy(evidence, payment, moved);
  if (taken > moved)
    return fail(
      "token_moved_more",
      `The token took ${taken} base units from the payer, where ${moved} were authorized.`,
    );
  // The chain's clock and ours may differ; the upper end is the contract's own rule.
  if (evidence.blockTime < earliest || evidence.blockTime > lastSecondOf(payment))
    return fail("settlement_time", "The transfer lies outside the authorization's life.");
  const amount = payment.scheme === "upto" ? ` of ${moved} base units, of at most ${payment.amount},` : "";
  return shown(`The transfer${amount} is in transaction ${evidence.transaction}.`);
}

/** What a request has to carry for this payment. In format 1 that names the authorization and nothing of its terms. */
const boundNonce = (core: ReceiptCore): string =>
  core.payment.salt === undefined ? requestNonceOf(core.payment.nonce) : termsHash(core);

/** Whose key signs a payment: the payer's, or of a channel its authorizer's. */
export const payerKeyOf = (payment: Payment): string =>
  payment.method === "voucher" ? payment.channel.payerAuthorizer : payment.payer;

/** Whether a receipt shows the payer's signature of exactly this authorization. */
export function signatureOfPayer(receipt: Receipt, session: VerifySession): "shown" | "wrong" | "missing" {
  const { payment } = receipt.core;
  const settlement = onlyOne(allEvidence(receipt), "settlement.x402");
  if (settlement.kind !== "one" || settlement.evidence.signature === undefined) return "missing";
  const { signature } = settlement.evidence;
  const { authorizationHash } = payment;
  const signer = payerKeyOf(payment);
  const holds = session.holds(
    ["payer", signature, authorizationHash, signer].join(),
    () => signerOf(signature, authorizationHash) === signer,
  );
  return holds ? "shown" : "wrong";
}

type Voucher = Extract<Payment, { method: "voucher" }> & Pick<Payment, "previous">;

/** A voucher is named by its own hash, and the amount is what it grants beyond the ones before. Null where that is so. */
function judgeSum({ nonce, authorizationHash, amount, cumulative, previous }: Voucher): LayerResult | null {
  if (nonce !== authorizationHash)
    return fail("voucher_nonce_mismatch", "The payment is named by another voucher than the one it shows.");
  const before = previous === undefined ? null : BigInt(previous);
  const grants =
    before === null ? BigInt(amount) <= BigInt(cumulative) : before + BigInt(amount) === BigInt(cumulative);
  return grants ? null : fail("voucher_amount_mismatch", "The voucher does not grant the amount that is told.");
}

function ofOfferedTerms({ channel }: Voucher, offer: ReceiptCore["offer"]): boolean {
  const terms = channelTermsOf(offer.extra);
  return terms?.receiverAuthorizer === channel.receiverAuthorizer && terms.withdrawDelay === channel.withdrawDelay;
}

/** A voucher is settled by a claim of its sum or more, which the channel's own state shows. */
function judgeClaim(payment: Voucher, evidence: SettlementEvidence, shown: (note: string) => LayerResult): LayerResult {
  const { channel } = evidence;
  if (channel === undefined) return fail("channel_missing", "The settlement does not show the channel.");
  if (evidence.outcome === "expired") {
    return channel.balance === channel.totalClaimed && BigInt(channel.totalClaimed) < BigInt(payment.cumulative)
      ? skip("channel_closed", "The channel was emptied before the voucher was claimed: no money moved for it.")
      : fail("not_expired", "The channel still held what the voucher grants.");
  }
  if (BigInt(channel.totalClaimed) < BigInt(payment.cumulative))
    return fail("voucher_not_claimed", "The channel's claims do not reach the voucher's sum.");
  return shown(`The channel's receiver has claimed ${channel.totalClaimed} base units, this voucher's sum among them.`);
}
