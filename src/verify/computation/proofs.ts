import { isDisputed, piecesOf, withOnly } from "../../receipts/disputed.ts";
import { MAX_OF_A_KIND, type LayerResult, type Receipt } from "../../receipts/schema.ts";
import { inOrder } from "../contradictions.ts";
import { broken, guarded } from "../guarded.ts";
import { fail, pending, type AppraiseInput } from "../types.ts";
import type { VerificationCache } from "../verification-cache.ts";
import { judgeEzkl } from "./ezkl.ts";
import { judgeGroth16 } from "./groth16.ts";

/** The kinds of proofs. */
export const PROOF_KINDS = ["zk.groth16", "zk.ezkl"] as const;
export type ProofKind = (typeof PROOF_KINDS)[number];

/** Judges a receipt's proof of one kind. Null without one. Never throws. */
type ProofJudge = (receipt: Receipt) => Promise<LayerResult | null>;

/** The judge of each kind of proof. */
export const proofJudges = (
  { policy, ezkl }: Pick<AppraiseInput, "policy" | "ezkl">,
  session: VerificationCache,
): Readonly<Record<ProofKind, ProofJudge>> => ({
  "zk.groth16": (receipt) => guarded(broken, () => judgeGroth16(receipt, policy, session)),
  "zk.ezkl": (receipt) => guarded(broken, () => judgeEzkl(receipt, policy, ezkl)),
});

/** A receipt with the proof of a kind that decides, and that proof's result. */
type Judged = { receipt: Receipt; result: LayerResult | null };

/**
 * Judges the proofs of a kind. Of several in dispute the first that holds decides: a proof is no file's word. `receipt` is
 * `whole` without what is disputed. No proof is judged twice, and never more than `MAX_OF_A_KIND`: each can take an engine's
 * whole time.
 */
export async function judgeProofs(
  receipt: Receipt,
  whole: Receipt,
  kind: ProofKind,
  judge: ProofJudge,
): Promise<Judged> {
  if (!isDisputed(whole, kind)) return { receipt, result: await judge(receipt) };
  const pieces = piecesOf(whole, kind);
  if (pieces.length > MAX_OF_A_KIND)
    return { receipt, result: fail("ambiguous_evidence", "There are more proofs of one answer than are tried.") };
  const tried: { receipt: Receipt; result: LayerResult }[] = [];
  for (const piece of pieces) {
    const one = withOnly(receipt, kind, piece);
    const result = (await judge(one)) ?? broken();
    if (result.status === "pass") return { receipt: one, result };
    tried.push({ receipt: one, result });
  }
  const [first] = tried.toSorted((a, b) => inOrder(a.result.code, b.result.code));
  if (first === undefined) return { receipt, result: null };
  const failed = tried.filter(({ result }) => result.status === "fail").length;
  // A proof that no engine could judge must not hide one that fails.
  return failed > 0 && failed < tried.length
    ? {
        ...first,
        result: pending("disputed", "Of the receipt's proofs some do not hold, and others could not be judged."),
      }
    : first;
}
