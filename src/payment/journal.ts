import type { Hex } from "../evidence/bytes.ts";
import { drawnOnce, type Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { PurchasesTable, PurchaseState } from "../storage/tables.ts";
import { move, UNCHANGED, type Change, type Moving } from "./journal-moves.ts";
import { isOpen, toRecord } from "./journal-rows.ts";
import { callsBeside } from "./share-books.ts";
import { callsOn } from "./shared.ts";
import { releaseCalls, settleCalls } from "./share-moves.ts";
import type { PurchaseRecord, Refusal, Transition } from "./types.ts";
import { settlePart } from "./voucher-sum.ts";

/** In these an authorization has been signed already. */
const SIGNED: readonly PurchaseState[] = ["signed", "sent", "answered", "settled"];
/**
 * Until its answer is there the very same authorization may be signed and sent again. `replaces` names the receipt of a
 * seller's failure, which is no answer.
 */
const again = ({ state, receipt_id: known }: Moving, replaces: string | null): Change | null =>
  SIGNED.includes(state) && known === replaces ? UNCHANGED : null;

/**
 * Before the signature is made: from here on the authorization may be redeemable. Again before the same one is resent.
 *
 * `consent` judges an unsent payment under the present policy, in this very transaction: a refused one is not signed.
 */
export const markSigned = (
  db: Db,
  id: string,
  {
    now,
    consent = agree,
    replaces = null,
  }: { now: Date; consent?: (tx: Db) => Promise<Refusal | null>; replaces?: string | null },
): Promise<Transition> =>
  immediate(db, async (tx) => {
    const row = await tx.selectFrom("purchases").select("state").where("id", "=", id).executeTakeFirst();
    const unsent = row?.state === "reserved" || row?.state === "signed";
    const refusal = unsent ? await consent(tx) : null;
    if (refusal !== null && row !== undefined) return { ok: false, code: "refused", state: row.state, refusal };
    return move(tx, id, now, (moving) => (moving.state === "reserved" ? { state: "signed" } : again(moving, replaces)));
  });

const agree = (): Promise<null> => Promise.resolve(null);

/**
 * Before the bytes go on the wire, the first time or again. The signature is kept here until it can be shown
 * ({@link readSignature}). `isShared`: a call on an authorization for several.
 */
export const markSent = (
  db: Db,
  id: string,
  {
    now,
    replaces = null,
    signature = null,
    isShared = false,
  }: { now: Date; replaces?: string | null; signature?: string | null; isShared?: boolean },
): Promise<Transition> =>
  move(
    db,
    id,
    now,
    (row) => {
      if (row.state === "signed") return { state: "sent", signature };
      // Its seller counts each sending of a call on a shared authorization: there is one, by whichever process.
      if (row.share !== null) return null;
      const change = again(row, replaces);
      // It is asked for once more: what was said before explains nothing.
      return change !== null && row.reason === WALLET_SHORT ? { reason: null } : change;
    },
    // `signed` is on the disk and means the same for the money; the answer's transaction makes this durable too. Of a call
    // on a shared authorization it is all that keeps it from being sent again.
    isShared ? "power loss" : "process",
  );

/**
 * An answer came and its receipt is stored. An answer may also come after the chain has decided: the receipt is noted
 * and the state stays. An attempt has one receipt. A second one is refused, unless it replaces the one named by
 * `replaces`: a seller's failure before it served. `served` is false for an answer with an error status.
 */
export const markAnswered = (
  db: Db,
  id: string,
  {
    receiptId,
    served = true,
    replaces = null,
    now,
  }: { receiptId: string; served?: boolean; replaces?: string | null; now: Date },
): Promise<Transition> =>
  move(db, id, now, ({ state, receipt_id: known }) => {
    if (known === receiptId) return UNCHANGED;
    if (known !== replaces) return null;
    if (state === "reserved" || state === "signed") return null;
    const answered = state === "sent" ? { state: "answered" as const } : {};
    return { receipt_id: receiptId, ...(served ? { answered_at: now.getTime() } : {}), ...answered };
  });

/** An answer came whose receipt could not be stored: its seller owes nothing. The payment may be sent again for a copy. */
export const markServed = (db: Db, id: string, now: Date): Promise<Transition> =>
  move(db, id, now, ({ receipt_id: known }) => (known === null ? { answered_at: now.getTime() } : UNCHANGED));

/** Why a sent payment was turned down: the chain shows too little in the wallet for it. */
export const WALLET_SHORT = "wallet_short";

/** The seller turned a sent payment down, and the wallet's own funds are why. */
export const markShort = (db: Db, id: string, now: Date): Promise<Transition> =>
  move(db, id, now, ({ state }) => (state === "sent" ? { reason: WALLET_SHORT } : UNCHANGED));

/** Why a voucher was released whose part of the channel's sum is another purchase's. */
export const SUPERSEDED = "voucher_superseded";

/**
 * The transfer was seen on chain. `amount` is what really moved, base units; the caps count it from now on. `reason` is
 * a code where something was wrong with it. Legal from every state: the chain's word is true over the journal's.
 *
 * A channel's sum settles one purchase. A voucher is released if another purchase, served or settled, has its part; if
 * they share a part, only the rest is settled.
 */
export const markSettled = (
  db: Db,
  id: string,
  {
    transaction,
    amount,
    reason = null,
    now,
  }: { transaction: string | null; amount: string; reason?: string | null; now: Date },
): Promise<Transition> =>
  immediate(db, async (tx) => {
    const row = await tx
      .selectFrom("purchases")
      .select(["channel_id", "state"])
      .where("id", "=", id)
      .executeTakeFirst();
    const calls = await callsBeside(tx, id);
    if (calls !== null) return settleCalls(tx, id, calls, { transaction, amount, reason, now });
    const isVoucher = row !== undefined && row.channel_id !== null;
    const open = isVoucher && ["signed", "sent", "answered"].includes(row.state);
    const part = open ? await settlePart(tx, id, now) : BigInt(amount);
    if (part === null) return release(tx, id, { reason: SUPERSEDED, unusable: true, now });
    return move(tx, id, now, ({ state, transaction: known }) => {
      if (state === "settled") return known === transaction ? UNCHANGED : null;
      // A voucher that was given up has its sum counted with the one that took its place.
      if (state === "released" && isVoucher) return null;
      return { state: "settled", transaction, settled_amount: part.toString(), reason };
    });
  });

/**
 * Gives the reservation back. Once an authorization may be signed, release takes `unusable`: the caller has seen on
 * chain that it expired unused. `reason` is a code.
 */
export const release = (
  db: Db,
  id: string,
  { reason, unusable = false, now }: { reason: string; unusable?: boolean; now: Date },
): Promise<Transition> =>
  immediate(db, async (tx) => {
    const calls = unusable ? await callsBeside(tx, id) : null;
    if (calls !== null) return releaseCalls(tx, id, calls, { reason, now });
    return move(tx, id, now, ({ state }) => {
      if (state === "released") return UNCHANGED;
      return state === "reserved" || (unusable && state !== "settled") ? { state: "released", reason } : null;
    });
  });

const recordOrNull = (row: PurchasesTable | undefined): PurchaseRecord | null =>
  row === undefined ? null : toRecord(row);

/** One attempt by its id. */
export const readPurchase = async (db: Db, id: string): Promise<PurchaseRecord | null> =>
  recordOrNull(await db.selectFrom("purchases").selectAll().where("id", "=", id).executeTakeFirst());

/** One attempt by the name of its row: the nonce, but of a voucher or a later call on an authorization. */
export const readPurchaseByName = async (db: Db, name: PurchasesTable["nonce"]): Promise<PurchaseRecord | null> =>
  recordOrNull(await db.selectFrom("purchases").selectAll().where("nonce", "=", name).executeTakeFirst());

/** Every attempt at a logical call, oldest first. */
export const readAttempts = async (db: Db, idempotencyKey: string): Promise<PurchaseRecord[]> =>
  (
    await db
      .selectFrom("purchases")
      .selectAll()
      .where("idempotency_key", "=", idempotencyKey)
      .orderBy("attempt")
      .execute()
  ).map(toRecord);

/** The newest attempt at a logical call. */
export const readLatestAttempt = async (db: Db, idempotencyKey: string): Promise<PurchaseRecord | null> =>
  recordOrNull(
    await db
      .selectFrom("purchases")
      .selectAll()
      .where("idempotency_key", "=", idempotencyKey)
      .orderBy("attempt", "desc")
      .executeTakeFirst(),
  );

/** The attempts whose authorization bears this nonce: one, or of an authorization for several calls each call's. */
export async function readPurchasesByNonce(db: Db, nonce: Hex): Promise<PurchaseRecord[]> {
  const first = await db.selectFrom("purchases").selectAll().where("nonce", "=", nonce).executeTakeFirst();
  if (first === undefined) return [];
  return (first.share === null ? [first] : await callsOn(db, nonce)).map(toRecord);
}

/** The attempt whose answer a receipt holds. */
export const readPurchaseByReceipt = async (db: Db, receiptId: string): Promise<PurchaseRecord | null> =>
  recordOrNull(await db.selectFrom("purchases").selectAll().where("receipt_id", "=", receiptId).executeTakeFirst());

/**
 * The payer's signature of the purchase that a receipt is of, or null where the journal has none. A holder of it may
 * use it while the authorization is valid: no record has it, and it leaves this file only afterwards.
 */
export async function readSignature(db: Db, receiptId: string): Promise<string | null> {
  const row = await db
    .selectFrom("purchases")
    .select("signature")
    .where("receipt_id", "=", receiptId)
    .executeTakeFirst();
  return row?.signature ?? null;
}

/** Attempts whose money is not decided yet, oldest first. */
export const openPurchases = async (db: Db): Promise<PurchaseRecord[]> =>
  (await db.selectFrom("purchases").selectAll().where(isOpen).orderBy("created_at").execute()).map(toRecord);

/** The newest attempts, newest first, without the `skip` newest. */
export const recentPurchases = async (db: Db, limit: number, skip = 0): Promise<PurchaseRecord[]> => {
  const newest = db.selectFrom("purchases").selectAll().orderBy("created_at", "desc").orderBy("id");
  return (await newest.limit(limit).offset(skip).execute()).map(toRecord);
};

/** The file's own secret, which nonces are derived from where a wallet gives none: 32 random bytes as hex. */
export const journalSecret = (db: Db): Promise<string> => drawnOnce(db, "journal_secret");
