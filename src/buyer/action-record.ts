import type { ClaimRow } from "../storage/claim-tables.ts";
import { argumentsOf, timeOf } from "./claims.ts";
import type { ActionRecord } from "./action-types.ts";
import { isContradicted } from "./late-end.ts";
import { isRunning } from "./process-owner.ts";

/** Whether a claim's process runs. Null where that cannot be seen from here. */
export type Runs = (row: ClaimRow) => Promise<boolean | null>;
export const runsAsSeen: Runs = async ({ owner }) => (owner === null ? null : isRunning(owner));

/** A stored claim as a record. An action begun without a noted end is `undecided`, unless its process is seen to run. */
export async function recordOf(row: ClaimRow, runs: Runs = runsAsSeen): Promise<ActionRecord> {
  const open = row.state === "claimed" || row.state === "invoking";
  const running = open ? await runs(row) : false;
  return {
    id: row.id,
    receiptId: row.receipt_id,
    purpose: row.purpose,
    tool: row.tool,
    arguments: argumentsOf(row),
    requirement: row.requirement,
    spends: row.kind === null || row.most === null ? "once" : { kind: row.kind, times: row.most },
    idempotencyKey: row.idempotency_key,
    state: row.state === "invoking" && running !== true ? "undecided" : row.state,
    running,
    at: new Date(row.at).toISOString(),
    begunAt: timeOf(row.begun_at),
    endedAt: timeOf(row.ended_at),
    outcome: row.outcome,
    decidedAt: timeOf(row.decided_at),
    decidedBy: row.decided_by,
    note: row.note,
    lateEnd:
      row.late_state === null || row.late_at === null
        ? null
        : {
            state: row.late_state,
            outcome: row.late_outcome ?? "",
            at: new Date(row.late_at).toISOString(),
            contradicts: isContradicted(row),
          },
  };
}
