import { PCR, decodeUserData, extendedPcr } from "../../evidence/attestation.ts";
import { equalBytes, fromBase64, fromHex, sha256, toHex, type Bytes, type Hex } from "../../evidence/bytes.ts";
import type { NitroPayload } from "../../evidence/nitro.ts";
import type { Evidence, Layer, LayerResult, NitroEvidence } from "../../receipts/schema.ts";
import { onlyOne } from "../find-evidence.ts";
import { nitroResultAt, type NitroCheck } from "../tee/nitro.ts";
import { entryOf, pinsImages, sellerOf, type AppraisalPolicy, type SellerPolicy } from "../policy.ts";
import { createVerificationCache, type VerificationCache } from "../verification-cache.ts";
import { isPinnedImage, judgeRegistry, seenCertificate } from "./registry.ts";
import { judgeTls, type TlsAppraisal } from "./tls.ts";
import { fail, pass, skip } from "../types.ts";
import { requiredLayers } from "../verdict.ts";

/** Shortest nonce that counts as fresh, bytes. */
const MIN_NONCE = 16;

/** The layers that attestation evidence decides, and the key it binds. */
export type AttestationAppraisal = {
  layers: { platform: LayerResult; code: LayerResult; key: LayerResult; freshness: LayerResult; model: LayerResult };
  simulated: boolean;
  /** The response signing key that a genuine document binds, or null. It is known only where `key` passes. */
  signingKey: { spki: Bytes; keyId: Hex } | null;
  /** Reads the seller's TLS key or certificate from a genuine document, or null. */
  tls: TlsAppraisal | null;
};

/**
 * Appraises a seller's attestation (RATS): hardware chain, measurements against reference values, key binding,
 * freshness, and the model's digest. Used before anything is paid and again inside every appraisal. Never throws.
 */
export async function appraiseAttestation(options: AttestationOptions): Promise<AttestationAppraisal> {
  try {
    return await judgeAttestation(options);
  } catch {
    return unjudgeable();
  }
}

/** The subject of an appraisal: the evidence, its seller and its model. */
export type AttestationOptions = {
  evidence: readonly Evidence[];
  sellerId: string;
  /** Where the seller was talked to: scheme, host and port. */
  origin?: string;
  model: string;
  policy: AppraisalPolicy;
  evaluateAt: Date;
  session?: VerificationCache;
};

/** Every layer where the evidence could not even be judged. */
export function unjudgeable(): AttestationAppraisal {
  const broken = fail("verifier_error", "The evidence could not be judged.");
  return {
    layers: { platform: broken, code: broken, key: broken, freshness: broken, model: broken },
    simulated: false,
    signingKey: null,
    tls: null,
  };
}

async function judgeAttestation(options: AttestationOptions): Promise<AttestationAppraisal> {
  const { policy, evaluateAt } = options;
  const nitro = onlyOne(options.evidence, "tee.nitro");
  const session = options.session ?? createVerificationCache();
  if (nitro.kind === "many") return without(ambiguous("attestation"));
  if (nitro.kind === "none") return judgeKeyAlone(options, session);
  const facts = await session.nitroFacts(nitro.evidence.document, policy.simulatedRoots);
  const result = nitroResultAt(facts, evaluateAt);
  if (!result.ok) return without(fail(codeOf(result.check), `Nitro document: ${result.message}.`));
  const reference = sellerOf(policy, options.sellerId);
  const spki = fromBase64(nitro.evidence.publicKey);
  const bound = result.payload.userData === null ? null : decodeUserData(result.payload.userData);
  const unbound = judgeBinding(bound, spki);
  const tls =
    bound === null || unbound !== null ? null : judgeTls(bound.tlsCertificateSha256, options.evidence, options.origin);
  const keyId = session.keyIdOf(nitro.evidence.publicKey);
  const seen = seenCertificate(options.evidence);
  const shown = { keyId, payload: result.payload, tls: tls?.named ?? seen, origin: options.origin };
  const registered = judgeRegistry(options.evidence, shown, reference);
  const code = registered.code ?? judgeCode(result.payload, reference);
  return {
    layers: {
      platform: pass(
        result.simulated
          ? "The document's chain and signature hold, under a devnet root: simulated hardware."
          : "The document's chain and signature hold, up to AWS's Nitro root.",
      ),
      code,
      key: unbound ?? registered.key ?? tls?.wrong ?? withTls(judgeKey(keyId, code, reference), tls),
      freshness: judgeFreshness(result.payload, nitro.evidence, requiredLayers(policy, reference), {
        policy,
        evaluateAt,
      }),
      model: judgeModel(result.payload, code, options, session),
    },
    simulated: result.simulated,
    signingKey: unbound === null ? { spki, keyId } : null,
    tls,
  };
}

