import type { Meaning } from "./meaning.ts";

/** Sellers, chains and the database can fail before and after a payment. */
export const ANY_TIME = {
  http_url_refused: [
    "The address is not http or https, or holds user information.",
    "Correct the seller's origin in the configuration.",
  ],
  http_address_refused: [
    "The host is, or leads to, an address of this machine or its network.",
    "Set http.allowPrivateAddresses only for a market that you run yourself.",
  ],
  http_redirect_refused: ["The server answered with a redirect.", "Correct the seller's origin if it has moved."],
  http_certificate_refused: [
    "The host shows another TLS certificate than its attestation names.",
    "Call again, which attests the seller once more, or choose another seller.",
  ],
  http_encoding_refused: ["The server compressed an answer that it may not compress.", "Choose another seller."],
  http_body_too_large: [
    "The answer is larger than http.maxResponseBytes.",
    "Choose another seller, or have the owner raise the limit.",
  ],
  http_headers_too_large: ["The headers are larger than is read.", "Choose another seller."],
  http_malformed: ["The host did not answer in proper HTTP.", "Choose another seller."],
  http_request_invalid: [
    "The request has a method, path or header that HTTP does not allow.",
    "Correct the seller's entry in the configuration.",
  ],
  http_timeout: ["The host took too long.", "Try again later."],
  http_interrupted: ["The connection broke before the answer was complete.", "Try again later."],
  http_unreachable: ["No connection to the host could be made.", "Try again later."],
  http_aborted: ["The caller ended the request.", "Call again."],
  network_not_configured: ["No RPC is configured for the network.", "Add the network to the configuration."],
  chain_unreachable: ["The RPC gave no usable answer.", "Try again later. Check the RPC's address if this lasts."],
  chain_answer_unusable: [
    "The RPC answers, but not what it was asked for.",
    "Try again later. Check the RPC's address if this lasts.",
  ],
  wrong_chain: [
    "The RPC serves another chain, or names no chain id that can be read. Nothing it says is believed.",
    "Correct networks[].rpcUrl.",
  ],
  contract_missing: [
    "The chain has no contract at an address that was asked.",
    "Check that networks[] and the configured addresses are of the chain that is meant.",
  ],
  contradicted: [
    "The RPC contradicts what was seen before, the second RPC, or this machine's clock.",
    "It is asked again later. Check networks[].rpcUrl and witnessRpcUrl if this lasts.",
  ],
  tls_unchecked: [
    "NODE_TLS_REJECT_UNAUTHORIZED=0 is set, so anyone on the way could answer as the RPC.",
    "Start without it. Name a certificate of your own in NODE_EXTRA_CA_CERTS.",
  ],
  voucher_superseded: [
    "Another purchase's voucher covers this one's part of the channel. This look ends, and the next one releases it.",
    "Nothing to do.",
  ],
  look_timeout: ["A look for late evidence took too long.", "Nothing to do: it is looked for again."],
  database_unreachable: ["The database's server does not answer.", "Call again with the same key once it does."],
  database_busy: ["Other work locked the database for too long.", "Call again with the same key."],
  database_too_new: ["A newer version made the database.", "Update proof402, or configure another database."],
  database_in_use: ["A call is under way over the database.", "Wait until it ends, or end its process; then copy."],
  database_not_empty: ["The place for the copy holds something already.", "Name another file, database or schema."],
  database_not_copied: ["The copy is not what the database is. Nothing of it was kept.", "Run `proof402 audit` on it."],
  database_permissions: [
    "Others than its owner can write the database or its folder; or this program may not write to it.",
    "Take the right away from others, and look for what they may have changed. Give it to this program's role.",
  ],
  database_unusable: [
    "The file or the server cannot be used as the buyer's database.",
    "Check the path or the address, and the right to write.",
  ],
} as const satisfies Record<string, Meaning>;
