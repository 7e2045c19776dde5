/** The differences that an audit finds between the log and the store, each with one sentence. */
export const AUDIT_CODES = {
  log_gap: "An entry is missing.",
  log_chain: "An entry does not follow the one before it.",
  log_truncated: "The log once had more entries.",
  log_behind_root: "The log has fewer entries than a root over it on chain.",
  log_unlike_root: "A root on chain is over other entries than the log's.",
  log_root_hidden: "A root was published, and the chain shows none.",
  log_entry_altered: "An entry was altered.",
  log_entry_misplaced: "An entry records what cannot come at its place.",
  receipt_altered: "A stored receipt is not what was logged.",
  content_missing: "Bytes that a stored receipt names are not stored any more.",
  content_altered: "Bytes that a stored receipt names do not have their hash any more.",
  receipt_missing: "A logged receipt is not stored any more.",
  receipt_not_logged: "A stored receipt has no entry.",
  claim_altered: "The actions that a receipt justified are not what was logged.",
  job_altered: "The outcomes of late evidence are not what was logged.",
  hold_altered: "A seller's hold is not what was logged.",
  stop_altered: "An emergency stop is not what was logged.",
  purchase_altered: "A purchase's receipt, amount or share is not what was logged.",
  decision_altered: "A decision is not what was logged, or not in its place.",
  decision_before_receipt: "A decision stands before a receipt that it rests on.",
  decision_missing: "A logged decision is not stored any more.",
  decision_not_logged: "A stored decision has no entry.",
} as const;
type AuditCode = keyof typeof AUDIT_CODES;

/**
 * Outcome of walking the log. `contradicted` names the guarded actions that ended otherwise than a person or a `settle` had
 * decided before. `seq` and `receiptId` (a decision's id, too) name where it breaks, as far as that can be said. */
export type AuditResult =
  | {
      ok: true;
      entries: number;
      receipts: number;
      /** Those with pruned bodies. */
      pruned: number;
      decisions: number;
      contradicted: string[];
      head: string;
    }
  | { ok: false; seq: number | null; receiptId: string | null; code: AuditCode; message: string };

/** Where an audit breaks. */
export type Broken = AuditResult & { ok: false };

/** Says where an audit breaks. */
export const broken = (seq: number | null, receiptId: string | null, code: AuditCode, message: string): Broken => ({
  ok: false,
  seq,
  receiptId,
  code,
  message,
});
