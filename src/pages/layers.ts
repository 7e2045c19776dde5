import type { Evidence, Layer, Receipt } from "../receipts/schema.ts";
import type { Facts } from "../verify/facts.ts";

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

const KINDS: Readonly<Record<Layer, readonly string[]>> = {
  platform: ["tee.nitro"],
  code: ["tee.nitro"],
  key: ["tee.nitro", "signature.key", "tls.peer"],
  freshness: ["tee.nitro"],
  request: ["signature.tee", "signature.opengradient", "signature.oyster"],
  response: ["signature.tee", "signature.opengradient", "signature.oyster", "transfer.http"],
  model: ["model.manifest"],
  computation: ["zk.groth16", "zk.ezkl", "replay.onnx"],
  payment: [],
  settlement: ["settlement.x402"],
  inclusion: ["inclusion.merkle"],
};

/** The ground of a layer's judgement: facts of the file and its evidence of that layer. */
export function evidenceOfLayer(layer: Layer, { core, later }: Receipt, facts: Facts): Record<string, unknown> {
  const evidence: Evidence[] = [...core.evidence, ...later.map((item) => item.evidence)].filter(
    (one) =>
      KINDS[layer].includes(one.kind) ||
      (one.kind === "contradiction" && one["layer"] === layer) ||
      (one.kind === "disputed" && KINDS[layer].includes(String(one["of"]))),
  );
  const { platform, key, tls, hashes, agreement, terms } = facts;
  const read: Partial<Record<Layer, Record<string, unknown>>> = {
    platform: { document: platform },
    code: { measurements: platform?.measurements ?? null },
    key: { key, tls },
    request: { hashes: hashes.request },
    response: { status: core.response.status, hashes: hashes.response },
    payment: { terms, agreement, offer: core.offer, payment: core.payment },
  };
  return { ...read[layer], ...(evidence.length === 0 ? {} : { evidence }) };
}
