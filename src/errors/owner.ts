import type { Meaning } from "./meaning.ts";

/** The owner's own transactions: allowances, channels, the registry of verdicts, holds. */
export const OWNER = {
  transaction_failed: ["The chain would not take the transaction, or it took no effect.", "Read the message."],
  transaction_undecided: [
    "The chain does not show yet what became of a signed transaction.",
    "Run the same command again: it sends the same bytes and signs nothing else.",
  ],
  gas_missing: ["The wallet holds too little of the chain's coin for gas.", "Send some to the wallet."],
  gas_cost_too_high: [
    "The gas may cost more than networks[].maxGasCost. Nothing was signed.",
    "Wait for lower fees, use an RPC that you trust, or raise the limit.",
  ],
  approval_too_wide: ["The allowance is unlimited or above the policy's total.", "Approve a smaller amount."],
  deposit_too_large: ["The deposit is nothing, or above the policy's total.", "Put in less."],
  channel_terms_missing: ["The configuration pins no channel terms for the seller.", "Add `channel` to its entry."],
  channel_already_open: [
    "A channel with the seller is open and holds money.",
    "Use that one, or open one beside it with `proof402 channel open --another`.",
  ],
  channel_empty: ["The channel holds nothing that could be taken back.", "Nothing to do."],
  withdrawal_waiting: ["The channel's delay is not over yet.", "Run the command again after the time it names."],
  approval_not_waiting: ["No payment of this id waits for an answer.", "List those that wait."],
  seller_not_on_hold: ["The seller is not on hold.", "Look at the sellers for those that are."],
  registry_not_configured: ["No validation registry is configured.", "Add validationRegistry to the configuration."],
  registry_missing: ["No validation registry is at the configured address.", "Correct validationRegistry."],
  validation_taken: [
    "The registry has this receipt for another validator or agent.",
    "Only that validator can post a verdict on it.",
  ],
  posting_not_kept: ["The registry does not show what was posted to it.", "Do not rely on this registry."],
  log_roots_not_configured: ["No chain is configured for roots of the log.", "Add logRoots to the configuration."],
  log_roots_missing: ["The contract of log roots is not on the chain.", "Name another chain in logRoots.network."],
  log_broken: ["The log is broken, so no root over it is published.", "See `proof402 audit`."],
  publisher_differs: [
    "The configuration names another publisher of the log's roots than this wallet.",
    "Use that wallet, or correct logRoots.publisher.",
  ],
  verdict_open: ["The verdict is neither verified nor failed, so nothing can be posted.", "Wait for the verdict."],
  refusal_not_posted: [
    "The seller answered with an error, which nothing signs: no verdict on it can be posted.",
    "Nothing to do.",
  ],
  proof_missing: ["The receipt has no zk proof.", "Leave the proof out of the command."],
  proof_contract_not_configured: ["No contract is configured for the proof's key.", "Add it to proofContracts."],
} as const satisfies Record<string, Meaning>;

/** What is read before anything is done. */
export const FILES = {
  usage: ["The command line cannot be used.", "See the command's --help."],
  config_not_found: ["No configuration is at this path.", "Name one with --config or PROOF402_CONFIG."],
  config_invalid: ["The file is not a valid configuration or trust file.", "Correct what the message names."],
  seller_exists: ["The configuration has a seller of this id or origin.", "Take its entry out to pin it again."],
  config_unreadable: ["The configuration could not be read.", "Check its permissions."],
  config_permissions: [
    "Others than its owner can write the configuration or its folder.",
    "Take the right away, then check what the file says.",
  ],
  config_exists: ["The devnet writes over no configuration but its own.", "Name another directory."],
  file_exists: ["The file is there already and is not written over.", "Name another place."],
  client_check_failed: [
    "The MCP server does not work as the client would start it.",
    "Mend what it says, or write its entry without a check.",
  ],
  file_changed: ["Another program changed the file while the command ran.", "Run the command again."],
  file_unreadable: ["The file could not be read.", "Check the path."],
  file_unwritable: ["The file could not be written.", "Check the path."],
  private_key_invalid: ["The value is not a private key.", "Give 0x followed by 64 hex digits."],
  key_file_unreadable: ["The key's or the password's file could not be read.", "Check the path."],
  key_file_permissions: [
    "Others than its owner can read or write the key's file or its folder.",
    "Take the right away. Consider a key that others could read as known.",
  ],
  keystore_invalid: ["The file is not a keystore.", "Name one that geth or `cast wallet import` wrote."],
  keystore_password_missing: ["The keystore's password is not given.", "Set PROOF402_KEYSTORE_PASSWORD or its file."],
  keystore_password_wrong: ["The password does not open the keystore.", "Give the keystore's own password."],
  peers_missing: ["The command needs packages that are not installed.", "Run the npm command that the error names."],
} as const satisfies Record<string, Meaning>;