/** The check that refused the document, in the spelling of codes. */
const codeOf = (check: NitroCheck): SnakeCase<NitroCheck> => check.replaceAll("-", "_") as SnakeCase<NitroCheck>;
type SnakeCase<Text extends string> = Text extends `${infer Word}-${infer Rest}` ? `${Word}_${SnakeCase<Rest>}` : Text;

/** Every layer when the platform itself did not pass: none of them can. */
function without(platform: LayerResult): AttestationAppraisal {
  const below = skip("platform_not_verified", "Nothing in the attestation counts, because its platform did not pass.");
  return {
    layers: { platform, code: below, key: below, freshness: below, model: below },
    simulated: false,
    signingKey: null,
    tls: null,
  };
}

/**
 * The layers of a seller without an attestation. Its key is known only if the policy names it, and then says nothing about
 * the machine that holds it.
 */
function judgeKeyAlone(
  { evidence, policy, sellerId, origin }: AttestationOptions,
  session: VerificationCache,
): AttestationAppraisal {
  const none = without(skip("no_attestation", "The seller gave no attestation."));
  const found = onlyOne(evidence, "signature.key");
  if (found.kind === "none") return none;
  if (found.kind === "many") return { ...none, layers: { ...none.layers, key: ambiguous("signing key") } };
  const { publicKey } = found.evidence;
  const keyId = session.keyIdOf(publicKey);
  const reference = sellerOf(policy, sellerId);
  const shown = { keyId, payload: null, tls: seenCertificate(evidence), origin };
  const registered = judgeRegistry(evidence, shown, reference);
  return {
    ...none,
    layers: { ...none.layers, key: registered.key ?? judgeNamedKey(keyId, reference) },
    signingKey: { spki: fromBase64(publicKey), keyId },
  };
}

/** With measurements in the policy a bare key counts for nothing. Else a failing attestation only had to be left out. */
function judgeNamedKey(keyId: string, reference: SellerPolicy | undefined): LayerResult {
  const pinned = reference?.keyIds ?? [];
  if (reference !== undefined && pinned.includes(keyId) && pinsImages(reference))
    return skip(
      "attestation_missing",
      "The policy names the signing key and measurements of the seller, and no attestation shows them.",
    );
  if (pinned.includes(keyId))
    return pass(
      "The signing key is one that the policy names. No attestation says in what machine it is.",
      "key_alone",
    );
  return pinned.length > 0
    ? fail("key_not_pinned", "The signing key is none that the policy names, and no attestation speaks for it.")
    : skip("key_not_known", "No attestation speaks for the signing key, and the policy does not name it.");
}

const ambiguous = (what: string): LayerResult =>
  fail("ambiguous_evidence", `There is more than one ${what}: which one counts is not for the seller to leave open.`);

function judgeCode(payload: NitroPayload, reference: SellerPolicy | undefined): LayerResult {
  const { pcrHashes = [] } = reference ?? {};
  if (reference === undefined || !pinsImages(reference)) {
    return skip("no_reference_values", "The policy holds no measurements for this seller.");
  }
  const complete = reference.measurements.filter((set) => ["0", "1", "2"].every((index) => Object.hasOwn(set, index)));
  const matches = complete.some((set) =>
    Object.entries(set).every(([index, digest]) => {
      const measured = payload.pcrs.get(Number(index));
      return measured !== undefined && toHex(measured) === digest;
    }),
  );
  return matches || isPinnedImage(payload, pcrHashes)
    ? pass("Every measurement equals a set that the policy accepts.")
    : fail("measurements_unknown", "The measured code is not one that the policy accepts.");
}

