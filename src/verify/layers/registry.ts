import type { NitroPayload } from "../../evidence/nitro.ts";
import { pcrHashOf } from "../../evidence/registry.ts";
import type { Evidence, LayerResult } from "../../receipts/schema.ts";
import { onlyOne } from "../find-evidence.ts";
import type { SellerPolicy } from "../policy.ts";
import { fail, skip } from "../types.ts";

/** The contradictions of a registry's entry, by the layer of what it contradicts. */
export type RegistryAppraisal = { key: LayerResult | null; code: LayerResult | null };

/** What attestation and connection say of themselves. */
type Shown = { keyId: string; payload: NitroPayload | null; tls: string | null; origin: string | undefined };

/**
 * Compares a registry's entry with the policy, the attestation and the connection's certificate. An entry is the buyer's
 * own sight of a chain, so it can take a verdict away and never give one.
 */
export function judgeRegistry(
  evidence: readonly Evidence[],
  shown: Shown,
  policy: SellerPolicy | undefined,
): RegistryAppraisal {
  const found = onlyOne(evidence, "registry.tee");
  if (found.kind === "none") {
    const note = "The policy names a registry for this seller, and no entry of it is on record.";
    return { key: policy?.registry === undefined ? null : skip("registry_missing", note), code: null };
  }
  if (found.kind === "many") {
    const note = "There is more than one registry entry of the seller.";
    return { key: fail("ambiguous_evidence", note), code: null };
  }
  const entry = found.evidence;
  const pcrHash = shown.payload === null ? null : measuredIn(shown.payload);
  return {
    key: keyFault(entry, shown, policy),
    code:
      pcrHash === null || pcrHash === entry.pcrHash
        ? null
        : fail("registry_code_mismatch", "The measured code is not the one in the seller's registry entry."),
  };
}

function keyFault(
  entry: Extract<Evidence, { kind: "registry.tee" }>,
  { keyId, tls, origin }: Shown,
  policy: SellerPolicy | undefined,
): LayerResult | null {
  const { registry } = policy ?? {};
  const isPinned = (["network", "contract", "teeType"] as const).every((field) => registry?.[field] === entry[field]);
  if (registry !== undefined && !isPinned)
    return fail("registry_mismatch", "The entry is of another registry than the policy names for this seller.");
  if (origin !== undefined && entry.origin !== origin)
    return fail("registry_place_mismatch", "The registry entry is of another place than the one that was talked to.");
  if (entry.teeId !== keyId)
    return fail("registry_key_mismatch", "The signing key is not the one in the seller's registry entry.");
  return tls === null || tls === entry.certificateSha256
    ? null
    : fail("registry_tls_mismatch", "The TLS certificate is not the one in the seller's registry entry.");
}

function measuredIn({ pcrs }: NitroPayload): string | null {
  const [first, second, third] = [pcrs.get(0), pcrs.get(1), pcrs.get(2)];
  return first === undefined || second === undefined || third === undefined ? null : pcrHashOf([first, second, third]);
}

/** Whether a set of measurements has this compact form. */
export const isPinnedImage = (payload: NitroPayload, hashes: readonly string[]): boolean => {
  const hash = measuredIn(payload);
  return hash !== null && hashes.includes(hash);
};

/** The certificate of the buyer's connection by its own word, hex; null without one. */
export function seenCertificate(evidence: readonly Evidence[]): string | null {
  const seen = onlyOne(evidence, "tls.peer");
  return seen.kind === "one" ? seen.evidence.certificateSha256 : null;
}
