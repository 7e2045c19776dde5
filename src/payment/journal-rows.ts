import { sql, type Selectable } from "kysely";
import type { Hex } from "../evidence/bytes.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import type { Payment } from "../receipts/schema.ts";
import { payerOf } from "./methods/methods.ts";
import type { PurchaseRecord } from "./types.ts";

/** Not yet final. Written as the index `purchases_open` has it, so that SQLite uses it. */
export const isOpen = sql<boolean>`state not in ('settled', 'released')`;

/** A journal row as the rest of the library sees it. */
export const toRecord = (row: Selectable<PurchasesTable>): PurchaseRecord => ({
  id: row.id,
  idempotencyKey: row.idempotency_key,
  attempt: row.attempt,
  argsDigest: row.args_digest,
  state: row.state,
  sellerId: row.seller_id,
  client: row.client,
  model: row.model,
  offer: JSON.parse(row.offer) as PurchaseRecord["offer"],
  accepted: JSON.parse(row.accepted) as PurchaseRecord["accepted"],
  listedPrice: JSON.parse(row.listed_price ?? "null") as PurchaseRecord["listedPrice"],
  payment: paymentOf(row),
  request: JSON.parse(row.request) as PurchaseRecord["request"],
  receiptId: row.receipt_id,
  answeredAt: row.answered_at,
  transaction: row.transaction,
  settledAmount: row.settled_amount,
  reported: row.reported,
  part: row.part,
  reason: row.reason,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

/** The nonce of the payment in a row, which may have a name of its own in its place. */
function nonceOf({ nonce, authorization_hash: hash }: Selectable<PurchasesTable>): Hex {
  const [first = ""] = nonce.split(" ");
  return first.startsWith("0x") ? `0x${first.slice(2)}` : hash;
}

function paymentOf(row: Selectable<PurchasesTable>): Payment {
  const authorization = {
    network: row.network,
    asset: row.asset,
    amount: row.amount,
    payer: row.payer,
    payTo: row.pay_to,
    nonce: nonceOf(row),
    validAfter: row.valid_after,
    validBefore: row.valid_before,
    authorizationHash: row.authorization_hash,
    ...(row.salt === null ? {} : { salt: row.salt }),
  };
  return payerOf(row).paymentOf(authorization, row);
}

/** The row of a purchase that is not signed yet. */
export const toRow = ({ payment, ...purchase }: PurchaseRecord): Selectable<PurchasesTable> => ({
  id: purchase.id,
  idempotency_key: purchase.idempotencyKey,
  attempt: purchase.attempt,
  args_digest: purchase.argsDigest,
  state: purchase.state,
  seller_id: purchase.sellerId,
  client: purchase.client,
  model: purchase.model,
  network: payment.network,
  asset: payment.asset,
  amount: payment.amount,
  settled_amount: purchase.settledAmount,
  scheme: payment.scheme,
  method: payment.method,
  facilitator: null,
  channel_id: null,
  voucher: null,
  share: null,
  reported: purchase.reported,
  part: purchase.part,
  payer: payment.payer,
  pay_to: payment.payTo,
  nonce: payment.nonce,
  ...payerOf(payment).columnsOf(payment, purchase.id),
  valid_after: payment.validAfter,
  valid_before: payment.validBefore,
  authorization_hash: payment.authorizationHash,
  salt: payment.salt ?? null,
  signature: null,
  listed_price: purchase.listedPrice === null ? null : JSON.stringify(purchase.listedPrice),
  offer: JSON.stringify(purchase.offer),
  accepted: JSON.stringify(purchase.accepted),
  request: JSON.stringify(purchase.request),
  receipt_id: purchase.receiptId,
  answered_at: purchase.answeredAt,
  transaction: purchase.transaction,
  reason: purchase.reason,
  created_at: purchase.createdAt,
  updated_at: purchase.updatedAt,
});
