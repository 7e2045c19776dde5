import { sql, type Selectable } from "kysely";
import type { Hold } from "../market/choose.ts";
import type { Seller } from "../market/types.ts";
import { appendEntry } from "../receipts/log-entry.ts";
import { holdState } from "../receipts/log-rows.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { LAYERS, type Receipt } from "../receipts/schema.ts";
import { WALLET_SHORT } from "../payment/journal.ts";
import { MOVED_MORE_THAN_TOLD } from "../payment/reasons.ts";
import { overcharged } from "../payment/share-books.ts";
import { isSettlement } from "../receipts/paid.ts";
import { isAnswer, isCut, isServed, SHA256_OF_NOTHING } from "../receipts/transfer.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { SellerHoldsTable } from "../storage/tables.ts";
import type { BuyerContext } from "./context.ts";
import type { HoldReason } from "./hold-reasons.ts";
import type { SellerView } from "./types.ts";

/** Number of unanswered, undecided payments at which a seller goes on hold. */
const IN_DOUBT_LIMIT = 3;
/** Paid answers of which only the beginning came, likewise. One alone may be the line's doing, or this buyer's own bounds'. */
const CUT_LIMIT = 3;

/** Why money without an answer puts a seller on hold. A hold for these ends when the answers come, or when none was taken. */
const UNSERVED = {
  settled: "paid_not_served: a payment was taken and never answered",
  inDoubt: `payments_in_doubt: ${IN_DOUBT_LIMIT} or more payments were sent that brought no answer and may still be taken`,
  empty: "answer_empty: it was paid and answered with nothing",
  undecoded: "answer_undecoded: it was paid and answered in a content coding that cannot be decoded",
  cut: `answers_cut: of ${CUT_LIMIT} or more paid answers only the beginning came`,
  more: `${MOVED_MORE_THAN_TOLD}: it settled calls on one authorization for more than it told of all of them`,
} as const satisfies Record<string, HoldReason>;

/**
 * Sellers on hold (docs/architecture.md §4.10): a receipt failed, evidence was withheld, or money went without an
 * answer.
 */
export async function readHolds(db: Db): Promise<Hold[]> {
  const rows = await db.selectFrom("seller_holds").selectAll().where("released_at", "is", null).execute();
  return Promise.all(rows.map(async (row) => ({ sellerId: row.seller_id, ...(await shownBy(db, row)) })));
}

/** A hold's reason, and the receipt or the call that shows it. */
async function shownBy(
  db: Db,
  { seller_id, receipt_id, reason }: Pick<SellerHoldsTable, "seller_id" | "receipt_id" | "reason">,
): Promise<Omit<Hold, "sellerId">> {
  if (receipt_id !== "") return { reason, receiptId: receipt_id, callKey: null };
  const owed = [...(await unanswered(db, null)), ...(await answersCut(db))].filter(
    (one) => one.seller_id === seller_id,
  );
  const [newest] = owed.toSorted((a, b) => b.created_at - a.created_at);
  return { reason, receiptId: null, callKey: newest?.idempotency_key ?? null };
}

/**
 * Puts the receipt's seller on hold for what the receipt shows. The first reason stays. An answer from before the
 * owner's release holds the seller no more, even if evidence still comes to it. Runs in the caller's transaction.
 * `withheld` is the code of promised evidence that did not come.
 */
export async function holdForReceipt(
  tx: Db,
  receipt: Receipt,
  nowMs: number,
  withheld: HoldReason | null = null,
): Promise<void> {
  const reason = reasonIn(receipt) ?? withheld;
  // Evidence still comes to a receipt whose place another took: that one says what its seller deserves.
  if (reason === null || (await isReplaced(tx, receipt.id))) return;
  if (!isServed(receipt.core) && (await isHandedOver(tx, receipt.id))) return;
  const since = Date.parse(receipt.core.response.receivedAt);
  await hold(tx, { sellerId: receipt.core.seller.id, receiptId: receipt.id, reason, since, nowMs });
}

