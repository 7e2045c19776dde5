import type { Hold } from "../market/choose.ts";
import { LAYERS, type Receipt } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import { newestAppraisal } from "../receipts/newest.ts";

/** Sellers on hold because a receipt of theirs failed (DESIGN §4.9). */
export async function readHolds(db: Db): Promise<Hold[]> {
  const rows = await db.selectFrom("seller_holds").selectAll().execute();
  return rows.map((row) => ({ sellerId: row.seller_id, reason: row.reason, receiptId: row.receipt_id }));
}

/** Puts the receipt's seller on hold if its newest verdict is `failed`. The first reason stays. Runs in the caller's transaction. */
export async function holdIfFailed(tx: Db, receipt: Receipt, nowMs: number): Promise<void> {
  const appraisal = newestAppraisal(receipt);
  if (appraisal.verdict !== "failed") return;
  const failed = LAYERS.filter((layer) => appraisal.layers[layer].status === "fail");
  await tx
    .insertInto("seller_holds")
    .values({
      seller_id: receipt.core.seller.id,
      receipt_id: receipt.id,
      reason: failed.map((layer) => `${layer}: ${appraisal.layers[layer].code}`).join(", "),
      at: nowMs,
    })
    .onConflict((conflict) => conflict.column("seller_id").doNothing())
    .execute();
}
