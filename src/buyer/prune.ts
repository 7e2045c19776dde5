import { sql } from "kysely";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { missingBodies, redactReceipt } from "../receipts/receipt.ts";
import type { Receipt } from "../receipts/schema.ts";
import { appendAppraisal, pruneBodies, requireReceipt } from "../receipts/store.ts";
import { isServed } from "../receipts/transfer.ts";
import type { Db } from "../storage/database.ts";
import { isOnPostgres } from "../storage/dialect.ts";
import { immediate } from "../storage/migrations.ts";
import { judgeReceipt, wantedOf, type JudgeContext } from "./judge.ts";

/** Receipts of one transaction: others wait for it. */
const BATCH = 20;

/** Why a receipt keeps its bodies. */
const REASONS = ["pending", "payment", "action"] as const;
type Reason = (typeof REASONS)[number];

/** Receipts with bodies to prune, or pruned ones. */
export type Pruning = {
  receipts: number;
  /** Bytes of the requests and answers. */
  bytes: number;
  /** Receipts that were verified, and are not without these bytes. 0 for a look. */
  unverified: number;
  /** Receipts that keep their bodies: without a final verdict, with an open payment, under an open action. */
  kept: Record<Reason, number>;
};

/**
 * Prunes the bodies of receipts stored before a time: requests and answers, also in the journal and in approvals. Evidence, hashes
 * and log stay, so the log's chain and every id still hold. Each batch is one transaction with the log's entries and the new
 * verdicts: a receipt that is not verified by what is left is stored as that. `look` counts and writes nothing.
 *
 * Throws as `readReceipt`, and `receipt_full`.
 */
export async function pruneReceipts(
  ctx: JudgeContext,
  { before, look = false }: { before: Date; look?: boolean },
): Promise<Pruning> {
  const pruning: Pruning = { receipts: 0, bytes: 0, unverified: 0, kept: { pending: 0, payment: 0, action: 0 } };
  // SQLite then writes zeros over what it deletes.
  if (!look && !isOnPostgres(ctx.db)) await sql`pragma secure_delete=on`.execute(ctx.db);
  let after = { created_at: Number.MIN_SAFE_INTEGER, id: "" };
  for (;;) {
    const rows = await candidates(ctx.db, before, after);
    const last = rows.at(-1);
    if (last === undefined) return pruning;
    const batch = async (tx: Db): Promise<void> => {
      for (const { id } of rows) await pruneOne({ ...ctx, db: tx }, id, { look, pruning });
    };
    await (look ? batch(ctx.db) : immediate(ctx.db, batch));
    after = last;
  }
}

/** Receipts stored before a time that were not pruned since they last got bodies, the oldest first. */
const candidates = (
  db: Db,
  before: Date,
  { created_at: at, id }: { created_at: number; id: string },
): Promise<{ id: string; created_at: number }[]> =>
  db
    .selectFrom("receipts")
    .select(["id", "created_at"])
    .where("created_at", "<", before.getTime())
    .where(sql<boolean>`(created_at, id) > (${at}, ${id})`)
    .where(
      sql<boolean>`(select kind from log where log.receipt_id = receipts.id and kind in ('prune', 'bodies')
        order by seq desc limit 1) is distinct from 'prune'`,
    )
    .orderBy("created_at")
    .orderBy("id")
    .limit(BATCH)
    .execute();

async function pruneOne(
  ctx: JudgeContext,
  id: string,
  { look, pruning }: { look: boolean; pruning: Pruning },
): Promise<void> {
  const receipt = await requireReceipt(ctx.db, id);
  if (missingBodies(receipt).length === 2) return;
  const reason = await reasonToKeep(ctx, receipt);
  if (reason !== null) {
    pruning.kept[reason] += 1;
    return;
  }
  pruning.receipts += 1;
  pruning.bytes += bytesOfBodies(receipt);
  if (look) return;
  const pruned = await pruneBodies(ctx.db, id, ctx.clock());
  await forgetRequests(ctx.db, id);
  if (newestAppraisal(receipt).verdict !== "verified") return;
  const appraisal = await judgeReceipt(ctx, pruned, { assurance: await wantedOf(ctx, id) });
  if (appraisal.verdict === "verified") return;
  await appendAppraisal(ctx.db, id, appraisal);
  pruning.unverified += 1;
}

/** Why bytes of a receipt are needed yet, or null. */
async function reasonToKeep(ctx: JudgeContext, receipt: Receipt): Promise<Reason | null> {
  const jobs = await ctx.queue.of(ctx.db, receipt.id);
  if (newestAppraisal(receipt).verdict === "pending" || jobs.some(({ done }) => !done)) return "pending";
  const purchase = await readPurchaseByReceipt(ctx.db, receipt.id);
  const isFinal = purchase === null || purchase.state === "settled" || purchase.state === "released";
  // A payment without an answer may be sent again, byte for byte. And no pruning makes an answer look like none.
  const isAnswered = isServed(receipt.core) && isServed(withoutBodies(receipt).core);
  if (!isFinal || (purchase !== null && !isAnswered)) return "payment";
  const open = await ctx.db
    .selectFrom("receipt_claims")
    .select("id")
    .where("receipt_id", "=", receipt.id)
    .where("decided_at", "is", null)
    .where((is) =>
      is.or([
        is("state", "in", ["invoking", "undecided"]),
        is.and([is("state", "=", "claimed"), is("idempotency_key", "is not", null)]),
      ]),
    )
    .executeTakeFirst();
  return open === undefined ? null : "action";
}

const withoutBodies = (receipt: Receipt): Receipt => redactReceipt(receipt, { request: true, response: true });

const bytesOfBodies = ({ core }: Receipt): number =>
  [core.request.body, core.response.body].reduce((sum, body = "") => sum + Buffer.byteLength(body, "base64"), 0);

/** Forgets the request of an own purchase in the journal, of each attempt, and what approvals of it show. All of them are final. */
async function forgetRequests(tx: Db, receiptId: string): Promise<void> {
  const own = await readPurchaseByReceipt(tx, receiptId);
  if (own === null) return;
  const { idempotencyKey: key } = own;
  const rows = await tx
    .selectFrom("purchases")
    .select(["id", "request"])
    .where("idempotency_key", "=", key)
    .where("state", "in", ["settled", "released"])
    .execute();
  for (const { id, request } of rows) {
    const bare = { ...(JSON.parse(request) as Record<string, unknown>), body: "" };
    await tx
      .updateTable("purchases")
      .set({ request: JSON.stringify(bare) })
      .where("id", "=", id)
      .execute();
  }
  await tx
    .updateTable("approvals")
    .set({ input: "", input_length: 0 })
    .where("idempotency_key", "=", key)
    .where("state", "!=", "open")
    .execute();
}
