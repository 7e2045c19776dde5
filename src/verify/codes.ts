import type { FaultCode, UnsettledCode } from "../evidence/methods/method.ts";
import type { Layer, Status } from "../receipts/schema.ts";
import type { ContradictionCode } from "./contradiction-codes.ts";

/** The meaning of each status of a code. */
type Meanings = Partial<Record<Status, string>>;

const AMBIGUOUS = { fail: "The receipt holds more than one piece of this evidence." };
const ABOVE = { skip: "The attestation's platform did not pass, so nothing in it counts." };
const UNKNOWN_FORMAT = { unsupported: "This version does not know the exchange format of the seller's kind." };
const FALLBACK = { fail: "The seller says that another model served than the one asked for." };
const OTHER_MODEL = { fail: "The answer names another model than was asked for." };
const NO_POLICY = { skip: "The policy does not know the seller." };
const CUT = { skip: "Only the beginning of the answer came." };
const CODED = { skip: "The answer came in a content coding that cannot be decoded." };
const REDACTED = { skip: "The bytes that would be compared are redacted." };

/**
 * Every code that a verifier gives, by its layer and status. A receipt may hold others: other versions wrote them. Only
 * documents hold these words; a result says them of its own case. `npm run generate:docs` writes them into docs/errors.md.
 */
