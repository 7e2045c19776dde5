import { randomBytes } from "node:crypto";
import { Proof402Error } from "../errors.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { PurchasesTable, PurchaseState } from "../storage/tables.ts";
import { addUsage, brokenCap, CALLS, countedAmount, readCallsLastHour, readUsage, remainingOf } from "./caps.ts";
import { isOpen, toRecord, toRow } from "./journal-rows.ts";
import { MIN_USABLE_SECONDS } from "./offers.ts";
import type { AssetPolicy, PaymentPolicy } from "./policy.ts";
import type { AssetSpending, PurchaseRecord, Refusal, Transition, WireRequest } from "./types.ts";

export type ReserveRequest = {
  policy: PaymentPolicy;
  now: Date;
  idempotencyKey: string;
  /** 1, or one more than the newest attempt, which must be released or sent in vain. */
  attempt: number;
  /** sha256 hex of what was asked. */
  argsDigest: string;
  sellerId: string;
  model: string;
  offer: Offer;
  accepted: Record<string, unknown>;
  payment: Payment;
  request: WireRequest;
  /** The caller's own bound, base units. */
  maxAmount?: bigint;
};

export type ReserveResult =
  | { kind: "reserved"; purchase: PurchaseRecord }
  /** The key already has this attempt (or one that still stands in its way); nothing was reserved. */
  | { kind: "existing"; purchase: PurchaseRecord }
  /** The key was used for another call. */
  | { kind: "conflict" }
  | { kind: "refused"; refusal: Refusal };

/**
 * Checks every cap and reserves the amount, in one `BEGIN IMMEDIATE` transaction: of any number of processes on the file,
 * none gets past a cap. Throws Proof402Error `payment_mismatch` where payment and offer disagree.
 */
export async function reserve(db: Db, request: ReserveRequest): Promise<ReserveResult> {
  const { policy, now, payment, maxAmount } = request;
  requireAgreement(request);
  const asset = policy.assets.find((one) => one.network === payment.network && one.asset === payment.asset);
  if (asset === undefined) {
    return { kind: "refused", refusal: { code: "asset_not_allowed", message: "The offer's network and asset are not in the payment policy." } };
  }
  const nowMs = now.getTime();
  return immediate(db, async (tx) => {
    const latest = await readLatestAttempt(tx, request.idempotencyKey);
    if (latest !== null && latest.argsDigest !== request.argsDigest) return { kind: "conflict" };
    if (latest !== null && !(await mayFollow(tx, latest, request.attempt))) return { kind: "existing", purchase: latest };
    if (latest === null && request.attempt !== 1) throw mismatch("The journal knows no earlier attempt at this call.");
    const amount = BigInt(payment.amount);
    const refusal =
      wrongLifetime(payment, policy, nowMs) ??
      brokenCap({
        policy,
        asset,
        amount,
        usage: await readUsage(tx, asset, nowMs),
        callsLastHour: await readCallsLastHour(tx, nowMs),
        ...(maxAmount === undefined ? {} : { maxAmount }),
      });
    if (refusal !== null) return { kind: "refused", refusal };
    const purchase = newPurchase(request, nowMs);
    await tx.insertInto("purchases").values(toRow(purchase)).execute();
    await count(tx, purchase.payment, nowMs, amount, 1n);
    return { kind: "reserved", purchase };
  });
}

const newPurchase = (request: ReserveRequest, nowMs: number): PurchaseRecord => ({
  id: crypto.randomUUID(),
  idempotencyKey: request.idempotencyKey,
  attempt: request.attempt,
  argsDigest: request.argsDigest,
  state: "reserved",
  sellerId: request.sellerId,
  model: request.model,
  offer: request.offer,
  accepted: request.accepted,
  payment: request.payment,
  request: request.request,
  receiptId: null,
  transaction: null,
  settledAmount: null,
  reason: null,
  createdAt: nowMs,
  updatedAt: nowMs,
});

/**
 * An attempt may follow one that was released (its authorization is dead), or one that was sent and that the seller
 * turned down with a new offer. The latter stays redeemable until it expires and goes on counting, so a call may have
 * at most one such beside the new one.
 */
async function mayFollow(tx: Db, latest: PurchaseRecord, attempt: number): Promise<boolean> {
  if (attempt !== latest.attempt + 1) return false;
  if (latest.state !== "released" && latest.state !== "sent") return false;
  const alive = await tx
    .selectFrom("purchases")
    .select("id")
    .where("idempotency_key", "=", latest.idempotencyKey)
    .where("state", "!=", "released")
    .limit(2)
    .execute();
  return alive.length < 2;
}

