import { evidenceOf } from "../evidence/methods/methods.ts";
import { LAYERS, type Appraisal, type Layer, type LayerResult, type Receipt } from "../receipts/schema.ts";
import { piecesOf, withoutDisputed } from "../receipts/disputed.ts";
import { missingBodies } from "../receipts/receipt.ts";
import { decodedFrom } from "../receipts/transfer.ts";
import { VERSION } from "../version.ts";
import { appraiseAttestation, unjudgeable } from "./layers/attestation.ts";
import { failuresOfMaker, withContradictions, withDispute, withEach } from "./contradictions.ts";
import { allEvidence, isOwnAmong } from "./find-evidence.ts";
import { carriedIn, judgeNamedModel, judgeRequest, judgeResponse, signatureLeavesOut } from "./layers/exchange.ts";
import { DEVELOPMENT_PROOF, hasSecretWeights } from "./computation/groth16.ts";
import { judgeProofs, proofJudges } from "./computation/proofs.ts";
import { broken, guarded } from "./guarded.ts";
import { judgeInclusion } from "./layers/inclusion.ts";
import { notProven, type LimitsOfVerdict } from "./not-proven.ts";
import { fixesPayer, judgePayment, judgeSettlement, signatureOfPayer } from "./layers/payment.ts";
import { sellerOf } from "./policy.ts";
import { judgeReplay } from "./computation/replay.ts";
import { createVerificationCache, type VerificationCache } from "./verification-cache.ts";
import { judgeSignature } from "./layers/signature.ts";
import { fail, skip, unsupported, type AppraiseInput, type Outstanding } from "./types.ts";
import { COMPUTATION, unknownKinds, unusedEvidence } from "./unused.ts";
import { decide } from "./verdict.ts";

type Layers = Record<Layer, LayerResult>;

/** The kinds of a layer that is decided by evidence to come. */
const LATE_KINDS: Partial<Readonly<Record<Layer, RegExp>>> = {
  inclusion: /^inclusion\./,
  settlement: /^settlement\./,
  computation: COMPUTATION,
};

/**
 * One evaluation of a receipt under a policy (RATS appraisal). Pure: everything comes from its arguments, and the
 * receipt's own earlier appraisals raise nothing. No receipt makes it throw: what cannot be judged is a `fail`.
 * Throws RangeError where the caller's own `now` or `evaluateAt` is an invalid date.
 */
export async function appraise(
  input: AppraiseInput,
  session: VerificationCache = createVerificationCache(),
): Promise<Appraisal> {
  const { policy, evaluateAt, receipt: whole } = input;
  const isOwn = isOwnAmong(input.own);
  const judges = proofJudges(input, session);
  const groth16 = await judgeProofs(withoutDisputed(whole, isOwn), whole, "zk.groth16", judges["zk.groth16"]);
  const last = await judgeProofs(groth16.receipt, whole, "zk.ezkl", judges["zk.ezkl"]);
  const { receipt, result: ezkl } = last;
  const proof = groth16.result;
  const { core } = receipt;
  const attestation = await guarded(unjudgeable, () =>
    appraiseAttestation({
      evidence: core.evidence,
      sellerId: core.seller.id,
      origin: core.seller.origin,
      model: core.request.model,
      policy,
      evaluateAt,
      session,
    }),
  );
  const signer = { key: attestation.signingKey, known: attestation.layers.key.status === "pass" };
  const signature = await guarded(broken, () => judgeSignature(core, signer, policy, session));
  const request = await guarded(broken, () => judgeRequest(core, signature, policy));
  const response = await guarded(broken, () => judgeResponse(core, signature));
  const replay = await guarded(broken, () => judgeReplay(receipt, policy, isOwn));
  const outstanding = input.outstanding ?? [];
  const fromEvidence: Layers = {
    ...attestation.layers,
    request,
    response,
    model: await guarded(broken, () => judgeNamedModel(core, attestation.layers.model, signature)),
    computation: computationOf([proof, ezkl, replay], receipt),
    payment: await guarded(broken, () =>
      withEach(receipt, whole, "settlement.x402", (one) => judgePayment(one, policy, session)),
    ),
    settlement: await guarded(broken, () =>
      withDispute(receipt, whole, "settlement.x402", (one) => judgeSettlement(one, policy, isOwn)),
    ),
    inclusion: await guarded(broken, () =>
      withDispute(receipt, whole, "inclusion.merkle", (one) =>
        judgeInclusion(one, { request, response }, policy, isOwn),
      ),
    ),
  };
  const foundByMaker = input.madeHere === true ? [] : failuresOfMaker(receipt);
  const layers = withRivals(
    withContradictions(withOutstanding(fromEvidence, input, [proof, ezkl]), receipt, foundByMaker),
    input,
  );
  const seller = sellerOf(policy, core.seller.id);
  const holding = outstanding.filter(({ holdsVerdict }) => holdsVerdict).map(({ layer }) => layer);
  const awaited = LAYERS.filter(
    (layer) => layers[layer].status === "pending" && (holding.includes(layer) || layers[layer].code === "disputed"),
  );
  const proved = [proof, ezkl].includes(layers.computation);
  const { assurance, verdict } = decide({ layers, proved, seller, awaited }, policy);
  return {
    at: input.now.toISOString(),
    evaluatedAt: evaluateAt.toISOString(),
    policyHash: session.policyHash(policy),
    verifier: { name: "proof402", version: VERSION },
    layers,
    wanted: policy.assurance,
    assurance,
    replayed: replay?.status === "pass" && layers.computation.status === "pass",
    simulated: attestation.simulated,
    verdict,
    notProven: notProven(layers, {
      known: seller !== undefined,
      simulated: attestation.simulated,
      metered: await guarded(
        () => false,
        () => evidenceOf(core.payment).metered,
      ),
      shared: core.payment.share !== undefined,
      unboundTerms: core.payment.salt === undefined,
      agreement: await guarded<LimitsOfVerdict["agreement"]>(
        () => "missing",
        () => {
          const shown = signatureOfPayer(receipt, session);
          if (shown === "missing" && piecesOf(whole, "settlement.x402").some((one) => "signature" in one))
            return "disputed";
          return shown === "shown" && !fixesPayer(core, signature.status === "pass") ? "nameless" : shown;
        },
      ),
      developmentProof: layers.computation.code === DEVELOPMENT_PROOF,
      secretWeights: layers.computation === proof && proof?.status === "pass" && hasSecretWeights(receipt),
      unboundProof: layers.computation.status === "pass" && layers.computation === ezkl,
      unknownKinds: await guarded(noKinds, () => unknownKinds(receipt)),
      unused: await guarded(noKinds, () =>
        unusedEvidence(receipt, {
          layers: fromEvidence,
          attested: attestation.layers.platform.status === "pass",
          signer: attestation.signingKey !== null,
          computations: { "zk.groth16": proof, "zk.ezkl": ezkl, "replay.onnx": replay },
        }),
      ),
      leftOut: missingBodies(receipt),
      signed: signature.status === "pass",
      leavesOut: signature.status === "pass" ? signatureLeavesOut(core) : null,
      carried: await guarded<LimitsOfVerdict["carried"]>(
        () => "neither",
        () => carriedIn(core),
      ),
      decodedFrom: decodedFrom(core),
      tls: attestation.tls?.notShown ?? null,
      registered: core.evidence.some(({ kind }) => kind === "registry.tee"),
      rivals: input.rivals === undefined ? null : { ...input.rivals, isOwn: input.rivals.own === whole.id },
    }),
  };
}

