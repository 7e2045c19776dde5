import { sql } from "kysely";
import { Proof402Error } from "../errors.ts";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { missingBodies, redactReceipt } from "../receipts/receipt.ts";
import { LAYERS, type Appraisal, type Receipt } from "../receipts/schema.ts";
import { appendAppraisal, pruneBodies, requireReceipt } from "../receipts/store.ts";
import { isServed } from "../receipts/transfer.ts";
import type { Db } from "../storage/database.ts";
import { isOnPostgres } from "../storage/dialect.ts";
import { immediate } from "../storage/migrations.ts";
import { judgeReceipt, wantedOf, type JudgeContext } from "./judge.ts";
import { importedOf } from "./rivals.ts";

/** Receipts of one transaction: others wait for it. */
const BATCH = 20;

/** Why a receipt keeps its bodies. */
export const REASONS = {
  pending: "wait for evidence",
  payment: "for an answer or their payment's end",
  call: "for their caller, who has not had the answer",
  action: "for an action's end",
  failed: "show what a seller did wrong",
  rival: "are of one purchase with another receipt",
} as const;
type Reason = keyof typeof REASONS;

/** Receipts with bodies to prune, or pruned ones. */
export type Pruning = {
  receipts: number;
  /** Bytes of the requests and answers. */
  bytes: number;
  /** Receipts that were verified, and are not without these bytes. 0 for a look. */
  unverified: number;
  /** Receipts that keep their bodies. */
  kept: Record<Reason, number>;
  /** Receipts that could not be read, or had no room for what pruning stores. Nothing of them was deleted. */
  left: string[];
};

/** A receipt to prune, judged without its bodies. */
type Judged = { receipt: Receipt; without: Appraisal };

/**
 * Prunes the bodies of receipts stored before a time: requests and answers, also in the journal and in approvals. Evidence, hashes
 * and log stay, so the log's chain and every id still hold. Each batch is one transaction with the log's entries and the new
 * verdicts: a receipt that is not verified by what is left is stored as that. `look` counts and writes nothing.
 */
export async function pruneReceipts(
  ctx: JudgeContext,
  { before, look = false }: { before: Date; look?: boolean },
): Promise<Pruning> {
  const kept = { pending: 0, payment: 0, call: 0, action: 0, failed: 0, rival: 0 };
  const pruning: Pruning = { receipts: 0, bytes: 0, unverified: 0, kept, left: [] };
  // SQLite then writes zeros over what it deletes.
  if (!look && !isOnPostgres(ctx.db)) await sql`pragma secure_delete=on`.execute(ctx.db);
  let after = { created_at: Number.MIN_SAFE_INTEGER, id: "" };
  for (;;) {
    const rows = await candidates(ctx.db, before, after);
    const last = rows.at(-1);
    if (last === undefined) return pruning;
    const judged: Judged[] = [];
    for (const { id } of rows) {
      const one = await judgedWithout(ctx, id, { look, pruning }).catch((error: unknown) => leave(pruning, id, error));
      if (one !== null) judged.push(one);
    }
    // Of a batch with one that has no room, each is pruned alone.
    if (!look)
      await pruneBatch(ctx, judged, pruning).catch(async () => {
        for (const one of judged)
          await pruneBatch(ctx, [one], pruning).catch((error: unknown) => leave(pruning, one.receipt.id, error));
      });
    after = last;
  }
}

/** Notes a receipt that cannot be pruned. Throws again what is no fault of the receipt's. */
function leave(pruning: Pruning, id: string, error: unknown): null {
  const ofReceipt = ["receipt_store_damaged", "content_missing", "content_altered", "receipt_full"];
  if (!Proof402Error.isInstance(error) || !ofReceipt.includes(error.code)) throw error;
  pruning.left.push(id);
  return null;
}

