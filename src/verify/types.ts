import type { LayerResult, Receipt } from "../receipts/schema.ts";
import type { AppraisalPolicy } from "./policy.ts";

/** What an appraisal is asked. Everything it needs is here: no network, no clock. */
export type AppraiseInput = {
  receipt: Receipt;
  policy: AppraisalPolicy;
  /** When this appraisal is made (recorded in it). */
  now: Date;
  /**
   * The time certificates, validity and age are judged at.
   * Live: the verifier's own clock when the answer came. Archive: the purchase time, or a time the auditor names.
   */
  evaluateAt: Date;
};

export const pass = (note: string, code = "ok"): LayerResult => ({ status: "pass", code, note });
export const fail = (code: string, note: string): LayerResult => ({ status: "fail", code, note });
export const skip = (code: string, note: string): LayerResult => ({ status: "skip", code, note });
export const pending = (code: string, note: string): LayerResult => ({ status: "pending", code, note });
export const unsupported = (code: string, note: string): LayerResult => ({ status: "unsupported", code, note });
