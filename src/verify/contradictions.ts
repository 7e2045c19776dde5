import { LAYERS, type ContradictionEvidence, type Layer, type LayerResult, type Receipt } from "../receipts/schema.ts";
import { allEvidence } from "./evidence.ts";
import { entryOf } from "./policy.ts";
import { fail } from "./types.ts";

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

const SENTENCES: Readonly<Record<string, string>> = {
  ...BATCH_CONTRADICTIONS,
  settlement_not_on_chain: "The chain shows something else of the payment than the file tells.",
  inclusion_not_on_chain: "The chain shows something else of the anchoring than the file tells.",
  purchase_differs: "Another receipt of this purchase is stored here, and this one is not as it is.",
  maker_failed: "The receipt's own maker judged it failed.",
};

/** What a contradiction's code means, or null where this version does not know it. */
export const describeContradiction = (code: string): string | null => entryOf(SENTENCES, code) ?? null;

/**
 * Contradictions found by the file's own maker, as evidence: the failed layers of its newest appraisal. An appraisal in
 * a file can take a verdict away and never give one.
 */
export function failuresOfMaker({ appraisals }: Receipt): ContradictionEvidence[] {
  const newest = appraisals.at(-1);
  if (newest?.verdict !== "failed") return [];
  const failed = LAYERS.filter((layer) => newest.layers[layer].status === "fail");
  // A verdict that names no layer is about the answer.
  const layers: readonly Layer[] = failed.length === 0 ? ["response"] : failed;
  return layers.map((layer) => ({ kind: "contradiction", layer, code: "maker_failed" }));
}

/** The layers with every contradiction in them: a failure that the evidence itself shows says more and stays. */
export function withContradictions(
  layers: Record<Layer, LayerResult>,
  receipt: Receipt,
  more: readonly ContradictionEvidence[],
): Record<Layer, LayerResult> {
  const found = allEvidence(receipt).filter((one): one is ContradictionEvidence => one.kind === "contradiction");
  // Of one layer the last one stands: a contradiction that says what is wrong, over its maker's mere word.
  const told = [...more, ...found].filter(({ layer }) => layers[layer].status !== "fail");
  return {
    ...layers,
    ...Object.fromEntries(
      told.map(({ layer, code }) => [
        layer,
        fail(code, describeContradiction(code) ?? "The receipt's holder found what contradicts it."),
      ]),
    ),
  };
}
