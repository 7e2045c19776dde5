import type { Evidence, Layer, Receipt } from "../receipts/schema.ts";

/** The question of each layer, in a reader's words. */
export const QUESTIONS: Readonly<Record<Layer, string>> = {
  platform: "Did the seller run on attested hardware?",
  code: "Did it run code that is known?",
  key: "Does the signing key belong to that hardware and code, or is it known by itself?",
  freshness: "Was the attestation made for this buyer, and recently?",
  request: "Did the seller work on exactly this request?",
  response: "Is the answer what the seller produced?",
  model: "Was it the model that it should be?",
  computation: "Was the computation done correctly?",
  payment: "Is the payment what was offered, and for this request?",
  settlement: "Did the money move on the chain?",
  inclusion: "Was the answer anchored on the chain?",
};

const SIGNATURES = ["signature.tee", "signature.opengradient", "signature.oyster"];
const KINDS: Readonly<Record<Layer, readonly string[]>> = {
  platform: ["tee.nitro"],
  code: ["tee.nitro"],
  key: ["tee.nitro", "signature.key", "tls.peer", "registry.tee"],
  freshness: ["tee.nitro"],
  request: SIGNATURES,
  response: [...SIGNATURES, "transfer.http", "served.fallback"],
  model: ["model.manifest", "served.fallback"],
  computation: ["zk.groth16", "zk.ezkl", "replay.onnx"],
  payment: [],
  settlement: ["settlement.x402"],
  inclusion: ["inclusion.merkle"],
};

/** The names of the facts that bear on each layer; `PCR` begins several. */
const FACTS: Readonly<Record<Layer, readonly string[]>> = {
  platform: ["root", "document", "attested at"],
  code: ["PCR"],
  key: ["key", "TLS"],
  freshness: ["nonce", "attested at"],
  request: ["request", "key"],
  response: ["response", "key"],
  model: [],
  computation: [],
  payment: ["terms", "agreed"],
  settlement: [],
  inclusion: [],
};

/** Whether a fact bears on a layer. */
export const bearsOn = (name: string, layer: Layer): boolean =>
  FACTS[layer].some((one) => one === name || (one === "PCR" && name.startsWith(one)));

/** A receipt's evidence of one layer. */
export const evidenceOfLayer = (layer: Layer, { core, later }: Receipt): Evidence[] =>
  [...core.evidence, ...later.map((item) => item.evidence)].filter(
    (one) =>
      KINDS[layer].includes(one.kind) ||
      (one.kind === "contradiction" && one["layer"] === layer) ||
      (one.kind === "disputed" && KINDS[layer].includes(String(one["of"]))),
  );
