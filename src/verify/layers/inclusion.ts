import { fromBase64, toHex0x } from "../../evidence/bytes.ts";
import { leafHash, readBatchSettlement, rootOfPath, type InclusionLeaf } from "../../evidence/inclusion.ts";
import type { LayerResult, Receipt } from "../../receipts/schema.ts";
import { allEvidence, onlyOne, onlySignature, type IsOwn } from "../find-evidence.ts";
import { sellerOf, type AppraisalPolicy } from "../policy.ts";
import { fail, pass, pending, reported, skip } from "../types.ts";

const LEAF_FIELDS = ["teeId", "inputHash", "outputHash", "signature", "timestamp"] as const;

/**
 * `inclusion`: exactly this answer, as its seller signed it, is a leaf under a root that the pinned relay contract's
 * event carries. Makes the leaf from the receipt's own hashes and signature. Contract and network come from the policy,
 * and the evidence has to agree with them.
 */
export function judgeInclusion(
  receipt: Receipt,
  exchange: { request: LayerResult; response: LayerResult },
  policy: AppraisalPolicy,
  isOwn: IsOwn,
): LayerResult {
  const { core } = receipt;
  const relays = sellerOf(policy, core.seller.id)?.relays ?? [];
  const found = onlyOne(allEvidence(receipt), "inclusion.merkle");
  if (found.kind === "many") return fail("ambiguous_evidence", "There is more than one inclusion of one answer.");
  const signed = onlySignature(core.evidence).kind === "one";
  if (found.kind === "none") {
    if (relays.length === 0) return skip("no_evidence", "The result's hashes are not anchored on chain.");
    if (!signed) return skip("not_signed", "No signature was read, so there is nothing to anchor.");
    return pending("no_evidence", "The answer was not seen under a root on chain yet.");
  }
  const { evidence } = found;
  const leaf = inclusionLeafOf(receipt);
  if (leaf === null)
    return fail("leaf_not_signed", "A batch names this answer, but the receipt has no signature of it.");
  const other = LEAF_FIELDS.find((field) => evidence.leaf[field] !== leaf[field]);
  if (other !== undefined) return fail("leaf_mismatch", `The leaf's ${other} is not that of this answer.`);
  const root = rootOfPath(leafHash(leaf), evidence.path, evidence.count);
  if (root === null) return fail("path_invalid", "No batch of that many answers has such a path.");
  if (root !== evidence.root) return fail("root_mismatch", "The path does not lead from this answer to the root.");
  const anchored = readBatchSettlement(evidence.log);
  if (anchored === null) return fail("event_invalid", "The log is not the event of an anchored batch.");
  if (anchored.root !== root) return fail("anchored_root_mismatch", "The event on chain anchors another root.");
  if (anchored.count !== BigInt(evidence.count))
    return fail("count_mismatch", "The event on chain anchors a batch of another size.");
  // The chain's clock and the seller's may differ; a root cannot be older than what is under it.
  if (evidence.blockTime < leaf.timestamp - policy.clockSkewSeconds)
    return fail("anchored_too_early", "The root was anchored before the answer was signed.");
  if (relays.length === 0) return skip("relay_not_pinned", "The policy names no relay contract for this seller.");
  if (!relays.some(({ network }) => network === evidence.network))
    return fail("network_mismatch", "The root is anchored on another chain than the policy names.");
  const pinned = ({ network, contract }: (typeof relays)[number]): boolean =>
    network === evidence.network && contract === evidence.log.address;
  if (!relays.some(pinned))
    return fail("contract_mismatch", "The root is anchored at another contract than the policy names.");
  if (exchange.request.status !== "pass" || exchange.response.status !== "pass")
    return skip("signature_not_verified", "The leaf's signature did not pass, so anyone could have made the leaf.");
  const note = `The answer is under the root in transaction ${evidence.transaction}.`;
  return isOwn(evidence)
    ? pass(note)
    : reported("inclusion_reported", `The file tells this, and it was not read from the chain here: ${note}`);
}

/** The one leaf that stands for this receipt's answer, or null where its seller did not sign exactly once. */
export function inclusionLeafOf(receipt: Receipt): InclusionLeaf | null {
  const { core } = receipt;
  const found = onlySignature(core.evidence);
  // A signature without a time is in no batch's form.
  if (found.kind !== "one" || !("timestamp" in found.evidence) || core.seller.keyId === null) return null;
  // The hashes of other forms than the bytes are the evidence's own, compared with the bytes where the signature is judged.
  const { requestHash, outputHash } =
    found.evidence.kind === "signature.tee"
      ? { requestHash: core.request.keccak256, outputHash: core.response.keccak256 }
      : found.evidence;
  return {
    teeId: core.seller.keyId,
    inputHash: `0x${requestHash}`,
    outputHash: `0x${outputHash}`,
    signature: toHex0x(fromBase64(found.evidence.signature)),
    timestamp: found.evidence.timestamp,
  };
}
