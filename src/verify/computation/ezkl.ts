import { fromBase64, sha256, toHex } from "../../evidence/bytes.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import type { Tensor } from "../../evidence/exchange/tensors.ts";
import {
  ezklInstance,
  ezklNumber,
  readEzklProof,
  readEzklSettings,
  writeEzklProof,
  type EzklProof,
  type EzklSettings,
  type EzklTensor,
} from "../../evidence/ezkl.ts";
import { kzgVerifierParams } from "../../evidence/kzg.ts";
import type { LayerResult, Receipt } from "../../receipts/schema.ts";
import { judgeFormat, judgeTensorFormat, readTensors, tensorsOf } from "../layers/answer.ts";
import { allEvidence, onlyOne } from "../find-evidence.ts";
import { DEVELOPMENT_PROOF } from "./groth16.ts";
import { entryOf, sellerOf, type AppraisalPolicy, type EzklReference } from "../policy.ts";
import { fail, pass, skip, unsupported, type EzklEngine, type EzklOutcome } from "../types.ts";

const NUMERIC = ["FP32", "FP64", "INT32", "INT64"];

/**
 * `computation`, by a proof of EZKL: under the key, settings and setup that the policy pins for this seller's model, the
 * circuit computes the answer from the inputs in the request's own bytes. The proof's public numbers only have to agree
 * with the receipt; what is not public is not tied to it, and no proof is tied to one purchase. Null without a proof.
 */
export async function judgeEzkl(
  receipt: Receipt,
  policy: AppraisalPolicy,
  engine: EzklEngine | undefined,
): Promise<LayerResult | null> {
  const found = onlyOne(allEvidence(receipt), "zk.ezkl");
  if (found.kind === "none") return null;
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one EZKL proof of one answer.");
  const { core } = receipt;
  const reference = entryOf(sellerOf(policy, core.seller.id)?.ezkl, core.request.model);
  if (reference === undefined) return skip("proof_key_not_pinned", "The policy names no EZKL circuit for this model.");
  const key = fromBase64(found.evidence.key);
  const settingsFile = fromBase64(found.evidence.settings);
  if (toHex(sha256(key)) !== reference.key)
    return fail("proof_key_mismatch", "The proof is by another key than the policy names: of another circuit.");
  if (toHex(sha256(settingsFile)) !== reference.settings)
    return fail("proof_settings_mismatch", "The proof's settings are not those that the policy names.");
  const settings = readEzklSettings(settingsFile);
  if (settings === null || !fits(settings, reference))
    return unsupported("ezkl_settings_unsupported", "The circuit's settings are of a form that cannot be judged here.");
  if (reference.srs.setup === "development" && !policy.developmentSetups)
    return skip(
      "development_setup",
      "The circuit's setup is a development one: its maker could forge. The policy counts no such proof.",
    );
  const open = whatIsOpen(settings);
  if (open !== null) return open;
  if (core.request.body === undefined || core.response.body === undefined)
    return skip("body_redacted", "Request or answer are redacted, so the proof cannot be compared with them.");
  const unfit = judgeTensorFormat(formatOf(core.seller.provider));
  if (unfit !== null) return unfit;
  const proof = readEzklProof(fromBase64(found.evidence.proof));
  if (proof === null) return fail("proof_malformed", "The proof is not one that EZKL writes.");
  const results = resultsFor(proof, settings.inputs, reference.inputs, tensorsOf(readTensors(core, "request")) ?? []);
  if (results === null) return fail("proof_of_another_request", "The proof is not of this request's inputs.");
  const answer = readTensors(core, "response");
  const unread = judgeFormat(answer);
  if (unread !== null) return unread;
  const differing = firstDifference(tensorsOf(answer), results, settings.outputs, reference);
  if (differing !== null) return fail("proof_answer_mismatch", `The answer is not what was proved: ${differing}.`);
  const srs = kzgVerifierParams(reference.srs.sG2);
  if (srs === null) return skip("srs_invalid", "The policy's [s]G2 is no point of the group.");
  if (engine === undefined)
    return unsupported("ezkl_engine_absent", "This verifier was given no EZKL engine to check the proof with.");
  return resultOf(await engine({ proof: writeEzklProof(proof), key, settings: settingsFile, srs }), reference);
}

