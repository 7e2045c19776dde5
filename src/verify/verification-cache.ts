import { fromBase64, type Bytes, type Hex } from "../evidence/bytes.ts";
import { createSignerCheck } from "../evidence/signer.ts";
import { TEE_SIGNATURE_ALGORITHM, teeIdOf } from "../evidence/tee-signature.ts";
import { policyHash, type AppraisalPolicy } from "./policy.ts";
import { readManifest, type Manifest } from "./tee/manifest.ts";
import { readNitroFacts, type NitroFacts } from "./tee/nitro.ts";

/**
 * Keeps costly and unchanging results: a document's content under a set of roots, a manifest's, keys and their ids, and
 * whether a proof or a payer's signature holds. Judges times at every use, and uses nothing kept for one key for another.
 */
export type VerificationCache = {
  /** `document` in base64, as receipts carry it: it is decoded only where nothing is kept of it. */
  nitroFacts(document: string, simulatedRoots: readonly string[]): Promise<NitroFacts>;
  /** The digest and the entries of a model manifest in base64, as receipts carry it. Throws on other text. */
  manifest(manifest: string): Manifest;
  /** The id of a signing key, a DER SubjectPublicKeyInfo in base64: its keccak256, 0x hex. Throws on other text. */
  keyIdOf(publicKey: string): Hex;
  /** Imports such a key for RSA-PSS with SHA-256, null if it is no such key. Throws on other text. */
  rsaKey(publicKey: string): Promise<CryptoKey | null>;
  /** Names a policy by its hash, as it stands at this moment. */
  policyHash(policy: AppraisalPolicy): string;
  /** Checks that the key of an address made a signature of a hash, all 0x hex in lower case. */
  isSignedBy(signature: string, hash: string, address: string): boolean;
  /** Runs `check` once per `statement`, so the statement has to hold everything the check reads. */
  holds(statement: string, check: () => boolean): boolean;
};

const MAX_KEPT = 256;
/** The most manifests, which may have a megabyte each. */
const FEW = 16;

/**
 * A cache lives as long as its owner; two caches share nothing.
 *
 * @example
 * ```ts
 * import { createVerificationCache, verifyReceipt, type AppraisalPolicy } from "proof402/verify";
 *
 * // Many files of one seller: its attestation is opened once.
 * async function countVerified(files: readonly Uint8Array[], policy: AppraisalPolicy): Promise<number> {
 *   const session = createVerificationCache();
 *   const all = await Promise.all(files.map((file) => verifyReceipt(file, policy, { session })));
 *   return all.filter((one) => one.ok && one.appraisal.verdict === "verified").length;
 * }
 * ```
 */
export function createVerificationCache(): VerificationCache {
  const facts = new Map<string, Promise<NitroFacts>>();
  const manifests = new Map<string, Manifest>();
  const ids = new Map<string, Hex>();
  const keys = new Map<string, Promise<CryptoKey | null>>();
  const held = new Map<string, boolean>();
  let policyNamed = { text: "", hash: "" };
  const isSigner = createSignerCheck();
  return {
    // Nothing kept for one set of roots is found for another.
    nitroFacts: (document, simulatedRoots) =>
      kept(facts, [document, ...simulatedRoots].join(), () => readNitroFacts(fromBase64(document), simulatedRoots)),
    manifest: (text) => kept(manifests, text, () => readManifest(fromBase64(text)), FEW),
    keyIdOf: (publicKey) => kept(ids, publicKey, () => teeIdOf(fromBase64(publicKey))),
    rsaKey: (publicKey) => kept(keys, publicKey, () => importRsaKey(fromBase64(publicKey))),
    policyHash(policy) {
      // A policy is the caller's and may change, so its text names it and not the object.
      const text = JSON.stringify(policy);
      if (policyNamed.text !== text) policyNamed = { text, hash: policyHash(policy) };
      return policyNamed.hash;
    },
    isSignedBy: (...signed) => kept(held, ["signed", ...signed].join(), () => isSigner(...signed)),
    holds: (statement, check) => kept(held, statement, check),
  };
}

function kept<T>(map: Map<string, T>, key: string, make: () => T, most = MAX_KEPT): T {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  const oldest = map.keys().next();
  if (map.size > most && !oldest.done) map.delete(oldest.value);
  return made;
}

async function importRsaKey(spki: Bytes): Promise<CryptoKey | null> {
  try {
    const { name, hash } = TEE_SIGNATURE_ALGORITHM;
    return await crypto.subtle.importKey("spki", spki, { name, hash }, false, ["verify"]);
  } catch {
    return null;
  }
}