function reasonIn(receipt: Receipt): string | null {
  const { core } = receipt;
  if (!isServed(core) && !isCut(core)) {
    // A seller that fails and takes no money for it has done no wrong.
    const taken = receipt.later.some(
      ({ evidence }) => isSettlement(evidence) && evidence.outcome === "settled" && evidence.shared?.part !== "0",
    );
    if (taken) return takenFor(core.response);
    if (!isAnswer(core)) return null;
  }
  const { verdict, layers } = newestAppraisal(receipt);
  if (verdict !== "failed") return null;
  const failed = LAYERS.filter((layer) => layers[layer].status === "fail");
  return failed.map((layer) => `${layer}: ${layers[layer].code}`).join(", ");
}

function takenFor({ status, sha256 }: Pick<Receipt["core"]["response"], "status" | "sha256">): HoldReason {
  if (status < 200 || status > 299) return `paid_and_refused: it was paid and answered ${status}`;
  return sha256 === SHA256_OF_NOTHING ? UNSERVED.empty : UNSERVED.undecoded;
}

/**
 * Puts sellers on hold that owe answers for money: one settled payment without a proper answer, several in doubt, or
 * several with a cut answer. Ends holds for payments that ended unused. A call that is still under way owes nothing
 * yet.
 */
export const holdUnserved = (ctx: BuyerContext): Promise<void> =>
  immediate(ctx.db, async (tx) => {
    const nowMs = ctx.clock().getTime();
    // What ended unused took nothing.
    for (const { sellerId, receiptId } of await readHolds(tx)) {
      if (receiptId === null) await liftIfServed(tx, sellerId, nowMs);
    }
    const owed = await unanswered(tx, nowMs);
    for (const sellerId of new Set(owed.map((one) => one.seller_id))) {
      const found = unservedReason(owed.filter((one) => one.seller_id === sellerId));
      if (found !== null) await hold(tx, { sellerId, receiptId: "", ...found, nowMs });
    }
    const cut = await answersCut(tx);
    for (const sellerId of new Set(cut.map((one) => one.seller_id))) {
      const [newest, ...others] = cut.filter((one) => one.seller_id === sellerId);
      if (newest === undefined || others.length < CUT_LIMIT - 1) continue;
      await hold(tx, { sellerId, receiptId: "", reason: UNSERVED.cut, since: newest.created_at, nowMs });
    }
    for (const { seller_id: sellerId, receipt_id: receiptId, created_at: since } of await overcharged(
      tx,
      nowMs - REFUSED_MS,
    ))
      if (receiptId !== null) await hold(tx, { sellerId, receiptId, reason: UNSERVED.more, since, nowMs });
    for (const { seller_id: sellerId, id: receiptId, created_at: since, ...response } of await refused(
      tx,
      nowMs - REFUSED_MS,
    )) {
      await hold(tx, { sellerId, receiptId, reason: takenFor(response), since, nowMs });
    }
  });

/** How far back refusals are looked for whose payment the journal shows settled, ms. Later refusals show when evidence lands. */
const REFUSED_MS = 24 * 60 * 60_000;

/**
 * Payments since then that settled with an error, nothing or an undecodable body as the answer. The evidence of that may
 * still be on its way to the receipt.
 */
const refused = (
  tx: Db,
  sinceMs: number,
): Promise<{ seller_id: string; id: string; created_at: number; status: number; sha256: string }[]> =>
  tx
    .selectFrom("purchases")
    .innerJoin("receipts", "receipts.id", "purchases.receipt_id")
    .select(["purchases.seller_id", "receipts.id", "purchases.created_at", statusOf.as("status"), hashOf.as("sha256")])
    .where("purchases.state", "=", "settled")
    .where("answered_at", "is", null)
    .where("part", "is distinct from", "0")
    .where("purchases.created_at", ">", sinceMs)
    .where(isNoAnswer)
    .orderBy("purchases.created_at", "desc")
    .execute();

