import { newestAppraisal } from "../receipts/newest.ts";
import type { Receipt } from "../receipts/schema.ts";
import { isSignature } from "../receipts/signature-schema.ts";
import { isAnswer, isCut } from "../receipts/transfer.ts";
import type { Seller } from "../market/types.ts";
import type { HoldReason } from "./hold-reasons.ts";

/** The code of a signature that an attesting seller left out of its answer, or gave in an unread form. Null without either. */
export function withheldFrom({ assurance }: Seller, receipt: Receipt): HoldReason | null {
  if (assurance === "none" || !isAnswer(receipt.core) || isCut(receipt.core)) return null;
  if (receipt.core.evidence.some(isSignature)) return null;
  return newestAppraisal(receipt).layers.response.code === "signature_unread"
    ? "evidence_withheld: the answer's signature could not be read"
    : "evidence_withheld: the answer came without its signature";
}