/**
 * Fails a receipt that this buyer's own of the purchase contradicts, even if its evidence is in order. Of two imported
 * ones that hold up nothing here tells the genuine one, so neither passes.
 */
function withRivals(layers: Layers, { receipt, rivals }: AppraiseInput): Layers {
  if (rivals === undefined || layers.payment.status === "fail") return layers;
  const { own, contestedBy } = rivals;
  if (own !== null && own !== receipt.id) {
    const note = `Another receipt of this purchase is this buyer's own, and this one differs: ${own}.`;
    return { ...layers, payment: fail("purchase_differs", note) };
  }
  if (contestedBy === null) return layers;
  const note = `Another receipt of this purchase differs and holds up by itself: ${contestedBy}. Only the buyer or the seller can tell which one is genuine.`;
  return { ...layers, payment: skip("purchase_contested", note) };
}

/** Decides what the evidence leaves open by the relying party's own knowledge. Of several words the worst stands. */
function withOutstanding(
  layers: Layers,
  { receipt, policy, outstanding = [] }: Pick<AppraiseInput, "receipt" | "policy" | "outstanding">,
  proofs: readonly (LayerResult | null)[],
): Layers {
  const kinds = allEvidence(receipt).map(({ kind }) => kind);
  const stands = ({ layer, status, holdsVerdict }: Outstanding): boolean => {
    const late = LATE_KINDS[layer];
    const judged = layers[layer];
    if (late === undefined || judged.status === "fail") return false;
    const isProofMissing = layer === "computation" && policy.assurance === "proven" && !proofs.includes(judged);
    // A job that is still open has given no evidence: what passes is of another kind, and may be contradicted by its own.
    if (status === "pending" && holdsVerdict) return true;
    if (judged.status === "pass") return isProofMissing;
    // Evidence that decides nothing ends no waiting and hides no failure: anyone can add it to a file.
    if (status !== "skip") return status === "fail" || judged.code !== "disputed";
    return !kinds.some((kind) => (isProofMissing ? /^zk\./ : late).test(kind));
  };
  const told = LAYERS.flatMap((layer): [Layer, LayerResult][] => {
    const about = outstanding.filter((one) => one.layer === layer && stands(one));
    const [worst] = WORST_FIRST.flatMap((status) => about.filter((one) => one.status === status));
    return worst === undefined ? [] : [[layer, { status: worst.status, code: worst.code, note: worst.note }]];
  });
  return { ...layers, ...Object.fromEntries(told) };
}

const WORST_FIRST = ["fail", "pending", "skip"] as const satisfies readonly Outstanding["status"][];

/**
 * Of proofs and a re-execution, a contradiction decides first, then the stronger evidence: a proof convinces anyone.
 */
function computationOf(judged: readonly (LayerResult | null)[], receipt: Receipt): LayerResult {
  const results = judged.filter((one) => one !== null);
  for (const status of ["fail", "pending", "pass", "skip", "unsupported"] as const) {
    const found = results.find((one) => one.status === status);
    if (found !== undefined) return found;
  }
  return allEvidence(receipt).some(({ kind }) => COMPUTATION.test(kind))
    ? unsupported("unsupported_evidence", "This version cannot judge the receipt's computation evidence.")
    : skip("no_evidence", "No proof and no re-execution of the computation.");
}

const noKinds = (): string[] => [];
