import type { Evidence, Layer, LayerResult, Receipt } from "../receipts/schema.ts";
import type { LayerCode } from "./codes.ts";
import type { AppraisalPolicy } from "./policy.ts";

/**
 * The relying party's knowledge of missing evidence: still awaited, or given up. It stands in its layer only where no
 * evidence of the receipt decides that, and can never make one pass.
 */
export type Outstanding = {
  layer: Layer;
  status: "pending" | "skip" | "fail";
  code: LayerCode<"pending" | "skip" | "fail">;
  note: string;
  /** Whether the verdict waits for it, also where its layer is not required. */
  holdsVerdict: boolean;
};

/**
 * A question to an EZKL engine: a proof file of public numbers and proof only, and the material to check it against.
 */
export type EzklCheck = {
  proof: Uint8Array;
  /** EZKL's verification key file. */
  key: Uint8Array;
  /** EZKL's settings file. */
  settings: Uint8Array;
  /** KZG parameters in halo2's form, as far as checking needs them. */
  srs: Uint8Array;
};

/**
 * `refused`: the engine took the proof for wrong, or broke on it. The others say nothing of the proof: key, settings or
 * parameters are none that the engine reads, there is no such engine here, it was stopped at its time limit, or its
 * process ended without an answer.
 */
export type EzklOutcome = "valid" | "refused" | "unreadable" | "missing" | "timeout" | "crashed";

/** Checks EZKL proofs. It comes from the caller, who also bounds its time: verification itself is pure. */
export type EzklEngine = (check: EzklCheck) => Promise<EzklOutcome>;

/** Other receipts that name the nonce of this one's payment: of a purchase there is one, so at most one of them is true. */
export type Rivals = {
  /** Their ids. */
  others: readonly string[];
  /** The one of this buyer's own purchase: this receipt, another, or null where it made none with that nonce. */
  own: string | null;
  /** An imported one that holds up by itself, or null. Beside an own one none counts. */
  contestedBy: string | null;
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
  /**
   * The evidence of this receipt that the relying party saw or computed itself, because it bought the answer or read
   * the chain again. Everything else told by a file is `reported`, and its re-executions show nothing.
   */
  own?: readonly Evidence[] | undefined;
  /** Whether the relying party made this receipt: of anybody else's the maker's `failed` stands. */
  madeHere?: boolean;
  /** What else the relying party has stored of the same purchase. */
  rivals?: Rivals | undefined;
  /** Checks EZKL proofs. Without it they are left unjudged. */
  ezkl?: EzklEngine;
  /** Evidence that the relying party waits for or has given up. */
  outstanding?: readonly Outstanding[];
};

export const pass = (note: string, code: LayerCode<"pass"> = "ok"): LayerResult => ({ status: "pass", code, note });
export const fail = (code: LayerCode<"fail">, note: string): LayerResult => ({ status: "fail", code, note });
export const skip = (code: LayerCode<"skip">, note: string): LayerResult => ({ status: "skip", code, note });
export const pending = (code: LayerCode<"pending">, note: string): LayerResult => ({ status: "pending", code, note });
export const reported = (code: LayerCode<"reported">, note: string): LayerResult => ({
  status: "reported",
  code,
  note,
});
export const unsupported = (code: LayerCode<"unsupported">, note: string): LayerResult => ({
  status: "unsupported",
  code,
  note,
});
