import type { Meaning } from "./meaning.ts";

/** Reading and running models, and proving with them. */
export const MODELS = {
  model_unreadable: ["The file is not an ONNX model that this version reads.", "Export the model again."],
  model_ambiguous: ["Two readers may read two models from this file.", "Export it with the exporter's own writer."],
  model_external_data: [
    "Some of the model's data is in another file, which its digest does not cover.",
    "Save the model with its data inside the file.",
  ],
  model_digest_mismatch: ["The model file does not have the digest that names it.", "Get the file of that digest."],
  model_failed: ["The runtime refused the model file or the inputs.", "Correct what the message names."],
  onnxruntime_missing: ["onnxruntime-node is not installed.", "Install it."],
  execution_timeout: ["Running the model took too long and was stopped.", "Allow more time, or use a faster machine."],
  execution_unreadable: ["The process that runs the model said nothing readable.", "Look at the model's outputs."],
  execution_crashed: ["The process that runs the model ended without an answer.", "Try again."],
  model_not_provable: ["The model cannot be made a circuit.", "Change what the message names."],
  not_provable: ["A value on the way is too large for the circuit.", "Compile with more bits, or scale the features."],
  proving_key_missing: ["The model's proving files cannot be read.", "Make them with `proof402 node zk compile`."],
  proof_key_of_another_model: ["The proving files are of another model file.", "Compile the model again."],
  snarkjs_missing: ["Proving needs the package snarkjs, which is not installed.", "Install it."],
  prover_failed: ["The prover's process ended or was closed.", "Try again."],
} as const satisfies Record<string, Meaning>;

/** A seller's own settings, the devnet and the demo. */
export const SELLING = {
  model_unknown: ["models.json holds no model of this name.", "Choose one that it holds."],
  model_name_ambiguous: ["A name is served twice, or differs from another by case alone.", "Name each model once."],
  model_unavailable: ["The demo's chat model could not be loaded.", "Install it, or use the scripted model."],
  signing_key_invalid: ["The node's signing key is no RSA key in PEM.", "Make one with `openssl genpkey`."],
  facilitator_key_invalid: [
    "The API key for the node's facilitator cannot be used.",
    "Correct payment.facilitatorKey, or download the key again.",
  ],
  enclave_unusable: [
    "The enclave that the node is configured for gives no attestation that buyers could believe.",
    "Read the message; correct the configuration or how the enclave is started.",
  ],
  price_invalid: ["A price is not a whole number of base units.", "Write it as a decimal string of base units."],
  rpc_missing: ["Confirmations can only be counted on a chain that is read.", "Set payment.rpcUrl."],
  claim_seconds_invalid: ["Vouchers would be claimed too seldom.", "Set payment.channels.claimSeconds lower."],
  anvil_missing: ["anvil is not installed.", "Install it."],
  anvil_failed: ["anvil did not come up.", "Read details.complaint, which is what anvil printed."],
  devnet_running: ["A devnet runs in the folder.", "Use that one, end it first, or name another directory."],
  devnet_stopped: ["The devnet of the folder is not running.", "Start it again."],
  port_taken: ["The port is taken.", "Choose another port, or leave it out for a free one."],
} as const satisfies Record<string, Meaning>;
