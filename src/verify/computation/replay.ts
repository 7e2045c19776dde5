import type { TensorReading } from "../../evidence/exchange/format.ts";
import { isReal, readElement, type Datatype, type TensorElement } from "../../evidence/exchange/tensors.ts";
import type { LayerResult, Receipt, ReplayedOutputs, ReplayEvidence } from "../../receipts/schema.ts";
import { judgeFormat, readTensors } from "../layers/answer.ts";
import { allEvidence, type IsOwn } from "../find-evidence.ts";
import { entryOf, sellerOf, type AppraisalPolicy } from "../policy.ts";
import { fail, pass, skip } from "../types.ts";

/**
 * `computation`, by re-execution: the model of the policy's digest, run again by the relying party itself, answers what
 * the seller answered, number for number within the policy's tolerance. Somebody else's shows nothing, but one of the same
 * model that answers otherwise contradicts. Null where the receipt has no re-execution.
 */
export function judgeReplay(receipt: Receipt, policy: AppraisalPolicy, isOwn: IsOwn): LayerResult | null {
  const replays = allEvidence(receipt).filter((one): one is ReplayEvidence => one.kind === "replay.onnx");
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
  if (outputs === undefined && compared !== undefined && !tellsWithin(compared, policy.replayTolerance))
    return skip("replay_tolerance", "The outputs were too many to keep, and were compared within another tolerance.");
  if (core.response.body === undefined)
    return skip("body_redacted", "The answer's bytes are redacted, so nothing can be compared with them.");
  const answer = readTensors(core, "response");
  const unread = judgeFormat(answer);
  if (unread !== null) return unread;
  const difference =
    outputs === undefined
      ? compared === undefined
        ? "it was not compared"
        : compared.difference
      : differenceFromReplay(answer, outputs, policy.replayTolerance);
  if (difference === null && outputs?.some(({ datatype, data }) => data.some((value) => isRounded(datatype, value))))
    return skip("replay_rounded", "The re-execution holds integers as rounded numbers, so it shows no match.");
  if (difference === null)
    return isOurs ? pass("The same model, run again here, gives the same answer.", "replay_matched") : notOurs;
  // The words of somebody else's comparison are not repeated.
  return isOurs
    ? fail("replay_mismatch", `The same model, run again here, gives another answer: ${difference}.`)
    : fail("replay_mismatch", "The same model, run again by the receipt's maker, gives another answer.");
}

type Tolerance = AppraisalPolicy["replayTolerance"];
type Comparison = NonNullable<ReplayEvidence["compared"]>;

const isWithin = (inner: Tolerance, outer: Tolerance): boolean =>
  inner.absolute <= outer.absolute && inner.relative <= outer.relative;

/** A match holds within every wider tolerance than the one it was found in, and a difference within every tighter one. */
const tellsWithin = ({ difference, tolerance: of }: Comparison, tolerance: Tolerance): boolean =>
  difference === null ? isWithin(of, tolerance) : isWithin(tolerance, of);

/** Earlier versions kept an integer beyond 2^53 as the double nearest to it. A real number is exact in one. */
const isRounded = (datatype: string, value: TensorElement): boolean =>
  !isReal(datatype) && Number.isInteger(value) && !Number.isSafeInteger(value);

/** Where an answer is not what was computed, or null. A rounded integer differs only from those that are not rounded to it. */
export function differenceFromReplay(
  answer: TensorReading,
  outputs: ReplayedOutputs,
  tolerance: Tolerance,
): string | null {
  if (!answer.ok) return "it cannot be read";
  if (answer.tensors.length !== outputs.length) return "it has other tensors";
  for (const [index, computed] of outputs.entries()) {
    const answered = answer.tensors.find(({ name }) => name === computed.name);
    if (answered === undefined) return `tensor ${index} is missing`;
    const sameKind = answered.datatype === computed.datatype && answered.shape.join() === computed.shape.join();
    if (!sameKind || answered.data.length !== computed.data.length) return `tensor ${index} has another type or shape`;
    const at = computed.data.findIndex(
      (value, place) => !agrees(answered.datatype, value, answered.data[place], tolerance),
    );
    if (at >= 0) return `element ${at} of tensor ${index} differs`;
  }
  return null;
}

/** Two elements of one datatype: within the tolerance where they are real numbers, else exactly the same. */
function agrees(
  datatype: Datatype,
  kept: TensorElement,
  answered: TensorElement | undefined,
  { absolute, relative }: Tolerance,
): boolean {
  if (isRounded(datatype, kept)) return Number(answered) === kept;
  const computed = readElement(datatype, kept);
  // An infinity would be near to everything, and what is no number near to nothing.
  if (!isReal(datatype) || typeof computed !== "number" || typeof answered !== "number" || !Number.isFinite(computed))
    return Object.is(computed, answered);
  return Math.abs(computed - answered) <= absolute + relative * Math.abs(computed);
}
