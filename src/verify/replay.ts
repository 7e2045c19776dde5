import type { LayerResult, Receipt, ReplayedOutputs } from "../receipts/schema.ts";
import { readBodyTensors } from "./answer.ts";
import { allEvidence, onlyOne } from "./evidence.ts";
import { entryOf, referenceOf, type AppraisalPolicy } from "./policy.ts";
import { fail, pass, skip } from "./types.ts";

/**
 * `computation`, by re-execution: the model of the policy's digest, run again by the relying party itself, answers what
 * the seller answered, number for number within the policy's tolerance. Null where the receipt has no re-execution.
 */
export function judgeReplay(receipt: Receipt, policy: AppraisalPolicy, ownReplay: boolean): LayerResult | null {
  const found = onlyOne(allEvidence(receipt), "replay.onnx");
  if (found.kind === "none") return null;
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one re-execution of one answer.");
  if (!ownReplay)
    return skip(
      "replay_not_ours",
      "The re-execution in this receipt is its maker's word: only your own shows anything.",
    );
  const { core } = receipt;
  const digest = entryOf(referenceOf(policy, core.seller.id)?.models, core.request.model);
  if (digest === undefined) return skip("model_not_pinned", "The policy names no digest for this model.");
  if (found.evidence.modelSha256 !== digest)
    return fail("replay_model_mismatch", "Another model was re-executed than the policy names.");
  const { outputs, compared } = found.evidence;
  if (compared !== undefined && !isSame(compared.tolerance, policy.replayTolerance))
    return skip("replay_tolerance", "The outputs were too many to keep, and were compared within another tolerance.");
  if (core.response.body === undefined)
    return skip("body_redacted", "The answer's bytes are redacted, so nothing can be compared with them.");
  const difference =
    outputs === undefined
      ? (compared?.difference ?? null)
      : differenceFromReplay(core.response.body, outputs, policy.replayTolerance);
  return difference === null
    ? pass("The same model, run again here, gives the same answer.", "replay_matched")
    : fail("replay_mismatch", `The same model, run again here, gives another answer: ${difference}.`);
}

type Tolerance = AppraisalPolicy["replayTolerance"];

const isSame = (a: Tolerance, b: Tolerance): boolean => a.absolute === b.absolute && a.relative === b.relative;

/** Where an answer, in the base64 of its bytes, is not what was computed, or null. */
export function differenceFromReplay(body: string, outputs: ReplayedOutputs, tolerance: Tolerance): string | null {
  const answered = readBodyTensors(body, "outputs");
  if (answered === null) return "it cannot be read";
  if (answered.length !== outputs.length) return "it has other tensors";
  for (const [index, computed] of outputs.entries()) {
    const answer = answered.find(({ name }) => name === computed.name);
    if (answer === undefined) return `tensor ${index} is missing`;
    const sameKind = answer.datatype === computed.datatype && answer.shape.join() === computed.shape.join();
    if (!sameKind || answer.data.length !== computed.data.length) return `tensor ${index} has another type or shape`;
    const at = computed.data.findIndex(
      (value, place) => !agrees(value, answer.data[place], computed.datatype, tolerance),
    );
    if (at >= 0) return `element ${at} of tensor ${index} differs`;
  }
  return null;
}

function agrees(
  computed: number | boolean,
  answered: number | boolean | undefined,
  datatype: string,
  { absolute, relative }: Tolerance,
): boolean {
  if (typeof computed !== "number" || typeof answered !== "number" || !datatype.startsWith("FP"))
    return computed === answered;
  // Not a number compares as not equal, which is what it is.
  return Math.abs(computed - answered) <= absolute + relative * Math.abs(computed);
}