function wrongLifetime(payment: Payment, policy: PaymentPolicy, nowMs: number): Refusal | null {
  const left = payment.validBefore - Math.floor(nowMs / 1000);
  if (left > policy.maxAuthorizationSeconds) {
    return {
      code: "authorization_too_long",
      message: `The authorization would live ${left} s; the policy allows ${policy.maxAuthorizationSeconds} s.`,
    };
  }
  if (left < MIN_USABLE_SECONDS) {
    return { code: "authorization_too_short", message: `The authorization would live ${left} s; at least ${MIN_USABLE_SECONDS} s are needed.` };
  }
  return null;
}

function requireAgreement({ offer, payment }: ReserveRequest): void {
  const agrees =
    payment.network === offer.network &&
    payment.asset === offer.asset &&
    payment.amount === offer.amount &&
    payment.payTo === offer.payTo &&
    /^(?:0|[1-9][0-9]{0,77})$/.test(payment.amount);
  if (!agrees) throw mismatch("The planned payment is not for the chosen offer.");
}

const mismatch = (message: string): Proof402Error =>
  new Proof402Error("payment_mismatch", message, { next: "Nothing was reserved. Start the purchase again from its offer." });

const count = (tx: Db, purchase: { network: string; asset: string }, at: number, amount: bigint, calls: bigint): Promise<void> =>
  addUsage(tx, at, [
    { account: purchase, delta: amount },
    { account: CALLS, delta: calls },
  ]);

/** Before the signature is made: from here on the authorization may be redeemable. Again before the same one is resent. */
export const markSigned = (db: Db, id: string, { now }: { now: Date }): Promise<Transition> =>
  move(db, id, now, ({ state }) => (state === "reserved" ? { state: "signed" } : state === "signed" || state === "sent" ? UNCHANGED : null));

/** Before the bytes go on the wire, the first time or again. */
export const markSent = (db: Db, id: string, { now }: { now: Date }): Promise<Transition> =>
  move(db, id, now, ({ state }) => (state === "signed" ? { state: "sent" } : state === "sent" ? UNCHANGED : null));

/**
 * An answer came and its receipt is stored. An answer may also come after the chain has decided: the receipt is noted and
 * the state stays. An attempt has one receipt; a second is refused.
 */
export const markAnswered = (db: Db, id: string, { receiptId, now }: { receiptId: string; now: Date }): Promise<Transition> =>
  move(db, id, now, ({ state, receipt_id: known }) => {
    if (known !== null) return known === receiptId ? UNCHANGED : null;
    if (state === "reserved" || state === "signed") return null;
    return { receipt_id: receiptId, ...(state === "sent" ? { state: "answered" } : {}) };
  });

/**
 * The transfer was seen on chain. `amount` is what really moved, base units; the caps count it from now on.
 * Legal from every state but `released`: what the chain shows is true whatever this journal had come to.
 */
export const markSettled = (
  db: Db,
  id: string,
  { transaction, amount, now }: { transaction: string; amount: string; now: Date },
): Promise<Transition> =>
  move(db, id, now, (row) => {
    if (row.state === "settled") return row.transaction === transaction ? UNCHANGED : null;
    return row.state === "released" ? null : { state: "settled", transaction, settled_amount: BigInt(amount).toString() };
  });

/**
 * Gives the reservation back. Once an authorization may have been signed, that takes `unusable`: the caller has seen on
 * chain that it expired unused. `reason` is a code.
 */
export const release = (
  db: Db,
  id: string,
  { reason, unusable = false, now }: { reason: string; unusable?: boolean; now: Date },
): Promise<Transition> =>
  move(db, id, now, ({ state }) => {
    if (state === "released") return UNCHANGED;
    return state === "reserved" || (unusable && state !== "settled") ? { state: "released", reason } : null;
  });

type Change = Partial<Pick<PurchasesTable, "state" | "receipt_id" | "transaction" | "settled_amount" | "reason">>;
const UNCHANGED: Change = {};

const MOVING = ["state", "network", "asset", "amount", "settled_amount", "receipt_id", "transaction", "created_at"] as const;
type Moving = Pick<PurchasesTable, (typeof MOVING)[number]>;

/**
 * Compare-and-set: applies the change that `decide` names for the row as it stands, or nothing where that is null. What
 * the row counts against the caps changes in the same transaction.
 */
