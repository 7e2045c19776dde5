import type { Selectable } from "kysely";
import type { JobsTable, PurchasesTable, ReceiptClaimsTable, SellerHoldsTable } from "../storage/tables.ts";

/** What the log records of a claim when it is made and, where it is ended, of its end. */
export function claimStates({ ended_at: endedAt, outcome, state, ...row }: Selectable<ReceiptClaimsTable>): unknown[] {
  const now = { ...row, state, outcome, ended_at: endedAt };
  return endedAt === null ? [now] : [{ ...row, state: "invoking", outcome: null, ended_at: null }, now];
}

/** What the log records of a seller's hold whenever it changes. */
export const holdState = (row: Selectable<SellerHoldsTable>): unknown => ({
  seller_id: row.seller_id,
  receipt_id: row.receipt_id,
  reason: row.reason,
  at: row.at,
  released_at: row.released_at,
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
