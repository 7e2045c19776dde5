import type { Receipt } from "../receipts/schema.ts";
import type { ClaimState } from "../storage/claim-tables.ts";
import type { GuardStop } from "./guard-stop.ts";

/** An action that a claim is for. */
export type ClaimedAction = {
  /** What it will run with: RFC 8785 JSON, and the sha256 of it, hex. */
  arguments: { json: string; sha256: string };
  /** Also for a receipt that is not of a purchase in this buyer's own journal. */
  allowImported?: boolean;
};

/**
 * How much of a purchase an action uses up: all of it, so that no other action runs on it, or one of `times` actions of a
 * named kind. Of two limits for one kind the smaller counts.
 */
export type Spends = "once" | { kind: string; times: number };

/** An action that asks for its place on a purchase. */
export type ActionRequest = ClaimedAction & {
  /** The name of the tool or function. */
  tool: string;
  /** The requirement that the receipt met: RFC 8785 JSON, and the sha256 of it, hex. */
  requirement: { json: string; sha256: string };
  spends: Spends;
};

/** A guarded action on the record. */
export type ActionRecord = {
  /** Names the claim, for `settle`. */
  id: string;
  receiptId: string;
  purpose: string;
  /** Null of claims from before tools were noted. */
  tool: string | null;
  arguments: ClaimedAction["arguments"] | null;
  /** sha256 of the requirement, hex. */
  requirement: string | null;
  spends: Spends;
  /** The same for the same action again in the same place, and for no other. */
  idempotencyKey: string | null;
  /**
   * `claimed`: not begun. `invoking`: under way. `done`: it returned, or was found to have happened. `failed`: it surely did
   * not happen. `undecided`: it threw, or its process ended in the middle.
   */
  state: ClaimState;
  /** Whether its process runs; null where that cannot be seen from this machine. */
  running: boolean | null;
  at: string;
  begunAt: string | null;
  endedAt: string | null;
  /** What it returned or threw, as text, its beginning. */
  outcome: string | null;
  decidedAt: string | null;
  decidedBy: "settle" | "person" | null;
  note: string | null;
  /** The action's own end, if it came after the decision, and whether it says the opposite. */
  lateEnd: { state: "done" | "failed" | "undecided"; outcome: string; at: string; contradicts: boolean } | null;
};

/** What became of an undecided action. */
export type ActionDecision = {
  state: "done" | "failed";
  by: "settle" | "person";
  note: string;
  /** A person's word: the action's process runs no more, although it seems to. */
  notRunning?: boolean;
};

/** The actions of guards: each has its place on a purchase, durably and across processes, and its states in the log. */
export interface Actions {
  /** Names the newest entry of the log. Taken before a receipt is judged, it shows a claim what came after. */
  moment(): Promise<number>;
  /**
   * Gives an action its place on a receipt's purchase, or the actions that take it. With `begins` it writes in the same moment
   * that the action begins: its function is called next, and `begin` is not. With `judged` it makes no claim if the log has
   * grown by anything about the receipt since that moment, or if the judgement does not hold any more. Throws Proof402Error `guard_stopped`,
   * `receipt_not_found` and `receipt_imported`, and the reason of `signal`.
   */
  claim(
    receiptId: string,
    request: ActionRequest,
    options?: {
      begins?: boolean;
      signal?: AbortSignal | undefined;
      judged?: { receipt: Receipt; at: number; holds: () => boolean };
    },
  ): Promise<{ id: string; idempotencyKey: string } | { takenBy: ActionRecord[] } | { changed: true }>;
  /**
   * For a claim made without `begins`: written right before the action's function is called. False where the claim is
   * `claimed` no more: the function must not be called. Throws Proof402Error `guard_stopped`.
   */
  begin(id: string): Promise<boolean>;
  /**
   * How an action ended; `failed` only if it surely did not happen. Of one not begun it gives the place back. Survives the death
   * of the process; one that the power's loss takes leaves the action `undecided`. Of an action that was decided before, it
   * stands beside the decision as `lateEnd`.
   */
  end(id: string, ended: { state: "done" | "failed" | "undecided"; outcome: string }): Promise<void>;
  /** Decides an action without a known end. Throws Proof402Error `action_not_found`, `action_decided` and `action_running`. */
  decide(id: string, decision: ActionDecision): Promise<ActionRecord>;
  /** The newest first: all, those without a decision, those of a tool, or the one of an id. */
  list(options?: { open?: boolean; id?: string; tool?: string; limit?: number }): Promise<ActionRecord[]>;
  /** An action's requirement as JSON. Null if it is not stored, or differs from its digest. */
  requirement(sha256: string): Promise<string | null>;
  /** The emergency stop in force, or null. */
  stop(): Promise<GuardStop | null>;
}

/** A purchase used up as the reason for one action. */
export type Claim = {
  /** The receipt that was shown for it. */
  receiptId: string;
  purpose: string;
  at: string;
  /**
   * `claimed`: no action was named, or it has not begun. `invoking`: it is under way in this process. `done`: it returned,
   * or was found to have happened. `failed`: it surely did not happen. `undecided`: it threw, or no end was written, because
   * its process died or, where another process reads this, still runs it.
   */
  state: ClaimState;
  /** What it was begun with; null where no action was named. */
  arguments: ClaimedAction["arguments"] | null;
  /** What it returned or threw, as text, its beginning. */
  outcome: string | null;
  endedAt: string | null;
};
