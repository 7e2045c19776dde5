/**
 * proof402/node: a seller. ONNX models over the Open Inference Protocol v2 behind x402, with an attested signing key.
 *
 * @module
 */
import { resolve } from "node:path";
import { createApp, manifestOf } from "./app.ts";
import { batchShelves, createBatches, type NodeAnchoring } from "./batches.ts";
import { harmless, type Observe } from "./observe.ts";
import { openRateLimit, type Rate } from "./rate-limit.ts";
import { openShelves } from "./shelf.ts";
import { createProofs, keptSchema, type NodeProving } from "./proofs.ts";
import { requireCheckedTls } from "../chain/checked-tls.ts";
import { Proof402Error } from "../errors.ts";
import type { Enclave } from "./enclave.ts";
import { loadModel } from "../onnx/inference.ts";
import { openChainReader } from "./chain-view.ts";
import { MAX_CLAIM_SECONDS, WITHDRAW_DELAY_SECONDS } from "./claims.ts";
import { openPaidCalls } from "./paid-calls.ts";
import type { NodePayment } from "./payment.ts";
import { identityOf } from "./payment-key.ts";
import { paymentGate, type ServedModel } from "./payment-gate.ts";
import { packageModelsDirectory, readDescriptions, type ModelDescription } from "./models.ts";
import type { NodeRecords } from "./records.ts";
import type { Signer } from "./signer.ts";
import { openVoucherChannels } from "./voucher-channels.ts";
import type { Hex } from "../evidence/bytes.ts";

export { createSimulatedRoot, type SimulatedRoot } from "./simulated-root.ts";
export { packageModelsDirectory } from "./models.ts";
export { createSimulatedEnclave } from "./simulated-enclave.ts";
export { createNitroEnclave, type NitroOptions } from "./nitro-enclave.ts";
export { cdpTokens, type CdpKey, type FacilitatorRequest } from "./cdp-token.ts";
export type { Enclave } from "./enclave.ts";
export { createSigner, generateSigningKey, type Signer } from "./signer.ts";
export type { NodeAnchoring } from "./batches.ts";
export type { NodeObservation } from "./observe.ts";
export type { NodeProving } from "./proofs.ts";
export type { NodeRecords } from "./records.ts";
export { compileModel, type CompiledModel, type CompileOptions } from "./zk/compile.ts";
export { readCompiled, writeCompiled, type ProvingFiles } from "./zk/proving-files.ts";
export { createProver, type Prover } from "./zk/prover.ts";
export { WITHDRAW_DELAY_SECONDS } from "./claims.ts";
export type { NodePayment } from "./payment.ts";

/** What a node serves, how it is paid, and the enclave it runs in. */
export type InferenceNodeOptions = {
  /** Directory with `models.json` and the ONNX files; the package's own by default. */
  modelsDir?: string;
  /** What `models.json` would say, in its place. Files are relative to the directory, or absolute. */
  descriptions?: readonly ModelDescription[] | undefined;
  /**
   * Which models to serve. `price` in base units pays for a call of at most so many `rows` (8 by default): rows are
   * what an input's free dimensions multiply to. Under `upto` it is the most that a call may cost, and one is settled
   * at its rows' part of it. No two names may be equal but for case.
   */
  models: { name: string; price: string; rows?: number | undefined }[];
  payment: NodePayment;
  /** null: a seller with no attestation. */
  enclave: Enclave | null;
  /** Signs the answers of a node without an enclave. Without either it is a plain x402 seller, and signs nothing. */
  signer?: Signer;
  /** Anchors the signed answers in batches. Where nothing is signed nothing is anchored. */
  anchoring?: NodeAnchoring | undefined;
  /** Proves the answers of some models after they were given. */
  proving?: NodeProving | undefined;
  /** Where answers are kept under their payments, and how long; and the vouchers that were taken. */
  records?: NodeRecords;
  /** Calls of one payer in so many seconds. One more is told 429, unsettled. Needs rate-limiter-flexible. */
  perPayer?: Rate | undefined;
  /** Sells the models as tools of an MCP server at `/mcp`, too. */
  mcp?: boolean | undefined;
  /** Told of each computation, each payment, and each row of its database that it cannot read. What it throws is dropped. */
  observe?: Observe | undefined;
};

