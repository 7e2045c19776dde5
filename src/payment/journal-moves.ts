import { appendEntry } from "../receipts/log-entry.ts";
import { LINK_COLUMNS } from "../receipts/log-rows.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { countedAmount, countSpending } from "./caps.ts";
import type { Transition } from "./types.ts";

/** A change of a purchase's row. */
export type Change = Partial<
  Pick<
    PurchasesTable,
    "state" | "receipt_id" | "answered_at" | "transaction" | "settled_amount" | "reason" | "signature"
  >
>;
/** Nothing to change: the row is where the caller wants it. */
export const UNCHANGED: Change = {};

const MOVING = [
  "state",
  "network",
  "asset",
  "amount",
  "settled_amount",
  "receipt_id",
  "transaction",
  "reason",
  "created_at",
  "seller_id",
  "client",
  "share",
] as const;
/** What decides a change. */
export type Moving = Pick<PurchasesTable, (typeof MOVING)[number]>;

/**
 * Compare-and-set: applies the change chosen by `decide` for the present row, or nothing for null. What the row counts
 * against the caps changes in the same transaction.
 */
export async function move(
  db: Db,
  id: string,
  now: Date,
  decide: (row: Moving) => Change | null,
  survives: "power loss" | "process" = "power loss",
): Promise<Transition> {
  return immediate(
    db,
    async (tx) => {
      const row = await tx.selectFrom("purchases").select(MOVING).where("id", "=", id).executeTakeFirst();
      if (row === undefined) return { ok: false, code: "unknown_purchase", state: null };
      const change = decide(row);
      if (change === null) return { ok: false, code: "illegal_transition", state: row.state };
      if (change === UNCHANGED) return { ok: true, state: row.state, changed: false };
      const after = { ...row, ...change };
      const link = await tx
        .updateTable("purchases")
        .set({ ...change, updated_at: now.getTime() })
        .where("id", "=", id)
        .returning(LINK_COLUMNS)
        .executeTakeFirstOrThrow();
      // Which receipt is of an own purchase, and of what amount, decides more than any receipt says.
      if (change.receipt_id !== undefined)
        await appendEntry(tx, { kind: "purchase", subject: id, value: link, at: now });
      const calls = BigInt(Number(row.state === "released")) - BigInt(Number(after.state === "released"));
      const amount = countedAmount(after) - countedAmount(row);
      await countSpending(tx, { ...row, sellerId: row.seller_id }, row.created_at, { amount, calls });
      return { ok: true, state: after.state, changed: true };
    },
    survives,
  );
}
