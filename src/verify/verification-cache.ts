import { fromBase64, toBase64, type Bytes } from "../evidence/bytes.ts";
import { createSignerCheck } from "../evidence/signer.ts";
import { TEE_SIGNATURE_ALGORITHM } from "../evidence/tee-signature.ts";
import { policyHash, type AppraisalPolicy } from "./policy.ts";
import { readNitroFacts, type NitroFacts } from "./tee/nitro.ts";

/**
 * Keeps costly and unchanging results: a document's content under a set of roots, imported keys, and whether a proof or
 * a payer's signature holds. Judges times at every use, and uses nothing kept for one key for another.
 */
export type VerificationCache = {
  /** `document` in base64, as receipts carry it: it is decoded only where nothing is kept of it. */
  nitroFacts(document: string, simulatedRoots: readonly string[]): Promise<NitroFacts>;
  /** Imports the RSA key of a DER SubjectPublicKeyInfo for PSS with SHA-256, null if it is no such key. */
  rsaKey(spki: Bytes): Promise<CryptoKey | null>;
  /** Names a policy by its hash, as it stands at this moment. */
  policyHash(policy: AppraisalPolicy): string;
  /** Checks that the key of an address made a signature of a hash, all 0x hex in lower case. */
  isSignedBy(signature: string, hash: string, address: string): boolean;
  /** Runs `check` once per `statement`, so the statement has to hold everything the check reads. */
  holds(statement: string, check: () => boolean): boolean;
};

const MAX_KEPT = 256;

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
  const keys = new Map<string, Promise<CryptoKey | null>>();
  const held = new Map<string, boolean>();
  const policies = new Map<string, string>();
  const isSigner = createSignerCheck();
  return {
    nitroFacts: (document, simulatedRoots) =>
      // The whole of both is the key, so that nothing kept for one document or set of roots is found for another.
      kept(facts, `${simulatedRoots.join()} ${document}`, () => readNitroFacts(fromBase64(document), simulatedRoots)),
    rsaKey: (spki) => kept(keys, toBase64(spki), () => importRsaKey(spki)),
    // A policy is the caller's and may change, so its text is the key and not the object.
    policyHash: (policy) => kept(policies, JSON.stringify(policy), () => policyHash(policy)),
    isSignedBy: (...signed) => kept(held, ["signed", ...signed].join(), () => isSigner(...signed)),
    holds: (statement, check) => kept(held, statement, check),
  };
}

function kept<T>(map: Map<string, T>, key: string, make: () => T): T {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  const oldest = map.keys().next();
  if (map.size > MAX_KEPT && !oldest.done) map.delete(oldest.value);
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