/** Null where the document binds the key. */
function judgeBinding(bound: ReturnType<typeof decodeUserData>, spki: Bytes): LayerResult | null {
  if (bound === null) return fail("key_not_bound", "The document's user_data does not bind a signing key.");
  return equalBytes(bound.signingKeySha256, sha256(spki))
    ? null
    : fail("key_mismatch", "The signing key is not the one inside the attestation document.");
}

/** Any enclave can bind a key of its own: one is known by the code that holds it, or because the policy names it. */
function judgeKey(keyId: string, code: LayerResult, reference: SellerPolicy | undefined): LayerResult {
  const pinned = reference?.keyIds ?? [];
  if (pinned.includes(keyId)) return pass("The signing key is one that the policy names.");
  if (code.status === "pass") return pass("The signing key's hash is inside the attestation of known code.");
  return pinned.length > 0
    ? fail("key_not_pinned", "The signing key is none that the policy names, and the code that holds it is not known.")
    : skip(
        "key_not_known",
        "The document binds the key, but the policy knows neither the key nor the code that holds it.",
      );
}

/** The same `user_data` binds key and TLS: what is said of one is said beside the other. */
const withTls = (key: LayerResult, tls: TlsAppraisal | null): LayerResult => ({
  ...key,
  note: `${key.note} ${tls?.notShown ?? "The connection's TLS certificate is the one that it names."}`,
});

function judgeFreshness(
  payload: NitroPayload,
  evidence: NitroEvidence,
  required: readonly Layer[],
  { policy, evaluateAt }: Pick<AttestationOptions, "policy" | "evaluateAt">,
): LayerResult {
  const nonce = fromHex(evidence.nonce);
  if (nonce.length < MIN_NONCE) return fail("nonce_too_short", `A nonce has at least ${MIN_NONCE} bytes.`);
  if (payload.nonce === null || !equalBytes(payload.nonce, nonce))
    return fail("nonce_mismatch", "The document does not answer the buyer's nonce.");
  const age = evaluateAt.getTime() - payload.timestamp;
  if (age < -policy.clockSkewSeconds * 1000)
    return fail("document_from_future", "The document is dated after the time of evaluation.");
  if (age > policy.maxAttestationAgeSeconds * 1000) {
    const note = "The document is older than the policy allows.";
    // A document of any age is genuine: the limit is the policy's own, and binds where the policy asks for freshness.
    return required.includes("freshness") ? fail("document_too_old", note) : skip("document_too_old", note);
  }
  return pass("The document answers the buyer's nonce and was recent.");
}

function judgeModel(
  payload: NitroPayload,
  code: LayerResult,
  { evidence, sellerId, model, policy }: AttestationOptions,
  session: VerificationCache,
): LayerResult {
  const found = onlyOne(evidence, "model.manifest");
  if (found.kind === "many") return ambiguous("model manifest");
  if (found.kind === "none") return skip("weights_not_measured", "No attested measurement covers the model's weights.");
  const { sha384, entries } = session.manifest(found.evidence.manifest);
  const isMeasured = (index: number, digest: Bytes): boolean => {
    const measured = payload.pcrs.get(index);
    return measured !== undefined && equalBytes(digest, measured);
  };
  const extended = isMeasured(PCR.extended, extendedPcr(sha384));
  // Running code extends that PCR: what unknown code put there is its own word.
  if (extended && code.status !== "pass")
    return skip("weights_not_measured", "Only code that the policy does not know measured the model's weights.");
  if (!extended && !isMeasured(PCR.models, sha384))
    return fail("manifest_not_measured", "The model manifest is not the one that was measured.");
  if (entries === null)
    return fail("manifest_malformed", "The measured model manifest is not a list of distinct models.");
  const attested = entries.find((entry) => entry.name === model);
  if (attested === undefined) return fail("model_not_attested", "The model is not among those that were measured.");
  const expected = entryOf(sellerOf(policy, sellerId)?.models, model);
  if (expected === undefined)
    return skip("no_reference_digest", "The policy holds no digest for this model to compare with.");
  return attested.sha256 === expected
    ? pass("The model file's digest is measured and equals the policy's.")
    : fail("model_mismatch", "The measured model file is not the one that the policy names.");
}