/**
 * Possibly taken payments with a cut answer, newest first, of any age: only an answer, or a payment that ended unused,
 * takes one off. They have a receipt that neither served nor failed.
 */
const answersCut = (tx: Db): Promise<Omit<Unanswered, "state">[]> =>
  tx
    .selectFrom("purchases")
    .innerJoin("receipts", "receipts.id", "purchases.receipt_id")
    .select(["purchases.seller_id", "purchases.idempotency_key", "purchases.created_at"])
    .where("purchases.state", "in", ["answered", "settled"])
    .where("answered_at", "is", null)
    .where("receipts.verdict", "!=", "failed")
    .where(sql<boolean>`${transferred("$.cut")} is not null`)
    .orderBy("purchases.created_at", "desc")
    .execute();

const statusOf = sql<number>`cast(json_extract(receipts.json, '$.core.response.status') as integer)`;
const hashOf = sql<string>`json_extract(receipts.json, '$.core.response.sha256')`;
/** How a receipt's answer came, where it did not come whole and plain. */
const transferred = (path: string) =>
  sql`(select json_extract(value, ${path}) from json_each(receipts.json, '$.core.evidence') where json_extract(value, '$.kind') = 'transfer.http')`;
/** An error, or a whole answer that did not serve because it is empty or cannot be decoded. */
const isNoAnswer = sql<boolean>`(${statusOf} not between 200 and 299 and receipts.verdict = 'failed'
  or answered_at is null and ${transferred("$.cut")} is null
    and (cast(${transferred("$.coding.decoded")} as text) in ('0', 'false') or ${hashOf} = ${SHA256_OF_NOTHING}))`;

/**
 * Ends a hold for money without an answer once the seller owes none: the answers came, or the payments ended unused. What took a
 * failure's place may be another one. Runs in the caller's transaction.
 */
export async function liftIfServed(tx: Db, sellerId: string, nowMs: number): Promise<void> {
  const row = await tx.selectFrom("seller_holds").selectAll().where("seller_id", "=", sellerId).executeTakeFirst();
  if (row?.released_at !== null || (row.receipt_id !== "" && !(await isReplaced(tx, row.receipt_id)))) return;
  // What the owner released long before is not what it is held for.
  const owed = [...(await unanswered(tx, null)), ...(await refused(tx, row.at - REFUSED_MS))];
  const cut = (await answersCut(tx)).filter((one) => one.seller_id === sellerId);
  if (cut.length < CUT_LIMIT && owed.every((one) => one.seller_id !== sellerId)) await releaseHold(tx, sellerId, nowMs);
}

/** Whether the purchase of a receipt has another one by now, which took its place. */
const isReplaced = async (tx: Db, receiptId: string): Promise<boolean> =>
  (await tx
    .selectFrom("receipts")
    .innerJoin("purchases", "purchases.nonce", "receipts.payment_nonce")
    .select("purchases.id")
    .where("receipts.id", "=", receiptId)
    .where("purchases.receipt_id", "!=", receiptId)
    .executeTakeFirst()) !== undefined;

/** Whether the seller served a receipt's purchase before, in an answer that the database took no copy of. */
const isHandedOver = async (tx: Db, receiptId: string): Promise<boolean> =>
  (await tx
    .selectFrom("purchases")
    .select("id")
    .where("receipt_id", "=", receiptId)
    .where("answered_at", "is not", null)
    .executeTakeFirst()) !== undefined;

type Unanswered = { seller_id: string; idempotency_key: string; state: string; created_at: number };

/**
 * Payments sent out without an answer, or undecided with an improper one, newest first; with `nowMs` without those of
 * calls in progress at that time. A payment beyond the wallet's funds, turned down, is not owed an answer.
 */
