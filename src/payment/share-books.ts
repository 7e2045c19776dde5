import type { Selectable } from "kysely";
import { appendEntry } from "../receipts/log-entry.ts";
import { SHARE_COLUMNS } from "../receipts/log-rows.ts";
import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { MOVED_MORE_THAN_TOLD, NEVER_SIGNED, SHARE_REFUSED } from "./reasons.ts";
import { authorizationOf, callsOn } from "./shared.ts";

/** A thousandth of the sum of costs is rounding. */
const ROUNDING = 1000n;

/** What one transfer was for. Base units. */
export type Division = {
  /** By the purchase's id: its part, and for a call without a whole answer whether told costs show that nothing was taken. */
  parts: ReadonlyMap<string, { part: bigint; isFree: boolean }>;
  calls: number;
  /** The sum that the seller told of its calls; null where it told of some nothing, or may have served one more. */
  told: bigint | null;
  /** A call without an answer may still explain a part of it. */
  isOut: boolean;
  /** More moved than it told of all of them. */
  isMore: boolean;
};

/** A call's row. */
export type CallRow = Selectable<PurchasesTable>;

/**
 * Divides a moved sum over the calls on its authorization: each has the cost told by the seller. Any more is of answers
 * without a told cost, else of calls without an answer or with a failed one, in equal parts. Without any such call it is
 * of all, by their costs. Of a lower sum each has less in proportion. The parts are the moved sum in all.
 */
export function divide(rows: readonly CallRow[], moved: bigint): Division {
  const calls = rows.filter(isCall);
  const served = calls.filter(({ answered_at: at }) => at !== null);
  const known = served.filter(({ reported }) => reported !== null);
  const untold = served.filter(({ reported }) => reported === null);
  const others = calls.filter(({ answered_at: at }) => at === null);
  const sum = known.reduce((total, { reported }) => total + BigInt(reported ?? 0), 0n);
  const rest = moved - sum;
  // Told costs are rounded: each may be a unit short, and all of them by a small part.
  const isExplained = known.length > 0 && rest <= sum / ROUNDING + BigInt(known.length);
  const heirs = rest <= 0n ? [] : untold.length > 0 ? untold : isExplained ? [] : others;
  const parts = new Map<string, bigint>(calls.map(({ id }) => [id, 0n]));
  const costs = known.map(({ reported }) => BigInt(reported ?? 0));
  if (heirs.length > 0) {
    spread(parts, known, costs, sum);
    spread(
      parts,
      heirs,
      heirs.map(() => 1n),
      rest,
    );
  } else
    spread(
      parts,
      known,
      costs.map((cost) => (sum === 0n ? 1n : cost)),
      moved,
    );
  const isFree = untold.length === 0 && isExplained;
  const told = untold.length === 0 && (isExplained || others.length === 0) ? sum : null;
  return {
    parts: new Map(
      calls.map((row) => [row.id, { part: parts.get(row.id) ?? 0n, isFree: isFree && others.includes(row) }]),
    ),
    calls: served.length,
    told,
    isOut: others.some(({ receipt_id: receipt }) => receipt === null) && !isFree,
    isMore: told !== null && !isExplained,
  };
}

/** Adds `total` to the parts of these rows by their weights; what does not divide goes to the first. */
function spread(parts: Map<string, bigint>, rows: readonly CallRow[], weights: readonly bigint[], total: bigint): void {
  const all = weights.reduce((sum, weight) => sum + weight, 0n);
  if (all === 0n || total <= 0n) return;
  let left = total;
  for (const [at, row] of rows.entries()) {
    const share = (total * (weights[at] ?? 0n)) / all;
    parts.set(row.id, (parts.get(row.id) ?? 0n) + share);
    left -= share;
  }
  const [first] = rows;
  if (first !== undefined) parts.set(first.id, (parts.get(first.id) ?? 0n) + left);
}

/** Whether the seller may have taken something for a row: for none that it refused, and none without a signature. */
const isCall = ({ state, reason }: CallRow): boolean =>
  state !== "reserved" && (state !== "released" || (reason !== SHARE_REFUSED && reason !== NEVER_SIGNED));

/** The calls on the authorization of a purchase, or null of a purchase with one of its own. */
export async function callsBeside(tx: Db, id: string): Promise<CallRow[] | null> {
  const row = await tx.selectFrom("purchases").select(["nonce", "share"]).where("id", "=", id).executeTakeFirst();
  return row === undefined || row.share === null ? null : callsOn(tx, authorizationOf(row.nonce));
}

/** Notes each call's part of what moved. In the caller's transaction. */
export async function noteParts(tx: Db, { parts }: Division, now: Date): Promise<void> {
  for (const [id, { part }] of parts) await note(tx, id, "part", part, now);
}

/** What a call on a shared authorization cost, in its seller's words: base units. In the caller's transaction. */
export const noteReported = (tx: Db, id: string, cost: bigint, now: Date): Promise<void> =>
  note(tx, id, "reported", cost, now);

/** Notes an amount of a call, and logs it: no later change of the file passes for what the seller told. */
async function note(tx: Db, id: string, what: "reported" | "part", amount: bigint, now: Date): Promise<void> {
  const row = await tx
    .updateTable("purchases")
    .set({ [what]: amount.toString() })
    .where("id", "=", id)
    .where(what, "is distinct from", amount.toString())
    .returning(SHARE_COLUMNS)
    .executeTakeFirst();
  if (row !== undefined) await appendEntry(tx, { kind: "share", subject: id, value: row, at: now });
}

/** Calls since then that were settled for more than their seller told, newest first. */
export const overcharged = (
  tx: Db,
  sinceMs: number,
): Promise<{ seller_id: string; receipt_id: string | null; created_at: number }[]> =>
  tx
    .selectFrom("purchases")
    .select(["seller_id", "receipt_id", "created_at"])
    .where("created_at", ">", sinceMs)
    .where("state", "=", "settled")
    .where("reason", "=", MOVED_MORE_THAN_TOLD)
    .orderBy("created_at", "desc")
    .execute();
