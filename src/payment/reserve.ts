import { Proof402Error } from "../errors.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { brokenCap, countPurchase, readCallsLastHour, readUsage } from "./caps.ts";
import { voucherRefusal } from "./channels.ts";
import { isWithin } from "./hours.ts";
import { toRow } from "./journal-rows.ts";
import { readLatestAttempt } from "./journal.ts";
import { MIN_USABLE_SECONDS } from "./offers.ts";
import type { PaymentPolicy } from "./policy.ts";
import type { PurchaseRecord, Refusal, WireRequest } from "./types.ts";

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
    return {
      kind: "refused",
      refusal: { code: "asset_not_allowed", message: "The offer's network and asset are not in the payment policy." },
    };
  }
  const nowMs = now.getTime();
  return immediate(
    db,
    async (tx) => {
      const latest = await readLatestAttempt(tx, request.idempotencyKey);
      if (latest !== null && latest.argsDigest !== request.argsDigest) return { kind: "conflict" };
      const alive = latest === null ? [] : await aliveAttempts(tx, request.idempotencyKey);
      if (latest !== null && !mayFollow(latest, alive, request)) return { kind: "existing", purchase: latest };
      if (latest === null && request.attempt !== 1)
        throw mismatch("The journal knows no earlier attempt at this call.");
      const amount = BigInt(payment.amount);
      const refusal =
        closedNow(policy, now) ??
        wrongLifetime(payment, policy, nowMs) ??
        (payment.method === "voucher" ? await voucherRefusal(tx, payment) : null) ??
        brokenCap({
          policy,
          asset,
          amount,
          sameCall: alive.reduce((sum, attempt) => sum + BigInt(attempt.amount), 0n),
          usage: await readUsage(tx, asset, nowMs),
          callsLastHour: await readCallsLastHour(tx, nowMs),
          ...(maxAmount === undefined ? {} : { maxAmount }),
        });
      if (refusal !== null) return { kind: "refused", refusal };
      const purchase = newPurchase(request, nowMs);
      await tx.insertInto("purchases").values(toRow(purchase)).execute();
      await countPurchase(tx, payment, nowMs, amount, 1n);
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
 * at most one such beside the new one, and of the same asset: only then can both be held to one bound.
 */
function mayFollow(latest: PurchaseRecord, alive: readonly Alive[], { attempt, payment }: ReserveRequest): boolean {
  if (attempt !== latest.attempt + 1) return false;
  if (latest.state !== "released" && latest.state !== "sent") return false;
  return alive.length < 2 && alive.every((one) => one.network === payment.network && one.asset === payment.asset);
}

type Alive = { network: string; asset: string; amount: string };

/** Attempts at a call whose authorization may still be redeemed, or was. */
const aliveAttempts = (tx: Db, idempotencyKey: string): Promise<Alive[]> =>
  tx
    .selectFrom("purchases")
    .select(["network", "asset", "amount"])
    .where("idempotency_key", "=", idempotencyKey)
    .where("state", "!=", "released")
    .execute();

function closedNow({ hours }: PaymentPolicy, now: Date): Refusal | null {
  if (hours === undefined || isWithin(hours, now)) return null;
  const { days, from, to, timeZone } = hours;
  return {
    code: "outside_hours",
    message: `The policy allows purchases from ${from} to ${to} (${timeZone}) on ${days.join(", ")} only.`,
    limit: `${from}-${to}`,
  };
}

function wrongLifetime(payment: Payment, policy: PaymentPolicy, nowMs: number): Refusal | null {
  // A voucher has no end; what it can cost is in the channel already, and counts until it is claimed or taken back.
  if (payment.method === "voucher") return null;
  const left = payment.validBefore - Math.floor(nowMs / 1000);
  if (left > policy.maxAuthorizationSeconds) {
    return {
      code: "authorization_too_long",
      message: `The authorization would live ${left} s; the policy allows ${policy.maxAuthorizationSeconds} s.`,
    };
  }
  if (left < MIN_USABLE_SECONDS) {
    return {
      code: "authorization_too_short",
      message: `The authorization would live ${left} s; at least ${MIN_USABLE_SECONDS} s are needed.`,
    };
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
  new Proof402Error("payment_mismatch", message, {
    next: "Nothing was reserved. Start the purchase again from its offer.",
  });
