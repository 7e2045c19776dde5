import type { LayerResult, Receipt, ReplayedOutputs, ReplayEvidence } from "../receipts/schema.ts";
import { readBodyTensors } from "./answer.ts";
import { allEvidence, type IsOwn } from "./evidence.ts";
import { entryOf, sellerOf, type AppraisalPolicy } from "./policy.ts";
import { fail, pass, skip } from "./types.ts";

/**
 * `computation`, by re-execution: the model of the policy's digest, run again by the relying party itself, answers what
 * the seller answered, number for number within the policy's tolerance. Somebody else's shows nothing, but one of the same
 * model that answers otherwise contradicts. Null where the receipt has no re-execution.
 */
export function judgeReplay(receipt: Receipt, policy: AppraisalPolicy, isOwn: IsOwn): LayerResult | null {
  const replays = allEvidence(receipt).filter((one): one is ReplayEvidence => one.kind === "replay.onnx");
  if (replays.length === 0) return null;
  const ours = replays.filter(isOwn);
  const others = replays.filter((one) => !ours.includes(one));
  if (ours.length > 1 || others.length > 1)
    return fail("ambiguous_evidence", "There is more than one re-execution of one answer.");
  const own = ours.map((one) => judgeOne(receipt, one, policy, true));
  const told = others.map((one) => judgeOne(receipt, one, policy, false));
  // What contradicts stands, and a file that tells of another re-execution than one's own shows nothing.
  return [...own, ...told].find(({ status }) => status === "fail") ?? told[0] ?? own[0] ?? null;
}

function judgeOne(
  { core }: Receipt,
  { modelSha256, outputs, compared }: ReplayEvidence,
  policy: AppraisalPolicy,
  isOurs: boolean,
): LayerResult {
  const digest = entryOf(sellerOf(policy, core.seller.id)?.models, core.request.model);
  if (digest === undefined) return skip("model_not_pinned", "The policy names no digest for this model.");
  const notOurs = skip(
    "replay_not_ours",
    "The re-execution in this receipt is its maker's word: only your own shows anything.",
  );
  if (modelSha256 !== digest)
    return isOurs ? fail("replay_model_mismatch", "Another model was re-executed than the policy names.") : notOurs;
  if (compared !== undefined && !isSame(compared.tolerance, policy.replayTolerance))
    return skip("replay_tolerance", "The outputs were too many to keep, and were compared within another tolerance.");
  if (core.response.body === undefined)
    return skip("body_redacted", "The answer's bytes are redacted, so nothing can be compared with them.");
  const difference =
    outputs === undefined
      ? (compared?.difference ?? null)
      : differenceFromReplay(core.response.body, outputs, policy.replayTolerance);
  if (difference === null)
    return isOurs ? pass("The same model, run again here, gives the same answer.", "replay_matched") : notOurs;
  // The words of somebody else's comparison are not repeated.
  return isOurs
    ? fail("replay_mismatch", `The same model, run again here, gives another answer: ${difference}.`)
    : fail("replay_mismatch", "The same model, run again by the receipt's maker, gives another answer.");
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
