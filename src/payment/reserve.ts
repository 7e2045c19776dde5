import { Proof402Error } from "../errors.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import type { ListedPrice, Offer } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { countSpending } from "./caps.ts";
import { toRow } from "./journal-rows.ts";
import { readAttempts } from "./journal.ts";
import { NEVER_SIGNED } from "./reasons.ts";
import { refusalOf, type Wish } from "./judge.ts";
import type { PurchaseRecord, Refusal, WireRequest } from "./types.ts";

export type ReserveRequest = Wish & {
  /**
   * 1, or one more than the newest attempt, which must be released or sent in vain. An attempt that was given up before it
   * was signed has its place taken.
   */
  attempt: number;
  /** sha256 hex of what was asked. */
  argsDigest: string;
  model: string;
  offer: Offer;
  accepted: Record<string, unknown>;
  /** What the seller listed; none where absent. */
  listedPrice?: ListedPrice | null;
  request: WireRequest;
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
  const { now, payment } = request;
  requireAgreement(request);
  const nowMs = now.getTime();
  return immediate(
    db,
    async (tx) => {
      const attempts = await readAttempts(tx, request.idempotencyKey);
      if (attempts.some(({ argsDigest }) => argsDigest !== request.argsDigest)) return { kind: "conflict" };
      const unsigned = attempts.find((one) => makesWay(one, request.attempt));
      const latest = attempts.findLast((one) => one !== unsigned);
      if (latest === undefined && request.attempt !== 1)
        throw mismatch("The journal knows no earlier attempt at this call.");
      if (latest !== undefined && !mayFollow(attempts, request)) return { kind: "existing", purchase: latest };
      const refusal = await refusalOf(tx, request);
      if (refusal !== null) return { kind: "refused", refusal };
      // Its nonce was never used: the attempt that takes its place has the same.
      if (unsigned !== undefined) await tx.deleteFrom("purchases").where("id", "=", unsigned.id).execute();
      const purchase = newPurchase(request, nowMs);
      await tx.insertInto("purchases").values(toRow(purchase)).execute();
      await countSpending(tx, { ...payment, sellerId: request.sellerId, client: purchase.client }, nowMs, {
        amount: isLaterShare(payment) ? 0n : BigInt(payment.amount),
        calls: 1n,
      });
      return { kind: "reserved", purchase };
      // Nothing is signed yet; the transition that comes before a signature makes this durable with itself.
    },
    "process",
  );
}

const newPurchase = (request: ReserveRequest, nowMs: number): PurchaseRecord => ({
  id: crypto.randomUUID(),
  idempotencyKey: request.idempotencyKey,
  attempt: request.attempt,
  argsDigest: request.argsDigest,
  state: "reserved",
  sellerId: request.sellerId,
  client: request.client?.name ?? null,
  model: request.model,
  offer: request.offer,
  accepted: request.accepted,
  listedPrice: request.listedPrice ?? null,
  payment: request.payment,
  request: request.request,
  receiptId: null,
  answeredAt: null,
  transaction: null,
  settledAmount: null,
  reported: null,
  part: null,
  reason: null,
  createdAt: nowMs,
  updatedAt: nowMs,
});

/**
 * An attempt may follow a released one (its authorization is dead), or a sent one turned down by the seller with a new
 * offer. The latter stays redeemable until it expires and goes on counting, so a call may have at most one such beside
 * the new one, and of the same asset: only then can both be held to one bound. None follows one that was answered,
 * even without a receipt, or settled: a call is paid once.
 */
export function mayFollow(
  attempts: readonly PurchaseRecord[],
  { attempt, payment }: Pick<ReserveRequest, "attempt" | "payment">,
): boolean {
  const signed = attempts.filter((one) => !makesWay(one, attempt));
  const alive = signed.filter(({ state }) => state !== "released");
  const turnedDown = alive.every(
    (one) =>
      one.state === "sent" &&
      one.answeredAt === null &&
      one.payment.network === payment.network &&
      one.payment.asset === payment.asset,
  );
  return attempt === (signed.at(-1)?.attempt ?? 0) + 1 && alive.length < 2 && turnedDown;
}

const makesWay = ({ attempt, reason }: PurchaseRecord, next: number): boolean =>
  attempt === next && reason === NEVER_SIGNED;

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
  new Proof402Error("payment_mismatch", message, {
    next: "Nothing was reserved. Start the purchase again from its offer.",
  });
