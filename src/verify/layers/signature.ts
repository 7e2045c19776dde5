import { fromBase64, fromHex, toBase64, type Bytes, type Hex } from "../../evidence/bytes.ts";
import { isPssSigned, teeMessageHash } from "../../evidence/tee-signature.ts";
import type { LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import { onlySignature } from "../find-evidence.ts";
import type { AppraisalPolicy } from "../policy.ts";
import type { VerificationCache } from "../verification-cache.ts";
import { fail, pass, skip } from "../types.ts";
import { judgeOysterSignature } from "./oyster-signature.ts";
import { bearsUnread, signedHashes } from "./signed-hashes.ts";

const MIN_MODULUS = 2048;
const MAX_MODULUS = 8192;

/**
 * Judges the response signature: RSASSA-PSS (RFC 8017 §8.1, SHA-256, salt of 32 bytes) by the attested or pinned key, over
 * the hashes of what was sent and received. By an unknown key it shows nothing; a wrong one contradicts.
 * The seller's own statement of those hashes counts for nothing but must not contradict.
 */
export async function judgeSignature(
  core: ReceiptCore,
  signer: { key: { spki: Bytes; keyId: Hex } | null; known: boolean },
  policy: AppraisalPolicy,
  session: VerificationCache,
): Promise<LayerResult> {
  const found = onlySignature(core.evidence);
  if (found.kind === "none")
    return bearsUnread(core)
      ? skip("signature_unread", "The answer holds a signature, and it could not be read.")
      : skip("not_signed", "The seller signed nothing.");
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one response signature.");
  const { key: signingKey, known } = signer;
  if (signingKey === null)
    return skip("key_not_verified", "There is a signature, but no key that passed to check it with.");
  const { evidence } = found;
  if (evidence.kind === "signature.oyster") return judgeOysterSignature(core, evidence, { key: signingKey, known });
  const publicKey = toBase64(signingKey.spki);
  if (
    evidence.teeId !== signingKey.keyId ||
    session.keyIdOf(publicKey) !== signingKey.keyId ||
    core.seller.keyId !== signingKey.keyId
  ) {
    return fail("key_mismatch", "The response is signed by another key than the seller's.");
  }
  const signed = signedHashes(core, evidence);
  if ("status" in signed) return signed;
  const at = evidence.timestamp * 1000;
  const skew = policy.clockSkewSeconds * 1000;
  // The signed time has whole seconds, so it may lie up to one second before the request.
  if (at < Date.parse(core.request.sentAt) - skew - 1000 || at > Date.parse(core.response.receivedAt) + skew) {
    return fail("signature_time", "The response was signed outside the time of this exchange.");
  }
  const key = await session.rsaKey(publicKey);
  const modulus = key === null ? 0 : (key.algorithm as RsaHashedKeyAlgorithm).modulusLength;
  if (key === null || modulus < MIN_MODULUS || modulus > MAX_MODULUS)
    return fail("key_unusable", "The seller's key is not an RSA key of 2048 to 8192 bits.");
  const message = teeMessageHash({
    requestHash: fromHex(signed.requestHash),
    outputHash: fromHex(signed.outputHash),
    timestamp: evidence.timestamp,
  });
  if (!(await isPssSigned(key, fromBase64(evidence.signature), message)))
    return fail("signature_invalid", "The response signature does not verify.");
  return known
    ? pass(`The seller's known key signed exactly ${signed.what}.`)
    : skip("key_not_known", `A key that the policy does not know signed exactly ${signed.what}.`);
}