export const LAYER_CODES = {
  platform: {
    ok: { pass: "The document's chain and signature hold." },
    no_attestation: { skip: "The seller gave no attestation." },
    ambiguous_evidence: AMBIGUOUS,
    malformed: { fail: "The document is not a Nitro document." },
    algorithm: { fail: "The document is signed by another algorithm than Nitro's." },
    trust_anchor: { fail: "The chain begins at no root that is trusted." },
    certificate_chain: { fail: "The certificates do not follow from one another." },
    certificate_validity: { fail: "A certificate was not valid at the time of evaluation." },
    signature: { fail: "The document's signature does not verify." },
    debug: { fail: "The enclave ran in debug mode, which measures nothing." },
    measurements: { fail: "The document lacks measurements." },
  },
  code: {
    ok: { pass: "Every measurement equals a set that the policy accepts." },
    platform_not_verified: ABOVE,
    no_attestation: { skip: "The seller gave no attestation." },
    no_reference_values: { skip: "The policy holds no measurements for the seller." },
    registry_code_mismatch: { fail: "The measured code is not the one in the seller's registry entry." },
    measurements_unknown: { fail: "The measured code is not one that the policy accepts." },
  },
  key: {
    ok: { pass: "The signing key is pinned, or bound to known code." },
    key_alone: { pass: "The policy names the signing key. No attestation says in what machine it is." },
    platform_not_verified: ABOVE,
    key_not_bound: { fail: "The attestation binds no signing key." },
    key_mismatch: { fail: "The signing key is not the one inside the attestation." },
    key_not_pinned: { fail: "The policy names other keys, and no known code holds this one." },
    key_not_known: { skip: "The policy knows neither the key nor the code that holds it." },
    attestation_missing: { skip: "The policy names measurements, and no attestation speaks for the key." },
    ambiguous_evidence: AMBIGUOUS,
    tls_not_recorded: { skip: "The attestation names a TLS certificate, and none of the connection is on record." },
    registry_mismatch: { fail: "The registry entry is of another registry than the policy names." },
    registry_missing: { skip: "The policy names a registry, and no entry of it is on record." },
    registry_place_mismatch: { fail: "The registry entry is of another place than the one talked to." },
    registry_key_mismatch: { fail: "The signing key is not the one in the seller's registry entry." },
    registry_tls_mismatch: { fail: "The TLS certificate is not the one in the seller's registry entry." },
    tls_mismatch: { fail: "The connection had another TLS certificate than the attestation names." },
  },
  freshness: {
    ok: { pass: "The document answers the buyer's nonce and was recent." },
    platform_not_verified: ABOVE,
    nonce_too_short: { fail: "The buyer's nonce is too short to show anything." },
    nonce_mismatch: { fail: "The document does not answer the buyer's nonce." },
    document_from_future: { fail: "The document is dated after the time of evaluation." },
    document_too_old: {
      fail: "The document is older than the policy, which asks for freshness, allows.",
      skip: "The document is older than the policy allows, which asks for no freshness.",
    },
  },
  request: {
    ok: { pass: "The signed request hash is that of the bytes sent." },
    body_hash_mismatch: { fail: "The request bytes do not have the hashes that the receipt names." },
    body_ambiguous: { fail: "The request names a key twice, so two readers may hold two requests." },
    nonce_missing: { fail: "The request bytes do not carry the purchase's nonce." },
    model_name_mismatch: { fail: "The request bytes ask for another model than the receipt names." },
    origin_mismatch: { fail: "The request went to another address than the policy names." },
    path_mismatch: { fail: "The request went to another path than the policy names." },
    provider_mismatch: { fail: "The seller is of another kind than the policy names." },
    exchange_format_unknown: UNKNOWN_FORMAT,
    not_signed: { skip: "No signature that passed covers the request." },
    no_policy: NO_POLICY,
    seller_not_pinned: { skip: "The policy does not say where the seller is, or of which kind." },
  },
  response: {
    ok: { pass: "The seller's known key signed exactly these request and response bytes." },
    body_hash_mismatch: { fail: "The response bytes do not have the hashes that the receipt names." },
    status_not_ok: { fail: "The seller answered with a status that is not 2xx." },
    status_of_another_format: { skip: "The status is 2xx, and not the one of the exchange format." },
    answer_cut: CUT,
    answer_coded: CODED,
    not_signed: { skip: "The seller signed nothing." },
    ambiguous_evidence: AMBIGUOUS,
    key_not_verified: { skip: "There is a signature, and no key that passed to check it with." },
    key_not_known: { skip: "A key that the policy does not know signed these bytes." },
    key_mismatch: { fail: "Another key than the seller's signed the response." },
    key_unusable: { fail: "The seller's key is not of the form and size that its signatures are checked with." },
    request_hash_mismatch: { fail: "The seller signed another request than the one sent." },
    output_hash_mismatch: { fail: "The bytes received are not those that the seller signed." },
    signature_time: { fail: "The response was signed outside the time of the exchange." },
    signature_invalid: { fail: "The response signature does not verify." },
    signature_of_another_kind: { fail: "Sellers of this kind sign in another way." },
    signature_not_of_answer: { fail: "The signature is not the one that the answer ends with." },
    fallback_served: FALLBACK,
    model_name_mismatch: OTHER_MODEL,
    signature_unread: { skip: "There is a signature, and it could not be read." },
    answer_not_signed: { skip: "The answer does not end with a signature: a stream may have broken off." },
    form_of_another: { skip: "Another request or answer has the same signed form, so either may have been signed." },
    form_unread: { skip: "The bytes have no form in which sellers of this kind sign." },
    body_redacted: { skip: "What was signed cannot be compared without the bytes." },
    exchange_format_unknown: UNKNOWN_FORMAT,
  },
  model: {
    ok: { pass: "The model file's digest is measured and equals the policy's." },
    platform_not_verified: ABOVE,
    ambiguous_evidence: AMBIGUOUS,
    weights_not_measured: { skip: "No attested measurement covers the model's weights." },
    manifest_not_measured: { fail: "The model manifest is not the one that was measured." },
    manifest_malformed: { fail: "The measured manifest is not a list of distinct models." },
    model_not_attested: { fail: "The model is not among those that were measured." },
    model_mismatch: { fail: "The measured model file is not the one that the policy names." },
    no_reference_digest: { skip: "The policy holds no digest for the model." },
    exchange_format_unknown: UNKNOWN_FORMAT,
    path_mismatch: { fail: "The request went to another model's address." },
    body_ambiguous: { fail: "The answer names a key twice, so two readers may hold two answers." },
    model_name_mismatch: OTHER_MODEL,
    fallback_served: FALLBACK,
    nonce_mismatch: { fail: "The answer does not echo the purchase's nonce." },
    not_answered: { skip: "The seller answered with an error, by no model." },
    body_redacted: REDACTED,
    answer_cut: CUT,
    answer_coded: CODED,
  },
  computation: {
    ok: { pass: "The pinned model was proved to compute the answer from the request." },
    development_proof: { pass: "Proved the same, under a setup whose maker could forge proofs." },
    replay_matched: { pass: "The same model, run again here, gives the same answer." },
    no_evidence: { skip: "The receipt holds no proof and no re-execution." },
    unsupported_evidence: { unsupported: "This version cannot judge the receipt's proof or re-execution." },
    ambiguous_evidence: AMBIGUOUS,
    exchange_format_unknown: UNKNOWN_FORMAT,
    disputed: { pending: "Of the receipt's proofs some do not hold, and others could not be judged." },
    exchange_format_unread: { unsupported: "The exchange holds no tensors that a proof could be compared with." },
    answer_format: { skip: "The answer is in a format that is not read here." },
    body_redacted: REDACTED,
    awaiting_proof: { pending: "The seller has not delivered its proof yet." },
    proof_not_delivered: { skip: "The seller delivered no proof." },
    proof_key_not_pinned: { skip: "The policy names no proof key for the model." },
    proof_key_mismatch: { fail: "The proof is by another key than the policy names." },
    proof_settings_mismatch: { fail: "The circuit's settings are not those that the policy names." },
    proof_model_mismatch: { fail: "The proof's key is of another model file than the policy names." },
    proof_malformed: { fail: "The proof is not in its system's form." },
    proof_of_another_request: { fail: "The proof is not of this request." },
    proof_answer_mismatch: { fail: "The answer is not what was proved." },
    proof_invalid: { fail: "The proof does not verify." },
    development_setup: { skip: "The setup's maker could forge proofs, and the policy counts no such proof." },
    ezkl_settings_unsupported: { unsupported: "The circuit's settings are of a form that cannot be judged here." },
    ezkl_inputs_private: { skip: "The circuit's inputs are not public, so nothing ties a proof to the request." },
    ezkl_outputs_private: { skip: "The circuit's outputs are not public, so nothing ties a proof to the answer." },
    ezkl_weights_open: { skip: "The circuit's key does not fix the weights: any model of the shape has proofs." },
    srs_invalid: { skip: "The policy's [s]G2 is no point of the group." },
    ezkl_engine_absent: { unsupported: "The verifier was given no EZKL engine." },
    ezkl_missing: { unsupported: "EZKL's engine is not installed." },
    ezkl_unreadable: { unsupported: "The engine does not read the pinned key or settings." },
    ezkl_timeout: { unsupported: "The engine took too long and was stopped." },
    ezkl_crashed: { unsupported: "The engine's process ended without an answer." },
    awaiting_replay: { pending: "The answer is being computed again here." },
    not_replayed: { skip: "The answer was not computed again here." },
    model_not_pinned: { skip: "The policy names no digest for the model." },
    replay_not_ours: { skip: "The re-execution is the word of the receipt's maker." },
    replay_model_mismatch: { fail: "Another model was re-executed than the policy names." },
    replay_mismatch: { fail: "The same model, run again, gives another answer." },
    replay_tolerance: { skip: "The outputs were compared within another tolerance, and are not kept." },
    replay_rounded: { skip: "The re-execution holds integers as rounded numbers." },
  },
  payment: {
    ok: { pass: "The payment authorizes exactly what the offer asked for, and the request carries its hash." },
    offer_hash_mismatch: { fail: "The offer is not the one that its hash names." },
    payment_mismatch: { fail: "The payment is not what the offer asks for." },
    domain_missing: { fail: "The offer names no token domain, so the authorization cannot be recomputed." },
    authorization_hash_mismatch: { fail: "The authorization is not the one that its hash names." },
    voucher_nonce_mismatch: { fail: "The payment is named by another voucher than the one it shows." },
    voucher_amount_mismatch: { fail: "The voucher does not grant the amount that is told." },
    payee_mismatch: { fail: "The money goes to another address than the policy names." },
    asset_mismatch: { fail: "The payment is in another token than the policy accepts." },
    decimals_mismatch: { fail: "The receipt counts the token in other units than the policy." },
    domain_mismatch: { fail: "The authorization is of another token domain than the policy names." },
    channel_mismatch: { fail: "The channel's terms are not those that the policy names." },
    facilitator_mismatch: { fail: "A facilitator that the policy does not name may settle the payment." },
    request_not_bound: { fail: "The request does not carry the hash of these terms." },
    payer_signature_invalid: { fail: "The signature shown is not the payer's of this authorization." },
    authorization_time: { fail: "The authorization was not valid when it was sent." },
    authorization_too_long: { fail: "The authorization outlives what the offer asked for." },
    purchase_differs: { fail: "This buyer's own receipt of this purchase is another one." },
    purchase_contested: { skip: "Another imported receipt of this purchase differs and holds up by itself." },
    exchange_format_unknown: UNKNOWN_FORMAT,
    bodies_redacted: { skip: "Request and answer are redacted, so nothing shows what the payment was for." },
    nonce_not_carried: { skip: "The protocol has no field for a nonce, and the bytes carry none." },
    no_policy: NO_POLICY,
    payee_not_pinned: { skip: "The policy does not say where the seller may be paid." },
    asset_not_pinned: { skip: "The policy does not say which tokens may be paid with." },
  },
  settlement: {
    ok: { pass: "The chain shows that the payment moved its amount from payer to payee." },
    settlement_reported: { reported: "The file tells this, and it was not read from the chain here." },
    disputed: { pending: "Files of the receipt tell it differently, and the chain itself was not read." },
    awaiting_settlement: { pending: "The payment was not seen on chain yet." },
    ambiguous_evidence: AMBIGUOUS,
    network_mismatch: { fail: "The settlement is on another chain than the payment." },
    settlement_time: { fail: "The settlement lies outside the payment's life." },
    not_expired: { fail: "The payment is told to have ended unused, and it had not ended." },
    transaction_missing: { fail: "The settlement names no transaction." },
    authorization_not_used: { fail: "The transaction did not use this authorization." },
    transfer_mismatch: { fail: "The transaction did not move this amount from payer to payee." },
    token_moved_more: { fail: "The token took more from the payer than was authorized." },
    token_moved_more_reported: { fail: "The file tells that the token took more from the payer than was authorized." },
    channel_missing: { fail: "The settlement does not show the channel." },
    voucher_not_claimed: { fail: "The channel's claims do not reach the voucher's sum." },
    authorization_expired: { skip: "The authorization ended unused: no money moved." },
    channel_closed: { skip: "The channel was emptied before the voucher was claimed: no money moved for it." },
    share_not_charged: { skip: "The authorization is settled, and nothing was taken of it for this call." },
    voucher_superseded: { skip: "Another purchase's voucher took this one's place: no money moved for it." },
  },
  inclusion: {
    ok: { pass: "The answer is under a root on chain." },
    inclusion_reported: { reported: "The file tells this, and it was not read from the chain here." },
    no_evidence: {
      skip: "The answer's hashes are not anchored on chain.",
      pending: "The answer was not seen under a root on chain yet.",
    },
    disputed: { pending: "Files of the receipt tell it differently, and the chain itself was not read." },
    awaiting_inclusion: { pending: "The answer was not seen under a root on chain yet." },
    inclusion_not_confirmed: {
      pending: "The file tells of an anchoring that this node does not have, or has not confirmed.",
    },
    inclusion_not_seen: { skip: "The answer was not seen under a root on chain in time." },
    not_signed: { skip: "No signature was read, so there is nothing to anchor." },
    signature_not_verified: { skip: "The leaf's signature did not pass, so anyone could have made the leaf." },
    relay_not_pinned: { skip: "The policy names no relay contract for the seller." },
    ambiguous_evidence: AMBIGUOUS,
    leaf_not_signed: { fail: "A batch names the answer, and the receipt has no signature of it." },
    leaf_mismatch: { fail: "The leaf is not that of the answer." },
    path_invalid: { fail: "No batch of that many answers has such a path." },
    root_mismatch: { fail: "The path does not lead from the answer to the root." },
    event_invalid: { fail: "The log is not the event of an anchored batch." },
    anchored_root_mismatch: { fail: "The event on chain anchors another root." },
    count_mismatch: { fail: "The event on chain anchors a batch of another size." },
    anchored_too_early: { fail: "The root was anchored before the answer was signed." },
    network_mismatch: { fail: "The root is anchored on another chain than the policy names." },
    contract_mismatch: { fail: "The root is anchored at another contract than the policy names." },
  },
} as const satisfies Record<Layer, Record<string, Meanings>> & {
  payment: Record<FaultCode["payment"], Meanings>;
  settlement: Record<FaultCode["settlement"] | UnsettledCode, Meanings>;
};

/** The codes that every layer can have, besides contradictions. */
export const EVERY_LAYER = {
  verifier_error: { fail: "The evidence could not be judged: its verifier broke on it." },
} as const satisfies Record<string, Meanings>;

type Table = typeof LAYER_CODES;
type CodesOf<Codes, S extends Status> = {
  [Code in keyof Codes]: S extends keyof Codes[Code] ? Code : never;
}[keyof Codes];

/** The codes that a verifier gives with a status. */
export type LayerCode<S extends Status = Status> =
  | { [L in Layer]: CodesOf<Table[L], S> }[Layer]
  | CodesOf<typeof EVERY_LAYER, S>
  | (S extends "fail" ? ContradictionCode : never);
