import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import {
  ASSURANCES,
  KNOWN_KINDS,
  LAYERS,
  type Appraisal,
  type Assurance,
  type Layer,
  type LayerResult,
  type Receipt,
  type Verdict,
} from "../receipts/schema.ts";
import { VERSION } from "../version.ts";
import { appraiseAttestation, unjudgeable } from "./attestation.ts";
import { allEvidence } from "./evidence.ts";
import { judgeEzkl } from "./ezkl.ts";
import { judgeNamedModel, judgeRequest, judgeResponse } from "./exchange.ts";
import { DEVELOPMENT_PROOF, hasSecretWeights, judgeGroth16 } from "./groth16.ts";
import { judgeInclusion } from "./inclusion.ts";
import { notProven } from "./not-proven.ts";
import { judgePayment, judgeSettlement } from "./payment.ts";
import { judgeReplay, REPLAY_MATCHED } from "./replay.ts";
import { requiredLayers, type AppraisalPolicy } from "./policy.ts";
import { createVerifySession, type VerifySession } from "./session.ts";
import { judgeSignature } from "./signature-tee.ts";
import { fail, skip, unsupported, type AppraiseInput, type Outstanding } from "./types.ts";

type Layers = Record<Layer, LayerResult>;

/** The code of a layer for which a receipt has no evidence at all. */
const NO_EVIDENCE = "no_evidence";

/** Kinds of evidence that this version knows of but cannot judge. */
const COMPUTATION = /^(?:zk|replay)\./;

/**
 * Layers whose failure condemns a receipt even where they are not required: evidence that contradicts is not ignored.
 * Where nothing was asked for, these; where some assurance was, every layer but the one whose bounds are the policy's
 * own choice: how old an attestation may be.
 */
const NEVER_IGNORED = [
  "platform",
  "key",
  "request",
  "response",
  "computation",
  "payment",
] as const satisfies readonly Layer[];
const NOR_WHERE_ASKED: readonly Layer[] = LAYERS.filter((layer) => layer !== "freshness");

const ATTESTED = ["platform", "code", "key", "freshness", "request", "response"] as const satisfies readonly Layer[];
const SIGNED = ["key", "request", "response"] as const satisfies readonly Layer[];
const PROVEN = ["request", "computation"] as const satisfies readonly Layer[];

/**
 * One evaluation of a receipt under a policy (RATS appraisal). Pure: everything comes from its arguments, and the
 * receipt's own earlier appraisals count for nothing. No receipt makes it throw: what cannot be judged is a `fail`.
 * Throws RangeError where the caller's own `now` or `evaluateAt` is an invalid date.
 */
export async function appraise(
  input: AppraiseInput,
  session: VerifySession = createVerifySession(),
): Promise<Appraisal> {
  const { receipt, policy, evaluateAt } = input;
  const { core } = receipt;
  const attestation = await guarded(unjudgeable, () =>
    appraiseAttestation({
      evidence: core.evidence,
      sellerId: core.seller.id,
      model: core.request.model,
      policy,
      evaluateAt,
      session,
    }),
  );
  const signature = await guarded(broken, () => judgeSignature(core, attestation.signingKey, policy, session));
  const request = await guarded(broken, () => judgeRequest(core, signature));
  const response = await guarded(broken, () => judgeResponse(core, signature));
  const proof = await guarded(broken, () => judgeGroth16(receipt, policy));
  const ezkl = await guarded(broken, () => judgeEzkl(receipt, policy, input.ezkl));
  const replay = await guarded(broken, () => judgeReplay(receipt, policy, input.ownReplay === true));
  const outstanding = input.outstanding ?? [];
  const fromEvidence: Layers = {
    ...attestation.layers,
    request,
    response,
    model: await guarded(broken, () => judgeNamedModel(core, attestation.layers.model, signature)),
    computation: computationOf([proof, ezkl, replay], receipt),
    payment: await guarded(broken, () => judgePayment(core, policy)),
    settlement: await guarded(broken, () => judgeSettlement(receipt, policy)),
    inclusion: await guarded(broken, () => judgeInclusion(receipt, { request, response }, policy)),
  };
  const layers = withOutstanding(fromEvidence, outstanding, policy);
  const assurance = reached(layers);
  return {
    at: input.now.toISOString(),
    evaluatedAt: evaluateAt.toISOString(),
    policyHash: toHex(canonicalSha256(policy)),
    verifier: { name: "proof402", version: VERSION },
    layers,
    wanted: policy.assurance,
    assurance,
    replayed: replay?.status === "pass" && layers.computation.status === "pass",
    simulated: attestation.simulated,
    verdict: verdictOf(layers, policy, assurance, outstanding),
    notProven: notProven(layers, {
      simulated: attestation.simulated,
      metered: core.payment.scheme === "upto",
      developmentProof: layers.computation.code === DEVELOPMENT_PROOF,
      secretWeights: layers.computation === proof && proof?.status === "pass" && hasSecretWeights(receipt),
      unboundProof: layers.computation.status === "pass" && layers.computation === ezkl,
      unknownKinds: await guarded(noKinds, () => unknownKinds(receipt)),
    }),
  };
}

