import type { TensorReading } from "../../evidence/exchange/format.ts";
import { isReal, readElement, type TensorElement } from "../../evidence/exchange/tensors.ts";
import type { LayerResult, Receipt, ReplayedOutputs, ReplayEvidence } from "../../receipts/schema.ts";
import { judgeFormat, readTensors } from "../layers/answer.ts";
import { allEvidence, type IsOwn } from "../evidence.ts";
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
  if (compared !== undefined && !isSame(compared.tolerance, policy.replayTolerance))
    return skip("replay_tolerance", "The outputs were too many to keep, and were compared within another tolerance.");
  if (core.response.body === undefined)
    return skip("body_redacted", "The answer's bytes are redacted, so nothing can be compared with them.");
  const answer = readTensors(core, "response");
  const unread = judgeFormat(answer);
  if (unread !== null) return unread;
  if (outputs?.some(({ data }) => data.some(isRounded)) === true)
    return skip("replay_rounded", "The re-execution holds integers as rounded numbers, so they show nothing.");
  const difference =
    outputs === undefined
      ? compared === undefined
        ? "it was not compared"
        : compared.difference
      : differenceFromReplay(answer, outputs, policy.replayTolerance);
  if (difference === null)
    return isOurs ? pass("The same model, run again here, gives the same answer.", "replay_matched") : notOurs;
  // The words of somebody else's comparison are not repeated.
  return isOurs
    ? fail("replay_mismatch", `The same model, run again here, gives another answer: ${difference}.`)
    : fail("replay_mismatch", "The same model, run again by the receipt's maker, gives another answer.");
}

type Tolerance = AppraisalPolicy["replayTolerance"];

const isSame = (a: Tolerance, b: Tolerance): boolean => a.absolute === b.absolute && a.relative === b.relative;

/** Earlier versions kept an integer beyond 2^53 as the double nearest to it. */
const isRounded = (value: TensorElement): boolean => Number.isInteger(value) && !Number.isSafeInteger(value);

/** Where an answer is not what was computed, or null. */
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
      (value, place) =>
        !agrees(readElement(answered.datatype, value), answered.data[place], isReal(answered.datatype), tolerance),
    );
    if (at >= 0) return `element ${at} of tensor ${index} differs`;
  }
  return null;
}

/** Two elements of one datatype: within the tolerance where they are real numbers, else exactly the same. */
function agrees(
  computed: TensorElement | undefined,
  answered: TensorElement | undefined,
  real: boolean,
  { absolute, relative }: Tolerance,
): boolean {
  // An infinity would be near to everything, and what is no number near to nothing.
  if (!real || typeof computed !== "number" || typeof answered !== "number" || !Number.isFinite(computed))
    return Object.is(computed, answered);
  return Math.abs(computed - answered) <= absolute + relative * Math.abs(computed);
}
