/** What a report's check can find wrong with it, each with one sentence. */
export const REPORT_PROBLEMS = {
  report_altered: "The report's digest is not the hash of what it holds.",
  chain_altered: "An entry of the log is not what was hashed, or does not follow the one before it.",
  chain_gap: "An entry of the log is left out or out of order.",
  chain_start: "The log's part begins later than the period.",
  chain_time: "An entry of the log is older than one before it, so its time shows nothing.",
  period_open: "The period has no length, or ends after the report was made.",
  head_missing: "The log does not hold a head that was handed over.",
  decision_altered: "A decision is not what was logged.",
  decision_dropped: "A logged decision of the period is left out.",
  decision_not_logged: "A decision is not in the log.",
  decision_misplaced: "A decision stands twice or out of order.",
  decision_repeated: "Two entries of the log are of one decision.",
  decision_outside: "A decision is not of the report's period or purpose.",
  decision_before_receipt: "A decision stands before a receipt that it rests on, by time or place.",
  receipt_altered: "A receipt is not what was logged, or cannot be read.",
  receipt_missing: "A decision names a receipt that is left out.",
  receipt_stray: "No decision names a receipt, or it stands twice.",
  receipt_rival: "Two receipts are of one purchase.",
} as const;

/** A problem of a report, and what it is about as far as that can be said. */
export type ReportProblem = {
  code: keyof typeof REPORT_PROBLEMS;
  message: string;
  decision: string | null;
  receipt: string | null;
  /** Number of the log's entry. */
  seq: number | null;
};

/** A problem, with its places. */
export const problem = (
  code: ReportProblem["code"],
  message: string,
  { decision = null, receipt = null, seq = null }: Partial<Pick<ReportProblem, "decision" | "receipt" | "seq">> = {},
): ReportProblem => ({ code, message, decision, receipt, seq });