/** Verdict of the layers under a policy (DESIGN §2). Missing evidence is never a pass. */
function verdictOf(
  layers: Layers,
  policy: AppraisalPolicy,
  assurance: Assurance,
  outstanding: readonly Outstanding[],
): Verdict {
  const waitedFor = outstanding.filter(({ layer, holdsVerdict }) => holdsVerdict && layers[layer].status === "pending");
  const required = [...requiredLayers(policy), ...waitedFor.map(({ layer }) => layer)];
  const status = (layer: Layer): LayerResult["status"] => layers[layer].status;
  const heeded = policy.assurance === "none" ? NEVER_IGNORED : NOR_WHERE_ASKED;
  if ([...required, ...heeded].some((layer) => status(layer) === "fail")) return "failed";
  // A purchase without evidence can be paid and settled, but there is nothing about it to verify.
  if (policy.assurance === "none" || required.length === 0) return "unverified";
  const open = required.filter((layer) => status(layer) !== "pass");
  const enough = (level: Assurance): boolean => ASSURANCES.indexOf(level) >= ASSURANCES.indexOf(policy.assurance);
  if (open.length === 0 && enough(assurance)) return "verified";
  // What is still to come may be all that is missing of the assurance, too.
  const possible = reached(layers, ["pass", "pending"]);
  return enough(possible) && open.every((layer) => status(layer) === "pending") ? "pending" : "unverified";
}

/** Layers without evidence as the relying party knows them: what is worst of several stands. */
function withOutstanding(layers: Layers, outstanding: readonly Outstanding[], policy: AppraisalPolicy): Layers {
  // Where a proof is asked for, a re-execution does not end the waiting for it.
  const insufficient = policy.assurance === "proven" ? [NO_EVIDENCE, REPLAY_MATCHED] : [NO_EVIDENCE];
  const told = LAYERS.flatMap((layer): [Layer, LayerResult][] => {
    if (!insufficient.includes(layers[layer].code)) return [];
    const about = outstanding.filter((one) => one.layer === layer);
    const [worst] = WORST_FIRST.flatMap((status) => about.filter((one) => one.status === status));
    return worst === undefined ? [] : [[layer, { status: worst.status, code: worst.code, note: worst.note }]];
  });
  return { ...layers, ...Object.fromEntries(told) };
}

const WORST_FIRST = ["fail", "pending", "skip"] as const satisfies readonly Outstanding["status"][];

/** The most that the layers show, where these statuses count. */
function reached(layers: Layers, counting: readonly LayerResult["status"][] = ["pass"]): Assurance {
  const all = (wanted: readonly Layer[]): boolean => wanted.every((layer) => counting.includes(layers[layer].status));
  // A re-execution is no proof: it convinces only who ran it.
  if (all(PROVEN) && layers.computation.code !== REPLAY_MATCHED) return "proven";
  if (all(ATTESTED)) return "attested";
  return all(SIGNED) ? "signed" : "none";
}

/** Of proofs and a re-execution what contradicts stands, then what shows more: a proof convinces anyone. */
function computationOf(judged: readonly (LayerResult | null)[], receipt: Receipt): LayerResult {
  const results = judged.filter((one) => one !== null);
  for (const status of ["fail", "pass", "skip", "unsupported"] as const) {
    const found = results.find((one) => one.status === status);
    if (found !== undefined) return found;
  }
  return allEvidence(receipt).some(({ kind }) => COMPUTATION.test(kind))
    ? unsupported("unsupported_evidence", "This version cannot judge the receipt's computation evidence.")
    : skip(NO_EVIDENCE, "No proof and no re-execution of the computation.");
}

/** Kinds that no layer took notice of. */
const unknownKinds = (receipt: Receipt): string[] =>
  allEvidence(receipt)
    .map((evidence) => evidence.kind)
    .filter((kind) => !KNOWN_KINDS.includes(kind) && !COMPUTATION.test(kind));

const noKinds = (): string[] => [];
const broken = (): LayerResult => fail("verifier_error", "The evidence could not be judged.");
/** Whatever a judge throws is a failed layer: an exception must never look like an absence. */
async function guarded<T>(instead: () => T, judge: () => T | Promise<T>): Promise<T> {
  try {
    return await judge();
  } catch {
    return instead();
  }
}
