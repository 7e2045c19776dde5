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
import { contradiction, describeContradiction } from "./contradiction-codes.ts";
import { allEvidence } from "./evidence.ts";
import { pending, skip } from "./types.ts";

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
  return layers.map((layer) => contradiction(layer, "maker_failed"));
}

/** The kinds told twice in one file, as evidence: a file may not leave open which one counts. */
export const ambiguitiesOf = (receipt: Receipt): ContradictionEvidence[] =>
  DISPUTABLE.filter((kind) => piecesOf(receipt, kind).length > 1 && !isDisputed(receipt, kind)).map((kind) =>
    contradiction(DECIDES[kind], "ambiguous_evidence"),
  );

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
  return (result.status === "pending" ? pending : skip)("disputed", note);
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
        // A code from a file, which any version may have written.
        {
          status: "fail",
          code,
          note: describeContradiction(code) ?? "The receipt's holder found what contradicts it.",
        },
      ]),
    ),
  };
}

const inOrder = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