/** Whether the policy's names are those of the circuit's tensors, one each, where those are public. */
function fits({ inputsPublic, outputsPublic, kzg, inputs, outputs }: EzklSettings, names: EzklReference): boolean {
  if (!kzg) return false;
  if (!inputsPublic || !outputsPublic) return true;
  return names.inputs.length === inputs.length && names.outputs.length === outputs.length;
}

/** Names the circuit's freedom that makes its proofs worthless for this purchase, or null. */
function whatIsOpen({ inputsPublic, outputsPublic, weightsFixed }: EzklSettings): LayerResult | null {
  if (!inputsPublic)
    return skip(
      "ezkl_inputs_private",
      "The circuit's inputs are private or hashed: nothing ties a proof to this request's inputs.",
    );
  if (!outputsPublic)
    return skip("ezkl_outputs_private", "The circuit's outputs are not public: nothing ties a proof to this answer.");
  return weightsFixed
    ? null
    : skip(
        "ezkl_weights_open",
        "The weights are not fixed in the circuit's key: any model of this shape has proofs under it.",
      );
}

/** The proved elements of the outputs, where the inputs are those of the request's bytes; else null. */
function resultsFor(
  { instances }: EzklProof,
  inputs: readonly EzklTensor[],
  names: readonly string[],
  tensors: readonly Tensor[],
): bigint[] | null {
  if (tensors.length !== names.length) return null;
  const expected = inputs.flatMap((input, at): (bigint | null)[] => {
    const tensor = tensors.find(({ name }) => name === names[at]);
    if (tensor === undefined || tensor.datatype !== "FP32" || !hasShape(tensor, input)) return [null];
    return tensor.data.map((value) => (typeof value === "number" ? ezklInstance(value, input.scale) : null));
  });
  const same = expected.every((value, at) => value !== null && value === instances[at]);
  return same ? instances.slice(expected.length) : null;
}

/** EZKL and the protocol may differ in how many leading dimensions of one they write. */
const hasShape = ({ shape, data }: Tensor, expected: EzklTensor): boolean =>
  data.length === expected.count && withoutLeadingOnes(shape) === withoutLeadingOnes(expected.shape);
const withoutLeadingOnes = (shape: readonly number[]): string => {
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 ? "" : shape.slice(first).join();
};

/** Where an answer is not what was proved, or null. */
function firstDifference(
  answered: readonly Tensor[] | null,
  results: readonly bigint[],
  outputs: readonly EzklTensor[],
  { outputs: names, tolerance }: EzklReference,
): string | null {
  const total = outputs.reduce((sum, { count }) => sum + count, 0);
  if (results.length !== total) return "it has other outputs";
  if (answered === null || answered.length === 0) return "it cannot be read";
  for (const [index, tensor] of answered.entries()) {
    const at = names.indexOf(tensor.name);
    const output = outputs[at];
    if (output === undefined) return `tensor ${index} was not proved`;
    const from = outputs.slice(0, at).reduce((sum, { count }) => sum + count, 0);
    const proved = results.slice(from, from + output.count).map((element) => ezklNumber(element, output.scale));
    const within = tolerance ?? 2 ** -output.scale;
    const near = proved.every((value, place) => {
      const answer = tensor.data[place];
      return value !== null && typeof answer === "number" && Math.abs(answer - value) <= within;
    });
    if (!NUMERIC.includes(tensor.datatype) || !hasShape(tensor, output) || !near) return `tensor ${index} differs`;
  }
  return null;
}

function resultOf(outcome: EzklOutcome, { srs }: EzklReference): LayerResult {
  switch (outcome) {
    case "valid": {
      const proved =
        "The pinned circuit was proved to compute this answer from this request's inputs, as it rounds them";
      return srs.setup === "development"
        ? pass(`${proved}. Development setup: the key's maker could forge proofs.`, DEVELOPMENT_PROOF)
        : pass(`${proved}. A proof of EZKL names no request: it may be of another purchase of the same input.`);
    }
    case "refused":
      return fail("proof_invalid", "The proof does not verify.");
    case "unreadable":
      return unsupported(
        "ezkl_unreadable",
        "The proof was not checked: the engine reads no key or settings such as the pinned ones.",
      );
    case "missing":
      return unsupported(
        "ezkl_missing",
        "The proof was not checked: EZKL's engine is not installed. npm install @ezkljs/engine@21.0.0",
      );
    case "timeout":
      return unsupported("ezkl_timeout", "The proof was not checked: the engine took too long and was stopped.");
    case "crashed":
      return unsupported("ezkl_crashed", "The proof was not checked: the engine's process ended without an answer.");
  }
}
