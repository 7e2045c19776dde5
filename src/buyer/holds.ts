import type { Hold } from "../market/choose.ts";
import type { Seller } from "../market/types.ts";
import { LAYERS, type Receipt } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import type { SellerView } from "./types.ts";
import { newestAppraisal } from "../receipts/newest.ts";

/** Sellers on hold because a receipt of theirs failed (DESIGN §4.9). */
export async function readHolds(db: Db): Promise<Hold[]> {
  const rows = await db.selectFrom("seller_holds").selectAll().where("released_at", "is", null).execute();
  return rows.map((row) => ({ sellerId: row.seller_id, reason: row.reason, receiptId: row.receipt_id }));
}

/**
 * Puts the receipt's seller on hold if its newest verdict is `failed`. The first reason stays. An answer from before the
 * owner released the seller holds it no more, whatever evidence still comes to it. Runs in the caller's transaction.
 */
export async function holdIfFailed(tx: Db, receipt: Receipt, nowMs: number): Promise<void> {
  const appraisal = newestAppraisal(receipt);
  if (appraisal.verdict !== "failed") return;
  const failed = LAYERS.filter((layer) => appraisal.layers[layer].status === "fail");
  const hold = {
    receipt_id: receipt.id,
    reason: failed.map((layer) => `${layer}: ${appraisal.layers[layer].code}`).join(", "),
    at: nowMs,
    released_at: null,
  };
  await tx
    .insertInto("seller_holds")
    .values({ seller_id: receipt.core.seller.id, ...hold })
    .onConflict((conflict) =>
      conflict
        .column("seller_id")
        .doUpdateSet(hold)
        .where("seller_holds.released_at", "<", Date.parse(receipt.core.response.receivedAt)),
    )
    .execute();
}

/** Every configured seller and whether it may be bought from. */
export async function viewSellers(db: Db, sellers: readonly Seller[]): Promise<SellerView[]> {
  const holds = await db.selectFrom("seller_holds").selectAll().where("released_at", "is", null).execute();
  return sellers.map(({ id, origin, assurance }) => {
    const hold = holds.find((one) => one.seller_id === id);
    return {
      id,
      origin,
      assurance,
      hold:
        hold === undefined
          ? null
          : { reason: hold.reason, receiptId: hold.receipt_id, since: new Date(hold.at).toISOString() },
    };
  });
}

/** Lets a seller be bought from again; false where it was not on hold. Its next failure puts it on hold again. */
export async function releaseHold(db: Db, sellerId: string, nowMs: number): Promise<boolean> {
  const released = await db
    .updateTable("seller_holds")
    .set({ released_at: nowMs })
    .where("seller_id", "=", sellerId)
    .where("released_at", "is", null)
    .executeTakeFirst();
  return released.numUpdatedRows > 0n;
}
