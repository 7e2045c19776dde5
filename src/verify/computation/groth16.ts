import { fromBase64, toHex } from "../../evidence/bytes.ts";
import { pairingsCancel, readG1, readG2, sumOfMultiples, type G1Point } from "../../evidence/bn254.ts";
import { canonicalSha256 } from "../../evidence/canonical.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import type { Tensor } from "../../evidence/exchange/tensors.ts";
import { BN254_R, quantiseInput, requestSignals, toField } from "../../evidence/groth16.ts";
import { differenceFromProved, provedNumbers } from "../../evidence/proved-answer.ts";
import type { Groth16Evidence, LayerResult, Receipt } from "../../receipts/schema.ts";
import { judgeFormat, judgeTensorFormat, readTensors, tensorsOf } from "../layers/answer.ts";
import { allEvidence, onlyOne } from "../find-evidence.ts";
import { entryOf, sellerOf, type AppraisalPolicy } from "../policy.ts";
import type { VerificationCache } from "../verification-cache.ts";
import { fail, pass, skip } from "../types.ts";

/** The code of a computation passed by a proof from a development key: its maker could have forged it. */
export const DEVELOPMENT_PROOF = "development_proof";

/**
 * `computation`, by a zero-knowledge proof. Under the key pinned for this seller's model, that model computes the
 * answer from the inputs in the request's own bytes, and the proof was made for this request. Inputs, request and
 * answer are taken from the receipt's bytes; the proof's signals only have to agree. Null without a proof.
 */
export function judgeGroth16(
  receipt: Receipt,
  policy: AppraisalPolicy,
  session: VerificationCache,
): LayerResult | null {
  const found = onlyOne(allEvidence(receipt), "zk.groth16");
  if (found.kind === "none") return null;
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one proof of one answer.");
  const { core } = receipt;
  const { evidence } = found;
  const { key } = evidence;
  const reference = sellerOf(policy, core.seller.id);
  const pinned = entryOf(reference?.proofs, core.request.model);
  if (pinned === undefined) return skip("proof_key_not_pinned", "The policy names no proof key for this model.");
  if (toHex(canonicalSha256(key)) !== pinned)
    return fail(
      "proof_key_mismatch",
      "The proof is by another key than the policy names: of another model or circuit.",
    );
  const digest = entryOf(reference?.models, core.request.model);
  if (digest !== undefined && digest !== key.modelSha256)
    return fail("proof_model_mismatch", "The proof's key is of another model file than the policy names.");
  if (key.setup === "development" && !policy.developmentSetups)
    return skip(
      "development_setup",
      "The proof's key is from a development setup: its maker could forge. The policy counts no such proof.",
    );
  if (core.request.body === undefined || core.response.body === undefined)
    return skip("body_redacted", "Request or answer are redacted, so the proof cannot be compared with them.");
  const unfit = judgeTensorFormat(formatOf(core.seller.provider));
  if (unfit !== null) return unfit;
  const results = resultsFor(evidence, tensorsOf(readTensors(core, "request")) ?? [], core.request.body);
  if (results === null)
    return fail(
      "proof_of_another_request",
      "The proof is not of this request's inputs and bytes, or of other weights.",
    );
  const answer = readTensors(core, "response");
  const unread = judgeFormat(answer);
  if (unread !== null) return unread;
  const differing = differenceFromProved(tensorsOf(answer), results, key);
  if (differing !== null) return fail("proof_answer_mismatch", `The answer is not what was proved: ${differing}.`);
  const { proof, signals } = evidence;
  // The pinned hash is of the whole key, so this is the whole of what is checked.
  if (!session.holds(["groth16", pinned, proof, ...signals].join(), () => isProved(evidence)))
    return fail("proof_invalid", "The proof does not verify.");
  const which = key.commitment === null ? "model" : "model, whose weights are secret behind a commitment,";
  const within = `The pinned ${which} was proved to compute this answer from this request, in fixed point of 2^-${key.scale} within ${key.tolerance.toExponential(1)} (largest difference to floating point in ${key.sample.count} samples: ${key.largestDifference.toExponential(1)})`;
  return key.setup === "development"
    ? pass(`${within}. Development setup: the key's maker could forge proofs.`, DEVELOPMENT_PROOF)
    : pass(`${within}.`);
}

/** Tells whether a receipt's proof is of weights hidden by the seller. */
export function hasSecretWeights(receipt: Receipt): boolean {
  const found = onlyOne(allEvidence(receipt), "zk.groth16");
  return found.kind === "one" && found.evidence.key.commitment !== null;
}

/** The proved numbers, where inputs and request of the signals are those of the request's bytes; else null. */
function resultsFor(
  { key, signals }: Groth16Evidence,
  [input, ...more]: readonly Tensor[],
  requestBody: string,
): number[] | null {
  const secret = key.commitment === null ? [] : [key.commitment];
  if (signals.length !== key.results + key.input.count + 2 + secret.length) return null;
  if (input === undefined || more.length > 0) return null;
  const { name, datatype, shape, data } = input;
  if (name !== key.input.name || datatype !== "FP32" || data.length !== key.input.count) return null;
  if (shape.join() !== `1,${key.input.count}`) return null;
  const expected: bigint[] = [];
  for (const value of data) {
    const fixed = typeof value === "number" ? quantiseInput(value, key.scale) : null;
    if (fixed === null) return null;
    expected.push(toField(fixed));
  }
  expected.push(...requestSignals(fromBase64(requestBody)));
  if ([...expected.map(String), ...secret].some((value, at) => value !== signals[key.results + at])) return null;
  return provedNumbers(signals, key);
}

/**
 * Whether a proof verifies under its own key (Groth16, eprint 2016/260 §3.2): e(A, B) = e(alpha, beta) e(IC, gamma) e(C, delta).
 * Every point is on its curve and in its subgroup, every number below its modulus: each proof has one form only.
 */
export function isProved({ key, proof, signals }: Pick<Groth16Evidence, "key" | "proof" | "signals">): boolean {
  if (signals.length + 1 !== key.ic.length) return false;
  const numbers = signals.map(BigInt);
  if (numbers.some((value) => value < 0n || value >= BN254_R)) return false;
  const a = readG1(proof.slice(0, 128));
  const b = readG2(proof.slice(128, 384));
  const c = readG1(proof.slice(384));
  const [alpha, beta, gamma, delta] = [readG1(key.alpha1), readG2(key.beta2), readG2(key.gamma2), readG2(key.delta2)];
  const ic = key.ic.map(readG1);
  const known = ic.filter((point): point is G1Point => point !== null);
  if (a === null || b === null || c === null || known.length !== ic.length) return false;
  if (alpha === null || beta === null || gamma === null || delta === null) return false;
  const inputs = sumOfMultiples(known, [1n, ...numbers]);
  return pairingsCancel([
    { g1: a.negate(), g2: b },
    { g1: alpha, g2: beta },
    { g1: inputs, g2: gamma },
    { g1: c, g2: delta },
  ]);
}
