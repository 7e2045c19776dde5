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
export { reportSchema, serializeReport, type Report } from "../receipts/report-schema.ts";
export type { Decision } from "../receipts/decision-schema.ts";
export { readFacts, type Facts, type PlatformFacts } from "./facts.ts";
export { appraisalPolicySchema, policyHash, trustSchema, type AppraisalPolicy, type SellerPolicy } from "./policy.ts";
export { createVerificationCache, type VerificationCache } from "./verification-cache.ts";
export type { EzklCheck, EzklEngine, EzklOutcome } from "./types.ts";
export { requiredLayers } from "./verdict.ts";
export { verifyReceipt, type Verification } from "./verify-receipt.ts";
export { verifyReport, type JudgedReport, type ReportVerification } from "./verify-report.ts";
export type { ReportProblem } from "./report-problems.ts";
