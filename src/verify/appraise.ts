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
import { judgeNamedModel, judgeRequest, judgeResponse } from "./exchange.ts";
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
  const outstanding = input.outstanding ?? [];
  const fromEvidence: Layers = {
    ...attestation.layers,
    request,
    response,
    model: await guarded(broken, () => judgeNamedModel(core, attestation.layers.model, signature)),
    computation: await guarded(
      broken,
      () =>
        judgeReplay(receipt, policy, input.ownReplay === true) ??
        judgeByKind(receipt, COMPUTATION, "computation", "No proof and no re-execution of the computation."),
    ),
    payment: await guarded(broken, () => judgePayment(core, policy)),
    settlement: await guarded(broken, () => judgeSettlement(receipt, policy)),
    inclusion: await guarded(broken, () => judgeInclusion(receipt, { request, response }, policy)),
  };
  const layers = withOutstanding(fromEvidence, outstanding);
  const assurance = reached(layers);
  return {
    at: input.now.toISOString(),
    evaluatedAt: evaluateAt.toISOString(),
    policyHash: toHex(canonicalSha256(policy)),
    verifier: { name: "proof402", version: VERSION },
    layers,
    wanted: policy.assurance,
    assurance,
    replayed: layers.computation.code === REPLAY_MATCHED && layers.computation.status === "pass",
    simulated: attestation.simulated,
    verdict: verdictOf(layers, policy, assurance, outstanding),
    notProven: notProven(layers, {
      simulated: attestation.simulated,
      metered: core.payment.scheme === "upto",
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
  const enough = ASSURANCES.indexOf(assurance) >= ASSURANCES.indexOf(policy.assurance);
  if (open.length === 0) return enough ? "verified" : "unverified";
  return enough && open.every((layer) => status(layer) === "pending") ? "pending" : "unverified";
}

/** Layers without evidence as the relying party knows them: what is worst of several stands. */
function withOutstanding(layers: Layers, outstanding: readonly Outstanding[]): Layers {
  const told = LAYERS.flatMap((layer): [Layer, LayerResult][] => {
    if (layers[layer].code !== NO_EVIDENCE) return [];
    const about = outstanding.filter((one) => one.layer === layer);
    const [worst] = WORST_FIRST.flatMap((status) => about.filter((one) => one.status === status));
    return worst === undefined ? [] : [[layer, { status: worst.status, code: worst.code, note: worst.note }]];
  });
  return { ...layers, ...Object.fromEntries(told) };
}

const WORST_FIRST = ["fail", "pending", "skip"] as const satisfies readonly Outstanding["status"][];

function reached(layers: Layers): Assurance {
  const all = (wanted: readonly Layer[]): boolean => wanted.every((layer) => layers[layer].status === "pass");
  // A re-execution is no proof: it convinces only who ran it.
  if (all(PROVEN) && layers.computation.code !== REPLAY_MATCHED) return "proven";
  if (all(ATTESTED)) return "attested";
  return all(SIGNED) ? "signed" : "none";
}

/** Layers whose evidence this version knows of but cannot judge. */
function judgeByKind(receipt: Receipt, pattern: RegExp, what: string, absent: string): LayerResult {
  const kinds = allEvidence(receipt)
    .map((evidence) => evidence.kind)
    .filter((kind) => pattern.test(kind));
  if (kinds.length === 0) return skip(NO_EVIDENCE, absent);
  return unsupported("unsupported_evidence", `This version cannot judge the receipt's ${what} evidence.`);
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
