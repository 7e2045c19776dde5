import { viewPurchases } from "../buyer/spending.ts";
import type { Spending } from "../buyer/types.ts";
import { formatUnits } from "../chain/amounts.ts";
import type { Config } from "../config/schema.ts";
import { toRecord } from "../payment/journal-rows.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import type { Db } from "../storage/database.ts";

/** A purchase as an accountant's line. Amounts are decimal numbers of whole tokens. */
type PurchaseLine = ReturnType<typeof lineOf>;

/** Purchases read at once of many. */
const PAGE = 200;

/** A purchase's place among the newest first. */
export type PurchasePlace = { at: number; id: string };

/** The purchases that follow a place, the newest first: as quick for the last page as for the first. */
export async function purchasesAfter(
  db: Db,
  { after, limit }: { after: PurchasePlace | null; limit: number },
): Promise<PurchaseRecord[]> {
  const { at, id } = after ?? { at: Number.MAX_SAFE_INTEGER, id: "" };
  const rows = await db
    .selectFrom("purchases")
    .selectAll()
    .where("created_at", "<=", at)
    .where((is) => is.or([is("created_at", "<", at), is("id", ">", id)]))
    .orderBy("created_at", "desc")
    .orderBy("id")
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}

/**
 * Every purchase of the journal as a line, the newest first, few of them in memory.
 *
 * @yields One purchase's line.
 */
export async function* purchaseLines(db: Db, config: Pick<Config, "payment">): AsyncGenerator<PurchaseLine> {
  let after: PurchasePlace | null = null;
  for (;;) {
    const records: PurchaseRecord[] = await purchasesAfter(db, { after, limit: PAGE });
    const views = await viewPurchases({ db, config }, records);
    for (const view of views) yield lineOf(view);
    const last = records.at(-1);
    if (last === undefined) return;
    after = { at: last.createdAt, id: last.id };
  }
}

const lineOf = (purchase: Spending["recent"][number]) => ({
  at: purchase.at,
  seller: purchase.sellerId,
  model: purchase.model,
  payment: purchase.state,
  reason: purchase.reason ?? "",
  amount: formatUnits(purchase.amount, purchase.decimals),
  symbol: purchase.symbol ?? "",
  token: purchase.asset,
  network: purchase.network,
  idempotency_key: purchase.idempotencyKey,
  receipt: purchase.receiptId ?? "",
  verdict: purchase.verdict ?? "",
});

/** The names of the columns, in their order. */
export const PURCHASE_COLUMNS: readonly (keyof PurchaseLine)[] = [
  "at",
  "seller",
  "model",
  "payment",
  "reason",
  "amount",
  "symbol",
  "token",
  "network",
  "idempotency_key",
  "receipt",
  "verdict",
];