const unanswered = (tx: Db, nowMs: number | null): Promise<Unanswered[]> =>
  tx
    .selectFrom("purchases")
    .leftJoin("receipts", "receipts.id", "purchases.receipt_id")
    .select(["purchases.seller_id", "purchases.idempotency_key", "purchases.state", "purchases.created_at"])
    .where((eb) =>
      eb.or([
        eb.and([
          eb("receipt_id", "is", null),
          eb("answered_at", "is", null),
          eb.or([
            eb.and([eb("purchases.state", "=", "settled"), eb("part", "is distinct from", "0")]),
            eb.and([eb("purchases.state", "=", "sent"), eb("purchases.reason", "is distinct from", WALLET_SHORT)]),
          ]),
        ]),
        eb.and([eb("purchases.state", "=", "answered"), eb("answered_at", "is", null), isNoAnswer]),
      ]),
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom("call_leases")
            .select("call_leases.owner")
            .whereRef("call_leases.idempotency_key", "=", "purchases.idempotency_key")
            .where("until", ">", nowMs ?? Number.MAX_SAFE_INTEGER),
        ),
      ),
    )
    .orderBy("purchases.created_at", "desc")
    .execute();

/** The reason to hold a seller that owes these, with the time of the newest payment behind it (unix ms), or null. */
function unservedReason(owed: readonly Unanswered[]): { reason: HoldReason; since: number } | null {
  const settled = owed.find(({ state }) => state === "settled");
  if (settled !== undefined) return { reason: UNSERVED.settled, since: settled.created_at };
  const [newest] = owed;
  return newest !== undefined && owed.length >= IN_DOUBT_LIMIT
    ? { reason: UNSERVED.inDoubt, since: newest.created_at }
    : null;
}

/** Holds a seller unless it is held already, or the owner released it after `since` (unix ms). */
async function hold(
  tx: Db,
  job: { sellerId: string; receiptId: string; reason: string; since: number; nowMs: number },
): Promise<void> {
  const values = { receipt_id: job.receiptId, reason: job.reason, at: job.nowMs, released_at: null };
  const row = await tx
    .insertInto("seller_holds")
    .values({ seller_id: job.sellerId, ...values })
    .onConflict((conflict) =>
      conflict.column("seller_id").doUpdateSet(values).where("seller_holds.released_at", "<", job.since),
    )
    .returningAll()
    .executeTakeFirst();
  if (row !== undefined) await logHold(tx, row, job.nowMs);
}

/** Every configured seller and whether it may be bought from. */
export async function viewSellers(db: Db, sellers: readonly Seller[]): Promise<SellerView[]> {
  const holds = await db.selectFrom("seller_holds").selectAll().where("released_at", "is", null).execute();
  return Promise.all(
    sellers.map(async ({ id, origin = null, assurance }) => {
      const held = holds.find((one) => one.seller_id === id);
      if (held === undefined) return { id, origin, assurance, hold: null };
      return { id, origin, assurance, hold: { ...(await shownBy(db, held)), since: new Date(held.at).toISOString() } };
    }),
  );
}

/** Lets a seller be bought from again; false where it was not on hold. Its next failure puts it on hold again. */
export const releaseHold = (db: Db, sellerId: string, nowMs: number): Promise<boolean> =>
  immediate(db, async (tx) => {
    const row = await tx
      .updateTable("seller_holds")
      .set({ released_at: nowMs })
      .where("seller_id", "=", sellerId)
      .where("released_at", "is", null)
      .returningAll()
      .executeTakeFirst();
    if (row !== undefined) await logHold(tx, row, nowMs);
    return row !== undefined;
  });

const logHold = (tx: Db, row: Selectable<SellerHoldsTable>, nowMs: number): Promise<unknown> =>
  appendEntry(tx, { kind: "hold", subject: row.seller_id, value: holdState(row), at: new Date(nowMs) });
