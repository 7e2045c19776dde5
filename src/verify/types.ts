import type { Layer, LayerResult, Receipt } from "../receipts/schema.ts";
import type { AppraisalPolicy } from "./policy.ts";

/**
 * What the relying party knows of evidence that a receipt does not hold: it is still awaited, or was given up. It stands
 * in its layer only where the receipt has no evidence for it, and can never make one pass.
 */
export type Outstanding = {
  layer: Layer;
  status: "pending" | "skip" | "fail";
  code: string;
  note: string;
  /** Whether the verdict waits for it, also where its layer is not required. */
  holdsVerdict: boolean;
};

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
  /** The receipt's re-execution is the relying party's own. Anybody else's shows nothing. */
  ownReplay?: boolean;
  /** Evidence that the relying party waits for or has given up. */
  outstanding?: readonly Outstanding[];
};

export const pass = (note: string, code = "ok"): LayerResult => ({ status: "pass", code, note });
export const fail = (code: string, note: string): LayerResult => ({ status: "fail", code, note });
export const skip = (code: string, note: string): LayerResult => ({ status: "skip", code, note });
export const pending = (code: string, note: string): LayerResult => ({ status: "pending", code, note });
export const unsupported = (code: string, note: string): LayerResult => ({ status: "unsupported", code, note });