/** A running seller without a socket: hand `fetch` to any web-standard server. */
export type InferenceNode = {
  fetch: (request: Request) => Promise<Response>;
  keyId: Hex | null;
  /** DER SubjectPublicKeyInfo. */
  publicKey: Uint8Array | null;
  /** PCR index -> SHA-384 hex: the reference values a buyer compares with. */
  measurements: Record<"0" | "1" | "2", string> | null;
  /** Served models with the SHA-256 of their files. */
  models: { name: string; sha256: string }[];
  /** Model name -> SHA-256 of its proof verification key's canonical form: what a buyer pins. */
  proofKeys: Record<string, string>;
  /** Answers that wait for their proof. */
  pendingProofs(): number;
  /** Tells whether a `PAYMENT-SIGNATURE` header has a payment that was taken before: a limit must not keep its answer back. */
  hasTaken(payment: string): Promise<boolean>;
  /** Hands what is not anchored yet to the chain, once, and ends. */
  close(): Promise<void>;
};

/** Rows that one price pays for. */
const ROWS = 8;
const WAIT_SECONDS = 20;

/**
 * Loads the models, measures them into the enclave and builds the HTTP surface.
 * Throws Proof402Error `tls_unchecked` where the environment has Node take any certificate, `model_unknown`, `model_name_ambiguous`, `price_invalid`, `rpc_missing`, `wrong_chain`,
 * `claim_seconds_invalid`, `enclave_unusable`, `model_digest_mismatch`, `model_unsupported`, `model_external_data`, `model_ambiguous`, `model_unreadable`, `onnxruntime_missing`, or
 * `proof_key_of_another_model` where proving files were made from another model file.
 *
 * @example
 * ```ts
 * import { serve } from "@hono/node-server";
 * import { createInferenceNode } from "proof402/node";
 *
 * const node = await createInferenceNode({
 *   models: [{ name: "eth-risk", price: "10000" }],
 *   payment: {
 *     network: "eip155:84532",
 *     asset: "0x036cbd53842c5426634e7929541ec2318f3dcf7e",
 *     domain: { name: "USDC", version: "2" },
 *     payTo: "0x00000000000000000000000000000000000000aa",
 *     facilitatorUrl: "https://facilitator.example",
 *   },
 *   enclave: null,
 * });
 * serve({ fetch: node.fetch, port: 8402 });
 * ```
 */
