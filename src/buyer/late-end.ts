import { appendEntry } from "../receipts/log-entry.ts";
import { claimStates } from "../receipts/log-rows.ts";
import type { ClaimRow } from "../storage/claim-tables.ts";
import type { Db } from "../storage/database.ts";

/** How an action ended. */
export type ActionEnd = { state: "done" | "failed" | "undecided"; outcome: string };

/**
 * Writes down the end of an action that was decided before: its first such end, beside the decision, which stays. Null if the
 * claim is not decided, or has one.
 */
export async function noteLateEnd(
  tx: Db,
  id: string,
  { state, outcome }: ActionEnd,
  at: Date,
): Promise<ClaimRow | null> {
  const row = await tx
    .updateTable("receipt_claims")
    .set({ late_state: state, late_outcome: outcome, late_at: at.getTime() })
    .where("id", "=", id)
    .where("decided_at", "is not", null)
    .where("late_at", "is", null)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return null;
  await appendEntry(tx, { kind: "claim", subject: row.receipt_id, value: claimStates(row).at(-1), at });
  return row;
}

/** Whether an action's late end is the opposite of its decision. What threw may have happened or not. */
export const isContradicted = ({ state, late_state: late }: Pick<ClaimRow, "state" | "late_state">): boolean =>
  late !== null && late !== "undecided" && late !== state;
