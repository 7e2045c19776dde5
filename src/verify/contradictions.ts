import { isDisputed, piecesOf, withOnly } from "../receipts/disputed.ts";
import {
  DISPUTABLE,
  LAYERS,
  MAX_OF_A_KIND,
  type ContradictionEvidence,
  type Disputable,
  type Layer,
  type LayerResult,
  type Receipt,
} from "../receipts/schema.ts";
import { contradiction, describeContradiction } from "./contradiction-codes.ts";
import { allEvidence } from "./find-evidence.ts";
import { broken, guarded } from "./guarded.ts";
import { fail, pending } from "./types.ts";

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

/** A kind that tells of the chain. */
type ChainKind = Extract<Disputable, "settlement.x402" | "inclusion.merkle">;
type Judge = (receipt: Receipt) => LayerResult;

/**
 * Judges a layer that a kind decides. In dispute each piece is judged alone: the layer fails if each of them does. Else it is
 * `disputed` and holds the verdict, even if a policy takes a file's word of the chain. `receipt` is `whole` without what is
 * disputed; a piece that it still has is the relying party's own and decides.
 */
export async function withDispute(
  receipt: Receipt,
  whole: Receipt,
  kind: ChainKind,
  judge: Judge,
): Promise<LayerResult> {
  if (!isOpen(receipt, whole, kind)) return judge(receipt);
  if (piecesOf(whole, kind).length > MAX_OF_A_KIND)
    return fail("ambiguous_evidence", "There are more pieces of this evidence than are tried.");
  const note = "Files of this receipt tell it differently, so none of them counts until the chain itself is read.";
  return (await failureOfEach(receipt, whole, kind, judge)) ?? pending("disputed", note);
}

/** Judges a layer that reads a kind and is decided by more than it: a dispute hides no failure that each piece brings. */
export async function withEach(receipt: Receipt, whole: Receipt, kind: ChainKind, judge: Judge): Promise<LayerResult> {
  const failed = isOpen(receipt, whole, kind) ? await failureOfEach(receipt, whole, kind, judge) : undefined;
  return failed ?? judge(receipt);
}

const isOpen = (receipt: Receipt, whole: Receipt, kind: ChainKind): boolean =>
  isDisputed(whole, kind) && piecesOf(receipt, kind).length === 0;

/** The failure of a layer that each piece alone fails, if it does. Of several the same one is told in each order of the pieces. */
async function failureOfEach(
  receipt: Receipt,
  whole: Receipt,
  kind: ChainKind,
  judge: Judge,
): Promise<LayerResult | undefined> {
  const results: LayerResult[] = [];
  for (const piece of piecesOf(whole, kind).slice(0, MAX_OF_A_KIND))
    results.push(await guarded(broken, () => judge(withOnly(receipt, kind, piece))));
  if (results.some(({ status }) => status !== "fail")) return undefined;
  return results.toSorted((a, b) => inOrder(a.code, b.code) || inOrder(a.note, b.note))[0];
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

/** An order that no file decides. */
export const inOrder = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