export async function createInferenceNode(options: InferenceNodeOptions): Promise<InferenceNode> {
  const { enclave, payment } = options;
  const signer = enclave ?? options.signer ?? null;
  check(options);
  const { network, rpcUrl, facilitatorUrl, confirmations = 0, waitSeconds = WAIT_SECONDS } = payment;
  const { ownPayee = false, sharedPayee = false } = payment;
  const chain = openChainReader({ network, rpcUrl, facilitatorUrl });
  await chain.requireChain();
  const directory = options.modelsDir ?? (await packageModelsDirectory());
  const descriptions = options.descriptions ?? (await readDescriptions(directory));
  const served = await Promise.all(
    options.models.map(async ({ name, price, rows = ROWS }): Promise<ServedModel> => {
      const description = descriptions.find((one) => one.name === name);
      if (description === undefined) {
        throw new Proof402Error("model_unknown", `There is no model "${name}" in models.json.`, {
          next: `Choose from: ${descriptions.map((d) => d.name).join(", ")}.`,
        });
      }
      return { model: await loadModel(directory, description), price, rows };
    }),
  );
  await enclave?.measureModels(manifestOf(served));
  const observe = harmless(options.observe);
  const shelves = await openShelves(options.records?.database, ({ kind, id }) =>
    observe({ kind: "set_aside", shelf: kind, id }),
  );
  const batches =
    signer === null || options.anchoring === undefined
      ? null
      : await createBatches(options.anchoring, batchShelves(shelves));
  const proofs =
    options.proving === undefined
      ? null
      : await createProofs(
          options.proving,
          served.map(({ model }) => ({ name: model.name, sha256: model.sha256, path: resolve(directory, model.file) })),
          shelves.named("proof", keptSchema),
        );
  const calls = await openPaidCalls(options.records ?? {});
  const channels = await openVoucherChannels(payment.network, options.records?.database);
  const gate = paymentGate(served, payment, { channels, chain });
  const payerWaits = options.perPayer === undefined ? null : await openRateLimit(options.perPayer);
  const own = ownPayee && !sharedPayee;
  const judges = { gate, calls, chain, payerWaits, confirmations, waitSeconds, ownPayee: own, sharedPayee };
  const app = createApp({
    mcp: options.mcp === true,
    served,
    payment,
    judges,
    enclave,
    signer,
    batches,
    relay: options.anchoring?.relay,
    proofs,
    observe,
  });
  return {
    fetch: async (request) => app.fetch(request),
    keyId: signer?.keyId ?? null,
    publicKey: signer?.publicKey ?? null,
    measurements: enclave?.measurements() ?? null,
    models: served.map(({ model }) => ({ name: model.name, sha256: model.sha256 })),
    proofKeys: proofs?.keys ?? {},
    pendingProofs: () => proofs?.pending() ?? 0,
    async hasTaken(header) {
      const came = gate.read(header);
      const identity = came === null ? null : identityOf(came.payload, came.terms);
      return identity !== null && (await calls.find(identity.key)) !== null;
    },
    async close() {
      await gate.close();
      await batches?.close();
      proofs?.close();
      await shelves.close();
      await calls.close();
      await channels.close();
      await Promise.all(served.map(({ model }) => model.close()));
    },
  };
}

/** What would be sold wrongly is refused before it is served. */
function check({ models, payment }: InferenceNodeOptions): void {
  const { facilitatorUrl, confirmations = 0, rpcUrl, channels } = payment;
  // What they say decides who is served: it must come from them.
  requireCheckedTls(facilitatorUrl, "the facilitator");
  if (rpcUrl !== undefined) requireCheckedTls(rpcUrl, "the RPC");
  const names = models.map(({ name }) => name.toLowerCase());
  const twice = models.find(({ name }, at) => names.indexOf(name.toLowerCase()) !== at);
  if (twice !== undefined)
    // Routes, file systems and readers take such names for one, and one price would buy the other model.
    throw new Proof402Error(
      "model_name_ambiguous",
      `The name "${twice.name}" is served twice, or differs from another by case alone.`,
      {
        next: "Give each model a name of its own in models.json.",
      },
    );
  const wrong = models.find(
    ({ price, rows = ROWS }) => !/^(?:0|[1-9][0-9]{0,77})$/.test(price) || !Number.isSafeInteger(rows) || rows < 1,
  );
  if (wrong !== undefined)
    throw new Proof402Error(
      "price_invalid",
      `The price of "${wrong.name}" is no whole number of base units for at least one row.`,
      {
        next: "Write the price as a decimal string of base units, and rows as a whole number.",
      },
    );
  if (confirmations > 0 && rpcUrl === undefined)
    throw new Proof402Error("rpc_missing", "Confirmations can only be counted on a chain that is read.", {
      next: "Set payment.rpcUrl, or leave payment.confirmations out.",
    });
  if (channels !== undefined && !(channels.claimSeconds > 0 && channels.claimSeconds <= MAX_CLAIM_SECONDS))
    throw new Proof402Error(
      "claim_seconds_invalid",
      `Vouchers must be claimed at least every ${MAX_CLAIM_SECONDS} seconds: a payer can take its money back in ${WITHDRAW_DELAY_SECONDS}.`,
      {
        next: `Set payment.channels.claimSeconds to ${MAX_CLAIM_SECONDS} or less.`,
      },
    );
}