async function move(db: Db, id: string, now: Date, decide: (row: Moving) => Change | null): Promise<Transition> {
  return immediate(db, async (tx) => {
    const row = await tx.selectFrom("purchases").select(MOVING).where("id", "=", id).executeTakeFirst();
    if (row === undefined) return { ok: false, code: "unknown_purchase", state: null };
    const change = decide(row);
    if (change === null) return { ok: false, code: "illegal_transition", state: row.state };
    if (change === UNCHANGED) return { ok: true, state: row.state, changed: false };
    const after = { ...row, ...change };
    await tx.updateTable("purchases").set({ ...change, updated_at: now.getTime() }).where("id", "=", id).execute();
    const calls = after.state === "released" && row.state !== "released" ? -1n : 0n;
    await count(tx, row, row.created_at, countedAmount(after) - countedAmount(row), calls);
    return { ok: true, state: after.state, changed: true };
  });
}

const recordOrNull = (row: PurchasesTable | undefined): PurchaseRecord | null => (row === undefined ? null : toRecord(row));

/** One attempt by its id. */
export const readPurchase = async (db: Db, id: string): Promise<PurchaseRecord | null> =>
  recordOrNull(await db.selectFrom("purchases").selectAll().where("id", "=", id).executeTakeFirst());

/** The newest attempt at a logical call. */
export const readLatestAttempt = async (db: Db, idempotencyKey: string): Promise<PurchaseRecord | null> =>
  recordOrNull(
    await db
      .selectFrom("purchases")
      .selectAll()
      .where("idempotency_key", "=", idempotencyKey)
      .orderBy("attempt", "desc")
      .limit(1)
      .executeTakeFirst(),
  );

/** The attempt whose answer a receipt holds. */
export const readPurchaseByReceipt = async (db: Db, receiptId: string): Promise<PurchaseRecord | null> =>
  recordOrNull(await db.selectFrom("purchases").selectAll().where("receipt_id", "=", receiptId).executeTakeFirst());

/** Attempts whose money is not decided yet, oldest first. */
export const openPurchases = async (db: Db): Promise<PurchaseRecord[]> =>
  (await db.selectFrom("purchases").selectAll().where(isOpen).orderBy("created_at").execute()).map(toRecord);

/** The newest attempts, newest first. */
export const recentPurchases = async (db: Db, limit: number): Promise<PurchaseRecord[]> =>
  (await db.selectFrom("purchases").selectAll().orderBy("created_at", "desc").limit(limit).execute()).map(toRecord);

/** Caps and what counts against them, per asset of the policy. */
export async function spending(db: Db, policy: PaymentPolicy, now: Date): Promise<{ assets: AssetSpending[]; callsLastHour: number }> {
  return immediate(db, async (tx) => {
    const open = await tx.selectFrom("purchases").select(["network", "asset", "state", "amount", "settled_amount"]).where(isOpen).execute();
    const assets: AssetSpending[] = [];
    for (const asset of policy.assets) {
      const own = open.filter((row) => row.network === asset.network && row.asset === asset.asset);
      assets.push(await spendingOf(tx, asset, own.reduce((total, row) => total + countedAmount(row), 0n), now));
    }
    return { assets, callsLastHour: Number(await readCallsLastHour(tx, now.getTime())) };
  });
}

async function spendingOf(tx: Db, asset: AssetPolicy, reserved: bigint, now: Date): Promise<AssetSpending> {
  const usage = await readUsage(tx, asset, now.getTime());
  const windowOf = (name: "hour" | "day" | "total", cap: string): AssetSpending["windows"][number] => ({
    name,
    used: usage[name].toString(),
    cap,
    remaining: remainingOf(BigInt(cap), usage[name]).toString(),
  });
  return {
    network: asset.network,
    asset: asset.asset,
    symbol: asset.symbol,
    decimals: asset.decimals,
    reserved: reserved.toString(),
    spent: (usage.total - reserved).toString(),
    windows: [windowOf("hour", asset.perHour), windowOf("day", asset.perDay), windowOf("total", asset.total)],
    perCall: asset.perCall,
  };
}

/** The secret that nonces are derived from: 32 random bytes as hex, made once per file whoever asks first. */
export async function journalSecret(db: Db): Promise<string> {
  const read = () => db.selectFrom("meta").select("value").where("key", "=", "journal_secret").executeTakeFirst();
  const known = await read();
  if (known !== undefined) return known.value;
  await db
    .insertInto("meta")
    .values({ key: "journal_secret", value: randomBytes(32).toString("hex") })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const made = await read();
  if (made === undefined) throw new Error("the journal's secret was not stored");
  return made.value;
}
