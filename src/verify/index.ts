/**
 * proof402/verify: check a receipt offline, in Node or a browser. No network, no clock, no wallet.
 *
 * @module
 */
export {
  createReceipt,
  parseReceipt,
  receiptId,
  redactReceipt,
  serializeReceipt,
  type ParsedReceipt,
} from "../receipts/receipt.ts";
export {
  receiptSchema,
  type Appraisal,
  type Assurance,
  type Evidence,
  type Layer,
  type LayerResult,
  type Receipt,
  type Status,
  type Verdict,
} from "../receipts/schema.ts";
export { appraise } from "./appraise.ts";
export { appraiseAttestation, type AttestationAppraisal } from "./attestation.ts";
export { AWS_NITRO_ROOT, verifyNitroDocument, type NitroCheck, type NitroResult } from "./nitro.ts";
export { appraisalPolicySchema, type AppraisalPolicy, type ReferenceValues } from "./policy.ts";
export { createVerifySession, type VerifySession } from "./session.ts";
export { requiredLayers } from "./verdict.ts";
export type { AppraiseInput, EzklCheck, EzklEngine, EzklOutcome, Outstanding } from "./types.ts";
