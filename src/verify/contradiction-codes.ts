import type { ContradictionEvidence, Layer } from "../receipts/schema.ts";

/** The contradictions possible in an anchored batch, each with one sentence. */
export const BATCH_CONTRADICTIONS = {
  leaf_missing: "The batch that is said to hold this answer does not.",
  leaf_changed: "The batch holds this request with another answer, time or key.",
  leaf_signature_mismatch: "The batch holds this answer with another signature than the one received.",
  leaf_duplicated: "The batch holds this answer twice.",
  batch_root_mismatch: "The published batch does not have the root that it is said to have.",
  count_mismatch: "The event on chain anchors a batch of another size than the published one.",
  anchored_root_mismatch: "The transaction anchors another root than the published one.",
  contract_mismatch: "The root is anchored at another contract than the pinned one.",
  not_anchored: "The transaction that is said to anchor the root does not.",
} as const;

/** Every contradiction that this version finds, each with one sentence. A receipt may hold those of others. */
export const CONTRADICTIONS = {
  ...BATCH_CONTRADICTIONS,
  settlement_not_on_chain: "The chain shows something else of the payment than the file tells.",
  inclusion_not_on_chain: "The chain shows something else of the anchoring than the file tells.",
  maker_failed: "The receipt's own maker judged it failed.",
  ambiguous_evidence: "One file tells of this in more than one way.",
} as const;

export type BatchContradiction = keyof typeof BATCH_CONTRADICTIONS;
export type ContradictionCode = keyof typeof CONTRADICTIONS;

/** A contradiction as evidence. */
export const contradiction = (layer: Layer, code: ContradictionCode): ContradictionEvidence => ({
  kind: "contradiction",
  layer,
  code,
});

/** Whether this version knows a contradiction's code. */
export const isContradiction = (code: string): code is ContradictionCode => Object.hasOwn(CONTRADICTIONS, code);

/** What a contradiction's code means, or null where this version does not know it. */
export const describeContradiction = (code: string): string | null =>
  isContradiction(code) ? CONTRADICTIONS[code] : null;
