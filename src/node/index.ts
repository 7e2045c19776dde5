/**
 * proof402/node: a seller. ONNX models over the Open Inference Protocol v2 behind x402, with an attested signing key.
 *
 * @module
 */
import { join } from "node:path";
import { createApp, manifestOf } from "./app.ts";
import { createBatches, type NodeAnchoring } from "./batches.ts";
import { createProofs, type NodeProving } from "./proofs.ts";
import { Proof402Error } from "../errors.ts";
import type { Enclave } from "./enclave.ts";
import { loadModel } from "../onnx/inference.ts";
import type { NodePayment, ServedModel } from "./payment-gate.ts";
import { packageModelsDirectory, readDescriptions } from "./models.ts";

export { createSimulatedRoot, type SimulatedRoot } from "./certificates.ts";
export { packageModelsDirectory } from "./models.ts";
export { createSimulatedEnclave } from "./simulated-enclave.ts";
export type { Enclave } from "./enclave.ts";
export type { NodeAnchoring } from "./batches.ts";
export type { NodeProving } from "./proofs.ts";
export { compileModel, type CompiledModel, type CompileOptions } from "../zk/compile.ts";
export { readCompiled, writeCompiled, type ProvingFiles } from "../zk/files.ts";
export { createProver, type Prover } from "../zk/prover.ts";
export { WITHDRAW_DELAY_SECONDS, type NodePayment } from "./payment-gate.ts";

/** What a node serves, how it is paid, and the enclave it runs in. */
export type InferenceNodeOptions = {
  /** Directory with `models.json` and the ONNX files; the package's own by default. */
  modelsDir?: string;
  /** Which models to serve. Prices in base units. */
  models: { name: string; price: string }[];
  payment: NodePayment;
  /** null: a plain x402 seller with no attestation and no signatures. */
  enclave: Enclave | null;
  /** Anchors the signed answers in batches. Without an enclave nothing is signed, so nothing is anchored. */
  anchoring?: NodeAnchoring;
  /** Proves the answers of some models after they were given. */
  proving?: NodeProving;
};

/** A running seller without a socket: hand `fetch` to any web-standard server. */
export type InferenceNode = {
  fetch: (request: Request) => Promise<Response>;
  keyId: `0x${string}` | null;
  /** DER SubjectPublicKeyInfo. */
  publicKey: Uint8Array | null;
  /** PCR index -> SHA-384 hex: the reference values a buyer compares with. */
  measurements: Record<"0" | "1" | "2", string> | null;
  /** Served models with the SHA-256 of their files. */
  models: { name: string; sha256: string }[];
  /** Model name -> SHA-256 of its proof verification key's canonical form: what a buyer pins. */
  proofKeys: Record<string, string>;
  /** Hands what is not anchored yet to the chain, once, and ends. */
  close(): Promise<void>;
};

/**
 * Loads the models, measures them into the enclave and builds the HTTP surface.
 * Throws Proof402Error `model_unknown`, `model_digest_mismatch`, `model_unsupported`, `model_external_data`,
 * `model_ambiguous`, `model_unreadable`, `onnxruntime_missing`, or `proof_key_of_another_model` where proving files were made from another model file.
 */
export async function createInferenceNode(options: InferenceNodeOptions): Promise<InferenceNode> {
  const { enclave, payment } = options;
  const directory = options.modelsDir ?? (await packageModelsDirectory());
  const descriptions = await readDescriptions(directory);
  const served = await Promise.all(
    options.models.map(async ({ name, price }): Promise<ServedModel> => {
      const description = descriptions.find((one) => one.name === name);
      if (description === undefined) {
        throw new Proof402Error("model_unknown", `There is no model "${name}" in models.json.`, {
          next: `Choose from: ${descriptions.map((d) => d.name).join(", ")}.`,
        });
      }
      return { model: await loadModel(directory, description), price };
    }),
  );
  enclave?.measureModels(manifestOf(served));
  const batches = enclave === null || options.anchoring === undefined ? null : createBatches(options.anchoring);
  const proofs =
    options.proving === undefined
      ? null
      : await createProofs(
          options.proving,
          served.map(({ model }) => ({ name: model.name, sha256: model.sha256, path: join(directory, model.file) })),
        );
  const { app, close } = createApp({ served, payment, enclave, batches, proofs });
  return {
    fetch: async (request) => app.fetch(request),
    keyId: enclave?.keyId ?? null,
    publicKey: enclave?.publicKey ?? null,
    measurements: enclave?.measurements() ?? null,
    models: served.map(({ model }) => ({ name: model.name, sha256: model.sha256 })),
    proofKeys: proofs?.keys ?? {},
    async close() {
      await close();
      await batches?.close();
      await Promise.all(served.map(({ model }) => model.close()));
    },
  };
}
