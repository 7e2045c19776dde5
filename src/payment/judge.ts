import { evidenceOf, methodOf } from "../evidence/methods/methods.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import { findExceededCap, readCallsLastHour, readUsage, type ClientBound, type Usage } from "./caps.ts";
import { lackOf, type Funds } from "./funds.ts";
import { isWithin } from "./hours.ts";
import { payerOf } from "./methods/methods.ts";
import { MIN_USABLE_SECONDS } from "./offers.ts";
import { findAsset, type AssetPolicy, type PaymentPolicy, type SellerLimits } from "./policy.ts";
import { budgetIn, type ClientBudget } from "./client-budget.ts";
import type { PurchaseRecord, Refusal } from "./types.ts";

/** A payment to be judged, and what bounds it besides the policy. Amounts in base units. */
export type Wish = {
  policy: PaymentPolicy;
  now: Date;
  idempotencyKey: string;
  sellerId: string;
  payment: Payment;
  /** The owner's own caps for this seller. */
  sellerLimits?: SellerLimits | undefined;
  /** The caller's own bound, over all that the call may still cost. */
  maxAmount?: bigint | undefined;
  /** For whom it is, and that client's own budget. */
  client?: ClientBudget | undefined;
  /** The wallet's funds as last seen; none where the chain did not answer. */
  funds?: Funds | null;
};

/**
 * Why the policy of this moment refuses a payment, or null. Runs in the transaction that reserves it or lets it be
 * signed, so its reads stay true until then.
 */
export const refusalOf = (tx: Db, wish: Wish): Promise<Refusal | null> => judge(tx, wish, null);

/** The same for a payment that is reserved: the journal counts it already. */
export const refusalOfReserved = (tx: Db, wish: Wish, reserved: Pick<PurchaseRecord, "id">): Promise<Refusal | null> =>
  judge(tx, wish, reserved.id);

async function judge(tx: Db, wish: Wish, own: string | null): Promise<Refusal | null> {
  const { policy, now, payment } = wish;
  const asset = findAsset(payment, policy.assets);
  if (asset === undefined) {
    return {
      code: "asset_not_allowed",
      message: "The offer's network and asset are not in the payment policy.",
    };
  }
  return (
    closedNow(policy, now) ??
    wrongLifetime(payment, policy, now.getTime()) ??
    (await payerOf(payment).refusalIn(tx, payment)) ??
    (await overCaps(tx, wish, asset, own)) ??
    (await underfunded(tx, wish, asset))
  );
}

async function underfunded(
  tx: Db,
  { funds = null, idempotencyKey, payment }: Wish,
  asset: AssetPolicy,
): Promise<Refusal | null> {
  const by = methodOf(payment);
  return funds === null || by === null || isLaterShare(payment)
    ? null
    : lackOf(tx, { ...payment, idempotencyKey, by }, asset, funds);
}

async function overCaps(tx: Db, wish: Wish, asset: AssetPolicy, own: string | null): Promise<Refusal | null> {
  const { policy, now, payment, sellerId, sellerLimits, maxAmount } = wish;
  // Of a later call on one authorization the first call's row has the money, all of it.
  const amount = isLaterShare(payment) ? 0n : BigInt(payment.amount);
  const counted = own === null ? 0n : amount;
  const without = ({ hour, day, total }: Usage): Usage => ({
    hour: hour - counted,
    day: day - counted,
    total: total - counted,
  });
  const nowMs = now.getTime();
  return findExceededCap({
    policy,
    asset,
    amount,
    sameCall: await stillAtStake(tx, wish.idempotencyKey, own),
    usage: without(await readUsage(tx, asset, nowMs)),
    callsLastHour: (await readCallsLastHour(tx, nowMs)) - (own === null ? 0n : 1n),
    maxAmount,
    mayCost: BigInt(payment.amount),
    seller: sellerLimits && { limits: sellerLimits, usage: without(await readUsage(tx, asset, nowMs, sellerId)) },
    client: await clientBound(tx, wish, asset, counted),
  });
}

/** The client's budget in the payment's asset, and what counts against it without the payment itself. */
async function clientBound(
  tx: Db,
  { client, policy, now }: Wish,
  asset: AssetPolicy,
  counted: bigint,
): Promise<ClientBound | undefined> {
  const budget = client && (await budgetIn(tx, client, policy, asset, now));
  return budget && { ...budget, used: budget.used - counted };
}

/** What other authorizations of the same call may still cost, or cost, base units. */
export async function stillAtStake(tx: Db, idempotencyKey: string, besides: string | null = null): Promise<bigint> {
  const rows = await tx
    .selectFrom("purchases")
    .select(["id", "amount"])
    .where("idempotency_key", "=", idempotencyKey)
    .where("state", "!=", "released")
    .execute();
  return rows.reduce((sum, { id, amount }) => (id === besides ? sum : sum + BigInt(amount)), 0n);
}

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
  if (evidenceOf(payment).claimed) return null;
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
