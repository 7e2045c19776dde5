import type { Receipt } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";

/**
 * Whether the log has grown, since its entry of this number, by anything that is judged of these receipts, or others of their
 * purchases. Claims on them are not.
 */
export async function isChanged(tx: Db, after: number, receipts: readonly Receipt[]): Promise<boolean> {
  const found = await tx
    .selectFrom("log")
    .innerJoin("receipts", "receipts.id", "log.receipt_id")
    .select("log.seq")
    .where("log.seq", ">", after)
    .where("log.kind", "!=", "claim")
    .where((where) =>
      where.or(
        receipts.map(({ core: { payment } }) =>
          where.and([where("payment_nonce", ">=", payment.nonce), where("payment_nonce", "<", `${payment.nonce}!`)]),
        ),
      ),
    )
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}
