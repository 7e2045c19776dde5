import type { ReportRequest } from "../receipts/report.ts";
import type { Report } from "../receipts/report-schema.ts";
import type { Decision } from "../receipts/decision-schema.ts";

/** A decision to record. */
export type DecisionInput = {
  /** The kind of decision in a few words, such as `payroll`; at most 128 characters on one line. */
  purpose: string;
  /** The thing that it is about, such as an invoice's number; at most 512 characters on one line. */
  subject: string;
  /** Ids of the 1 to 16 stored receipts that it rests on. */
  receipts: readonly string[];
  /** Plain data: the action with its arguments. At most 65,536 bytes of JSON, 16 levels deep. */
  action: unknown;
  /** What came of it, at most 4,000 characters. */
  outcome: string;
  /** The person who decided, by name. Left out if a program did. */
  person?: string | undefined;
  /** Another person, of a decision that takes two. */
  second?: string | undefined;
  /** The name of the program that decided, or that a person used. */
  program?: string | undefined;
};

/** The decisions of a buyer, in the hash-chained log of its receipts. */
export type DecisionLog = {
  /**
   * Appends a decision to the log, with the verdict of each receipt as of now under this buyer's policy. A decision of any
   * verdict is recorded: whether to act is the caller's. Throws Proof402Error `decision_invalid` and `receipt_not_found`.
   */
  decide(decision: DecisionInput): Promise<Decision>;
  /** Recorded decisions, the newest first: `limit` (50, at most 1,000) after the `skip` newest. Made at `from` or later and before `to`. */
  decisions(options?: {
    purpose?: string | undefined;
    from?: Date | undefined;
    to?: Date | undefined;
    limit?: number | undefined;
    skip?: number | undefined;
  }): Promise<Decision[]>;
  /** One of them by its id, or by the beginning that no other id has. Throws `decision_not_found` and `decision_ambiguous`. */
  decision(id: string): Promise<Decision>;
  /**
   * The decisions of a period with their receipts and the log of that time, for `serializeReport` to write and an auditor to
   * verify. A period reaches no further than now. Throws Proof402Error `invalid_input`, `report_too_large` and
   * `receipt_store_damaged`.
   */
  report(request: ReportRequest): Promise<Report>;
  /**
   * Number and hash of the log's newest entry. Kept elsewhere it shows later whether the end of the log, or of a report, was
   * cut off.
   */
  logHead(): Promise<{ seq: number; hash: string }>;
};
