import type { Meaning } from "./meaning.ts";

/** A purchase ended before the attempt signed anything: the choice, the offer, the policy, the person asked. */
export const BEFORE_SIGNING = {
  model_not_found: ["No seller lists a model of this name.", "Choose a listed model."],
  model_unsupported: [
    "The model's tensors are of a type or shape that this version does not buy or serve.",
    "Choose another model or seller.",
  ],
  seller_not_found: ["No seller of this id is configured.", "Name a configured seller, or configure this one."],
  seller_unreachable: ["The seller could not be asked.", "Try again later, or choose another seller."],
  seller_on_hold: [
    "Every seller that fits is on hold: a receipt of it failed, or it took money and did not serve.",
    "Choose another seller, or look at what put it on hold and release it.",
  ],
  no_seller_for_assurance: ["No seller of the model offers this assurance.", "Ask for less, or configure a seller."],
  malformed_seller_data: ["The seller's listing or batch is malformed.", "Choose another seller."],
  attestation_failed: [
    "The seller did not prove what it is. The input did not leave this machine.",
    "Choose another seller, or ask for less assurance.",
  ],
  clocks_differ: [
    "This machine's clock and the seller's attestation are further apart than is allowed.",
    "Set this machine's clock, or choose another seller.",
  ],
  clock_disagrees: [
    "This machine's clock and the chain's are too far apart to sign times by.",
    "Set this machine's clock. If it is right, configure another RPC.",
  ],
  invalid_max_usd: ["The call's limit is not a number of US dollars from 0 to 10^12.", "Give a number such as 0.05."],
  wallet_missing: ["No wallet is configured.", "Configure a key, a key file or a keystore."],
  no_offer: ["The seller made no payment offer.", "Check the input against the listing, or choose another seller."],
  malformed_offer: ["The seller's payment offer cannot be read.", "Choose another seller."],
  asset_not_allowed: [
    "The payment policy does not hold this network and asset.",
    "Choose another seller, or have the owner add the asset.",
  ],
  scheme_not_supported: ["The offer asks to be paid in a way that is not supported.", "Choose another seller."],
  method_not_allowed: [
    "The payment policy does not allow the offer's payment method.",
    "Choose another seller, or have the owner allow the method.",
  ],
  facilitator_not_allowed: [
    "The offer names a facilitator that is not pinned for the seller.",
    "Choose another seller, or have the owner pin the facilitator.",
  ],
  spender_not_allowed: [
    "The offer names a contract that may not move the token.",
    "Choose another seller, or have the owner allow the contract.",
  ],
  payee_not_allowed: [
    "The offer's payee is not the one that is pinned for the seller.",
    "Choose another seller, or have the owner correct the pin.",
  ],
  domain_mismatch: [
    "The offer names another EIP-712 domain than the token's configured one.",
    "Have the owner compare the asset's domain with the token. If it is right, choose another seller.",
  ],
  asset_mismatch: [
    "The token on chain is not as configured: contract, decimals or domain differ.",
    "Have the owner correct the asset in the payment policy.",
  ],
  over_per_call_cap: ["The price is over the policy's cap per call.", "Choose a cheaper seller."],
  over_call_limit: ["The price is over the limit that this call gave.", "Give a higher limit, or a cheaper seller."],
  over_budget: [
    "The price does not fit in what is left of the budget of the run, the thread or the tools.",
    "Choose a cheaper seller. Only the program that set the budget can raise it.",
  ],
  over_hour_cap: ["The price does not fit in the policy's cap per hour.", "Wait, or choose a cheaper seller."],
  over_day_cap: ["The price does not fit in the policy's cap per day.", "Wait, or choose a cheaper seller."],
  over_total_cap: ["The price does not fit in the policy's total cap.", "Have the owner raise the cap."],
  over_count_cap: ["The policy allows no more calls in this hour.", "Wait."],
  over_seller_cap: ["The price does not fit in the policy's cap for the seller.", "Choose another seller, or wait."],
  over_client_cap: [
    "The price does not fit in what is left of the budget that the owner gave this client.",
    "Choose a cheaper seller, or wait if the budget is of an hour or a day. Only the owner can raise it.",
  ],
  over_listed_price: [
    "The seller asks more than it lists, or more than the policy allows above the listing.",
    "Choose another seller.",
  ],
  other_asset: [
    "The seller offers none of the asset that an earlier payment of the same call, which is still out, is in.",
    "Call again with the same idempotency key, or choose another seller under a new key.",
  ],
  outside_hours: ["The policy allows no purchases at this time of day.", "Wait for the hours that the policy names."],
  authorization_too_long: [
    "The offer wants an authorization that lives longer than the policy allows.",
    "Choose another seller, or have the owner raise the limit.",
  ],
  authorization_too_short: ["The offer leaves too little time to be paid in.", "Choose another seller."],
  insufficient_funds: ["The wallet holds less than is needed.", "Send the token to the wallet."],
  allowance_too_low: [
    "Permit2 may move less of the wallet's token than the offer asks for.",
    "Have the owner allow it with `proof402 wallet approve`.",
  ],
  channel_terms_not_allowed: [
    "The offer's payment channel has other terms than the configuration pins.",
    "Choose another seller, or have the owner correct the pins.",
  ],
  channel_missing: [
    "The wallet has no open channel of this kind with the seller.",
    "Have the owner open one with `proof402 channel open`.",
  ],
  channel_exhausted: ["The channel holds less than the price.", "Have the owner open another channel."],
  authorization_used_up: [
    "The authorization that several calls share takes no further call.",
    "Call again with the same key: the call is paid under a new one.",
  ],
  payment_mismatch: ["The payment to reserve is not the one that the offer asks for.", "Start the purchase again."],
  authorization_mismatch: [
    "The payment to sign is not the one that was planned.",
    "Buy again. If this repeats, another program changed the journal.",
  ],
  signature_invalid: [
    "The account returned something that is not its signature of this authorization.",
    "Use an account that signs EIP-712 data with its own key.",
  ],
  approval_required: [
    "A person has to approve the payment, and this surface could not ask one.",
    "Call where a person can be asked, or have the owner raise approveAbove.",
  ],
  approval_pending: [
    "A person is asked about the payment. The call ends until the answer is there.",
    "Call again with the same key once it is.",
  ],
  approval_declined: ["A person declined the payment.", "Do not try again unless the person asks for it."],
  approval_cancelled: [
    "The person closed the question about the payment without an answer: nothing was decided.",
    "Ask the person, then call again with the same key.",
  ],
  approval_unreadable: [
    "The answer to the question about the payment is none that can be read: nothing was decided.",
    "Call again with the same key: the question is asked again.",
  ],
  approval_failed: [
    "The question to a person failed before a yes came.",
    "Call again with the same key where a person can be asked.",
  ],
} as const satisfies Record<string, Meaning>;

