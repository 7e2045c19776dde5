import type { Appraisal, Evidence } from "../receipts/schema.ts";
import { isSignature } from "../receipts/signature-schema.ts";

/**
 * Reads when the seller's key says that it signed the answer, unix ms with whole seconds; null if no key said it. The
 * appraisal's verdict must be `verified`: below `proven` a verdict rests on the signature, and a proof can stand beside
 * an unchecked signature.
 */
export function signedAt(
  // A buyer that a caller wrote may hand out receipts without the list.
  { core }: { core: { evidence?: readonly Evidence[] } },
  { assurance, layers }: Appraisal,
): number | null {
  if (assurance === "proven" && layers.response.status !== "pass") return null;
  const signature = core.evidence?.find(isSignature);
  return signature === undefined || !("timestamp" in signature) ? null : signature.timestamp * 1000;
}