/** Prunes judged receipts in one transaction. A receipt that changed since keeps its bodies until the next run. */
async function pruneBatch(ctx: JudgeContext, judged: readonly Judged[], pruning: Pruning): Promise<void> {
  const done = await immediate(ctx.db, async (tx) => {
    const batch = { receipts: 0, bytes: 0, unverified: 0, changed: 0 };
    for (const { receipt, without } of judged) {
      const { id } = receipt;
      const now = await requireReceipt(tx, id);
      if (JSON.stringify(now) !== JSON.stringify(receipt) || (await reasonToKeep({ ...ctx, db: tx }, now)) !== null) {
        batch.changed += 1;
        continue;
      }
      await forgetRequests(tx, id);
      if (missingBodies(receipt).length === 2) continue;
      await pruneBodies(tx, id, ctx.clock());
      const newest = newestAppraisal(receipt);
      if (sayingOf(without) !== sayingOf(newest)) await appendAppraisal(tx, id, without);
      batch.receipts += 1;
      batch.bytes += bytesOfBodies(receipt);
      if (newest.verdict === "verified" && without.verdict !== "verified") batch.unverified += 1;
    }
    return batch;
  });
  pruning.receipts += done.receipts;
  pruning.bytes += done.bytes;
  pruning.unverified += done.unverified;
  pruning.kept.pending += done.changed;
}

/** What an appraisal says of a receipt, times and notes aside. */
const sayingOf = ({ verdict, assurance, layers }: Appraisal): string =>
  JSON.stringify([verdict, assurance, LAYERS.map((layer) => [layers[layer].status, layers[layer].code])]);

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

/** A receipt to prune with its appraisal without bodies; null if it keeps them, or of a look, which counts it. */
async function judgedWithout(
  ctx: JudgeContext,
  id: string,
  { look, pruning }: { look: boolean; pruning: Pruning },
): Promise<Judged | null> {
  const receipt = await requireReceipt(ctx.db, id);
  const reason = await reasonToKeep(ctx, receipt);
  if (reason !== null) {
    if (missingBodies(receipt).length < 2) pruning.kept[reason] += 1;
    return null;
  }
  if (!look) {
    const assurance = await wantedOf(ctx, id);
    return { receipt, without: await judgeReceipt(ctx, withoutBodies(receipt), { assurance, asItStands: true }) };
  }
  if (missingBodies(receipt).length === 2) return null;
  pruning.receipts += 1;
  pruning.bytes += bytesOfBodies(receipt);
  return null;
}

/** Why bytes of a receipt are needed yet, or null. */
async function reasonToKeep(ctx: JudgeContext, receipt: Receipt): Promise<Reason | null> {
  const jobs = await ctx.queue.of(ctx.db, receipt.id);
  const { verdict } = newestAppraisal(receipt);
  if (verdict === "failed") return "failed";
  if (verdict === "pending" || jobs.some(({ done }) => !done)) return "pending";
  // Which of them holds up may rest on their bytes.
  if ((await importedOf(ctx.db, receipt)).some(({ id }) => id !== receipt.id)) return "rival";
  const purchase = await readPurchaseByReceipt(ctx.db, receipt.id);
  const isFinal = purchase === null || purchase.state === "settled" || purchase.state === "released";
  // A payment without an answer may be sent again, byte for byte. And no pruning makes an answer look like none.
  const isAnswered = isServed(receipt.core) && isServed(withoutBodies(receipt).core);
  if (!isFinal || (purchase !== null && !isAnswered)) return "payment";
  if (purchase !== null && !(await isTold(ctx.db, purchase.idempotencyKey))) return "call";
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

/** Whether a call's caller has had its outcome. A call that the database does not know is of an earlier program. */
async function isTold(db: Db, key: string): Promise<boolean> {
  const call = await db.selectFrom("calls").select("told_at").where("idempotency_key", "=", key).executeTakeFirst();
  return call === undefined || call.told_at !== null;
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
    const whole = JSON.parse(request) as Record<string, unknown>;
    if (whole["body"] === "") continue;
    const bare = { ...whole, body: "" };
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
