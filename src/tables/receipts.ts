import { formatUnits } from "../chain/amounts.ts";
import { findAsset, type AssetPolicy } from "../payment/policy.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { paidAmount } from "../receipts/paid.ts";
import type { Receipt, SettlementEvidence } from "../receipts/schema.ts";
import { eachReceipt, type ReceiptFilter } from "../receipts/search.ts";
import type { Db } from "../storage/database.ts";

/** A receipt as an accountant's line. Amounts are decimal numbers of whole tokens. */
export type ReceiptLine = ReturnType<typeof lineOf>;

/**
 * The matching receipts as lines, the oldest first, few of them in memory.
 *
 * @yields One receipt's line.
 */
export async function* receiptLines(
  db: Db,
  filter: ReceiptFilter,
  assets: readonly AssetPolicy[],
): AsyncGenerator<ReceiptLine> {
  for await (const receipt of eachReceipt(db, filter)) {
    const { nonce } = receipt.core.payment;
    const [claims, own] = await Promise.all([
      db.selectFrom("receipt_claims").select("purpose").where("purchase", "=", nonce).orderBy("at").execute(),
      db.selectFrom("purchases").select("id").where("receipt_id", "=", receipt.id).executeTakeFirst(),
    ]);
    yield lineOf(receipt, { assets, purposes: claims.map(({ purpose }) => purpose), isOwn: own !== undefined });
  }
}

function lineOf(
  receipt: Receipt,
  { assets, purposes, isOwn }: { assets: readonly AssetPolicy[]; purposes: string[]; isOwn: boolean },
) {
  const { core } = receipt;
  const { payment, offer } = core;
  const token = findAsset(payment, assets);
  const appraisal = receipt.appraisals.length === 0 ? null : newestAppraisal(receipt);
  const { state, amount } = paidAmount(receipt);
  const settlement = receipt.later.find(
    (later): later is { at: string; evidence: SettlementEvidence } => later.evidence.kind === "settlement.x402",
  );
  return {
    asked_at: core.request.sentAt,
    answered_at: core.response.receivedAt,
    settled_at: state === "settled" ? (settlement?.at ?? "") : "",
    receipt: receipt.id,
    seller: core.seller.id,
    model: core.request.model,
    verdict: appraisal?.verdict ?? "",
    assurance: appraisal?.assurance ?? "",
    payment: state,
    amount: formatUnits(amount, token?.decimals ?? offer.decimals),
    symbol: token?.symbol ?? "",
    token: payment.asset,
    network: payment.network,
    transaction: settlement?.evidence.outcome === "settled" ? settlement.evidence.transaction : "",
    payer: payment.payer,
    payee: payment.payTo,
    purpose: purposes.join("; "),
    bought_by: isOwn ? "this buyer" : "someone else",
  };
}

/** The names of the columns, in their order. */
export const COLUMNS: readonly (keyof ReceiptLine)[] = [
  "asked_at",
  "answered_at",
  "settled_at",
  "receipt",
  "seller",
  "model",
  "verdict",
  "assurance",
  "payment",
  "amount",
  "symbol",
  "token",
  "network",
  "transaction",
  "payer",
  "payee",
  "purpose",
  "bought_by",
];