/** An authorization of the call exists, or may exist. */
export const AFTER_SIGNING = {
  payment_in_doubt: [
    "The chain does not show yet what became of a payment of this call.",
    "Call again with the same key in a minute: nothing is paid twice.",
  ],
  payment_rejected: [
    "The seller turned the signed payment down. The amount stays reserved until it is used or expires.",
    "Call again with the same key, or choose another seller under a new key.",
  ],
  paid_not_served: [
    "The payment is on chain and the seller has not served.",
    "Call again with the same key to ask once more; else complain to the seller.",
  ],
  answer_not_kept: [
    "The answer was handed over before; the database took no copy, and the seller gave no other.",
    "The seller owes nothing. Call again with the same key to ask for a copy once more.",
  ],
  paid_elsewhere: [
    "A payment of this key is used on chain, and this database knows of none.",
    "Look for its receipt in the database of the other process. Nothing more is signed under the key.",
  ],
  seller_error: [
    "The seller answered with an error (5xx, or one stated in the answer).",
    "Call again with the same key. The receipt, if there is one, holds what came.",
  ],
  seller_refused: [
    "The seller refused a paid request (no 2xx and no 5xx).",
    "Look at the receipt before paying again.",
  ],
  answer_cut: [
    "The seller was paid and only the beginning of its answer came.",
    "Call again with the same key: the same payment asks for the answer again.",
  ],
  answer_lost: [
    "The seller was sent the payment, and no readable answer came of it.",
    "Call again with the same key: nothing is paid twice.",
  ],
  answer_unfinished: [
    "The paid answer is a stream that ended before its last frame.",
    "Look at the receipt. The same key gives the same result and pays nothing more.",
  ],
  quorum_sellers: [
    "Fewer sellers serve the call than a quorum needs, one place, wallet or key counted once.",
    "Add sellers, or ask for less assurance or a smaller quorum.",
  ],
  quorum_incomplete: [
    "Fewer sellers of a quorum answered than have to agree.",
    "Look at what was paid, then call again with the same key: nothing is paid twice.",
  ],
  quorum_disagrees: [
    "The answers of a quorum's sellers differ by more than the tolerance, so none was taken.",
    "Compare both sides by their receipts. Do not act on either.",
  ],
  malformed_answer: [
    "The paid answer contradicts itself.",
    "Look at the receipt. The same key gives the same result and pays nothing more.",
  ],
  answer_not_verified: [
    "The answer was bought, and its verdict is not one to act on: failed, or not verified if the caller wants that.",
    "Look at the receipt for the layer. The same key gives the same result and pays nothing more.",
  ],
  answer_replaced: [
    "The pieces of a stream are of another answer than the one that another process stored for the call.",
    "Drop the pieces. The same key gives the stored answer.",
  ],
  resend_not_allowed: [
    "The configuration no longer allows the terms that this call was sent on.",
    "Wait until the chain shows the authorization settled or expired.",
  ],
  wallet_changed: ["Another wallet made the call with this key.", "Configure that wallet, or use a new key."],
  wait_failed: [
    "Waiting for the verdict ended early. Answer and receipt are stored.",
    "Call again with the same key for the answer, or read the receipt for the verdict.",
  ],
} as const satisfies Record<string, Meaning>;

/** Of the call itself: its arguments, its key, its end. */
export const AROUND_A_PURCHASE = {
  invalid_input: ["An argument cannot be used.", "Correct what the message names."],
  idempotency_conflict: [
    "The key was used for another call. This one paid nothing. Money that is told of is the other call's; of another client's none is told.",
    "Use a new key for a new call, or give the arguments of your earlier one.",
  ],
  call_in_progress: ["Another process is making the call with this key.", "Call again with the same key in a moment."],
  aborted: ["The caller stopped waiting.", "Call again with the same key if the result is still wanted."],
  buyer_closed: ["The buyer was closed while it worked.", "Open a buyer again and call with the same key."],
  internal_error: ["Something failed that was not foreseen.", "Look at spending, then call again with the same key."],
} as const satisfies Record<string, Meaning>;
