import type { Selectable } from "kysely";
import type { ClaimRow, GuardStopsTable } from "../storage/claim-tables.ts";
import type { Db } from "../storage/database.ts";
import type { JobsTable, PurchasesTable, SellerHoldsTable } from "../storage/tables.ts";

/** The columns of each claim, and the further ones of a claim with a tool. */
const CLAIMED = ["receipt_id", "purpose", "at", "purchase", "arguments", "arguments_sha256"] as const;
const FOR_A_TOOL = ["id", "place", "kind", "most", "tool", "requirement", "idempotency_key", "owner"] as const;

/**
 * The log's values of a claim, one a change: made, begun, ended, decided, ended after that. A claim without a tool
 * was made and begun at once; its values keep their earlier form.
 */
export function claimStates(row: ClaimRow): unknown[] {
  const named = row.idempotency_key !== null;
  const noted = [
    ...CLAIMED,
    ...FOR_A_TOOL.filter((column) => named || (column !== "id" && row[column] !== UNSET[column])),
  ];
  const base = Object.fromEntries(noted.map((column) => [column, row[column]]));
  const begun = row.begun_at === null ? {} : { begun_at: row.begun_at };
  const ended = { outcome: row.outcome, ended_at: row.ended_at };
  const isEnded = row.ended_at !== null;
  const isDecided = row.decided_at !== null;
  const isOpen = !isEnded && !isDecided;
  const open = { ...base, outcome: null, ended_at: null };
  const { decided_at, decided_by, note, late_state, late_outcome, late_at } = row;
  const isLate = late_state !== null || late_outcome !== null || late_at !== null;
  return [
    { ...open, state: isOpen && row.begun_at === null ? row.state : named ? "claimed" : "invoking" },
    ...(row.begun_at !== null ? [{ ...open, ...begun, state: isOpen ? row.state : "invoking" }] : []),
    ...(isEnded ? [{ ...base, ...begun, ...ended, state: isDecided ? "undecided" : row.state }] : []),
    ...(isDecided ? [{ ...base, ...begun, ...ended, decided_at, decided_by, note, state: row.state }] : []),
    ...(isLate ? [{ ...base, decided_at, late_state, late_outcome, late_at }] : []),
    // What no state of a claim has is no state that was logged.
    ...(isDecided || (decided_by === null && note === null) ? [] : [{ decided_by, note }]),
    ...(isOpen && row.outcome !== null ? [{ outcome: row.outcome }] : []),
  ];
}

/** A column's content in a row that was made without it. */
const UNSET = { place: "", kind: null, most: null, tool: null, requirement: null, idempotency_key: null, owner: null };

/** Actions whose end is the opposite of what was decided before, at most a thousand. */
export async function contradictedActions(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom("receipt_claims")
    .select("id")
    .where("late_state", "in", ["done", "failed"])
    .whereRef("late_state", "<>", "state")
    .orderBy("late_at")
    .limit(1000)
    .execute();
  return rows.map(({ id }) => id);
}

/** What the log records of a seller's hold whenever it changes. */
export const holdState = (row: Selectable<SellerHoldsTable>): unknown => ({
  seller_id: row.seller_id,
  receipt_id: row.receipt_id,
  reason: row.reason,
  at: row.at,
  released_at: row.released_at,
});

/** What the log records of an emergency stop when it is ordered, and when it is ended. */
export const stopState = (row: Selectable<GuardStopsTable>): unknown => ({
  id: row.id,
  reason: row.reason,
  at: row.at,
  ended_at: row.ended_at,
});

/** What the log records of a job when it ends: why no evidence came of it, or null. */
export const jobOutcome = ({
  kind,
  subject,
  last_error: absent,
}: Pick<JobsTable, "kind" | "subject" | "last_error">): unknown => ({
  kind,
  subject,
  absent,
});

/** The logged columns of a call on a shared authorization, whenever its told cost or its part changes. */
export const SHARE_COLUMNS = ["id", "share", "reported", "part"] as const satisfies readonly (keyof PurchasesTable)[];

/** The logged columns of a purchase with a receipt. None of them changes after that. */
export const LINK_COLUMNS = [
  "id",
  "receipt_id",
  "idempotency_key",
  "attempt",
  "seller_id",
  "model",
  "network",
  "asset",
  "amount",
  "payer",
  "pay_to",
  "nonce",
] as const satisfies readonly (keyof PurchasesTable)[];
