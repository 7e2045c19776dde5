import { isDisputed, piecesOf } from "../receipts/disputed.ts";
import {
  DISPUTABLE,
  LAYERS,
  type ContradictionEvidence,
  type Disputable,
  type Layer,
  type LayerResult,
  type Receipt,
} from "../receipts/schema.ts";
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
  maker_failed: "The receipt's own maker judged it failed.",
  ambiguous_evidence: "One file tells of this in more than one way.",
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

/** What a file tells in more than one way at once, as evidence: which of them counts is not for a file to leave open. */
export const ambiguitiesOf = (receipt: Receipt): ContradictionEvidence[] =>
  DISPUTABLE.filter((kind) => piecesOf(receipt, kind).length > 1 && !isDisputed(receipt, kind)).map((kind) => ({
    kind: "contradiction",
    layer: DECIDES[kind],
    code: "ambiguous_evidence",
  }));

/** The layer that a kind decides. */
const DECIDES: Readonly<Record<Disputable, Layer>> = {
  "settlement.x402": "settlement",
  "inclusion.merkle": "inclusion",
  "zk.groth16": "computation",
  "zk.ezkl": "computation",
};

/** A layer for which nothing is left, with the reason where files of the receipt tell it differently. */
export function withDispute(result: LayerResult, layer: "settlement" | "inclusion", receipt: Receipt): LayerResult {
  const isAbsent = result.code === "awaiting_settlement" || result.code === "no_evidence";
  const isTold = DISPUTABLE.some((kind) => DECIDES[kind] === layer && isDisputed(receipt, kind));
  if (!isAbsent || !isTold) return result;
  const note = "Files of this receipt tell it differently, so none of them counts until the chain itself is read.";
  return { status: result.status, code: "disputed", note };
}

/** The layers with every contradiction in them: a failure that the evidence itself shows says more and stays. */
export function withContradictions(
  layers: Record<Layer, LayerResult>,
  receipt: Receipt,
  more: readonly ContradictionEvidence[],
): Record<Layer, LayerResult> {
  const found = allEvidence(receipt).filter((one): one is ContradictionEvidence => one.kind === "contradiction");
  // Of one layer the last one stands: a contradiction that says what is wrong, over its maker's mere word, and the same
  // in each order that files told them in.
  const told = [...more, ...found]
    .filter(({ layer }) => layers[layer].status !== "fail")
    .toSorted(
      (a, b) => Number(b.code === "maker_failed") - Number(a.code === "maker_failed") || inOrder(a.code, b.code),
    );
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

const inOrder = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
