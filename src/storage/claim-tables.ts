import type { Generated, Selectable } from "kysely";

/**
 * States of a claim.
 *
 * claimed:   used up for an action that has not begun, or for a purpose without one.
 * invoking:  written before the action's function is called; the action may have an effect from here on.
 * done:      the action returned, or was found to have happened.
 * failed:    the action surely did not happen. If it had begun, its place is for the same action alone.
 * undecided: the action threw, and may have had an effect or not. Stays used until somebody decides it.
 */
export const CLAIM_STATES = ["claimed", "invoking", "done", "failed", "undecided"] as const;
export type ClaimState = (typeof CLAIM_STATES)[number];

/**
 * Receipts used up as the reason for an action, and what became of it. Rows without an `idempotency_key` name no tool: they
 * were made for a purpose alone, or before tools were noted.
 */
export type ReceiptClaimsTable = {
  /** Drawn by the database. */
  id: Generated<string>;
  receipt_id: string;
  purpose: string;
  /** Unix ms, as all times here. */
  at: number;
  /** Payment nonce of the receipt. Of claims older than that rule the receipt's id may stand here. */
  purchase: string;
  state: Generated<ClaimState>;
  /** RFC 8785 JSON of what the action ran with, and the sha256 of it, hex. */
  arguments: string | null;
  arguments_sha256: string | null;
  /** What it returned or threw, as text, its beginning. */
  outcome: string | null;
  ended_at: number | null;
  /** Empty for the one action of a purchase, else `KIND/NUMBER`. Unique with purchase and purpose among claims not failed. */
  place: Generated<string>;
  /** A named kind of action, and the most of it that the guard lets one purchase justify. */
  kind: string | null;
  most: number | null;
  tool: string | null;
  /** sha256 of the requirement that the receipt met, hex. */
  requirement: string | null;
  idempotency_key: string | null;
  /** The process that made the claim. */
  owner: string | null;
  begun_at: number | null;
  decided_at: number | null;
  /** `settle` for the action's own function, `person` for a person. */
  decided_by: "settle" | "person" | null;
  note: string | null;
  /** How the action ended after it had been decided, and what it returned or threw. The decision stands beside it. */
  late_state: "done" | "failed" | "undecided" | null;
  late_outcome: string | null;
  late_at: number | null;
};

/** A stored claim. */
export type ClaimRow = Selectable<ReceiptClaimsTable>;

/** What guards demanded, each once: its RFC 8785 JSON by its sha256. */
export type GuardRequirementsTable = { sha256: string; json: string };

/** Emergency stops. One without an end is in force. */
export type GuardStopsTable = { id: Generated<number>; reason: string; at: number; ended_at: number | null };
