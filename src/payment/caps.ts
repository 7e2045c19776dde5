import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import type { PurchasesTable, SpendTable } from "../storage/tables.ts";
import type { AssetPolicy, PaymentPolicy, SellerLimits } from "./policy.ts";
import type { Refusal } from "./types.ts";
import { moneyText } from "../chain/money-text.ts";

// The caps need exact sums over rolling windows of amounts that do not fit SQLite's 64-bit integers, at a cost that does
// not grow with the number of purchases. So sums are kept as decimal strings per minute, per hour and over all time. A
// rolling window is then: whole hours, the whole minutes before the first of them, and single rows for the part of a
// minute at its edge.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ALL_TIME = 0;

/** What is summed: one asset's base units, in all or at one seller, or with {@link CALLS} the number of purchases. */
export type SpendAccount = { network: string; asset: string };
/** Purchases over all assets, one each. */
export const CALLS: SpendAccount = { network: "", asset: "" };
/** One asset's base units at one seller. No CAIP-2 id has a space in it. */
const atSeller = ({ network, asset }: SpendAccount, sellerId: string): SpendAccount => ({
  network: `${network} ${sellerId}`,
  asset,
});

/** One asset's base units bought for one client. No address has a space in it. */
const forClient = ({ network, asset }: SpendAccount, client: string): SpendAccount => ({
  network,
  asset: `${asset} ${client}`,
});

/** What counts against caps now. A window holds what was reserved less than its length ago. */
export type Usage = { hour: bigint; day: bigint; total: bigint };

/** A purchase's weight: its possible cost until the chain has shown the real one. */
export const countedAmount = (row: Pick<PurchasesTable, "state" | "amount" | "settled_amount">): bigint =>
  row.state === "released" ? 0n : BigInt(row.settled_amount ?? row.amount);

/** Adds each delta (negative to take back) at a purchase's time. Must run in the transaction that changes the purchase. */
export async function addUsage(
  tx: Db,
  createdAt: number,
  deltas: readonly { account: SpendAccount; delta: bigint }[],
): Promise<void> {
  const starts = [
    { span: ALL_TIME, start: 0 },
    { span: HOUR, start: floorTo(createdAt, HOUR) },
    { span: MINUTE, start: floorTo(createdAt, MINUTE) },
  ];
  const wanted = deltas
    .filter(({ delta }) => delta !== 0n)
    .flatMap(({ account: { network, asset }, delta }) =>
      starts.map((bucket) => ({ network, asset, ...bucket, delta })),
    );
  if (wanted.length === 0) return;
  const keys = wanted.map(
    ({ network, asset, span, start }) => sql`(${network}, ${asset}, cast(${span} as bigint), cast(${start} as bigint))`,
  );
  // Joined on the whole key: SQLite would search `(...) in (values ...)` by its first columns only.
  const { rows: found } = await sql<SpendTable>`select spend.* from (values ${sql.join(keys)}) as wanted join spend
    on network = wanted.column1 and asset = wanted.column2 and span = wanted.column3 and start = wanted.column4`.execute(
    tx,
  );
  const usedIn = (bucket: Omit<SpendTable, "used">): bigint =>
    BigInt(
      found.find((row) => row.network === bucket.network && row.asset === bucket.asset && row.span === bucket.span)
        ?.used ?? 0,
    );
  await sql`insert into spend (network, asset, span, start, used) values ${sql.join(
    wanted.map((bucket) => {
      const used = (usedIn(bucket) + bucket.delta).toString();
      return sql`(${bucket.network}, ${bucket.asset}, ${bucket.span}, ${bucket.start}, ${used})`;
    }),
  )} on conflict (network, asset, span, start) do update set used = excluded.used`.execute(tx);
}

/**
 * Adds what counts of a purchase: `amount` to the asset, in all, at the seller and for the client, `calls` to the number of
 * purchases. As {@link addUsage}.
 */
export const countSpending = (
  tx: Db,
  asset: SpendAccount & { sellerId: string; client?: string | null },
  createdAt: number,
  { amount, calls }: { amount: bigint; calls: bigint },
): Promise<void> =>
  addUsage(tx, createdAt, [
    { account: asset, delta: amount },
    { account: atSeller(asset, asset.sellerId), delta: amount },
    ...(asset.client == null ? [] : [{ account: forClient(asset, asset.client), delta: amount }]),
    { account: CALLS, delta: calls },
  ]);

/**
 * Exact usage of an asset at `nowMs`, in all, at one seller (by id) or for one client. Purchases dated after `nowMs` (a clock was
 * set back) count in every window.
 */
export async function readUsage(
  tx: Db,
  paid: SpendAccount,
  nowMs: number,
  of?: string | { client: string },
): Promise<Usage> {
  const hour = windowFrom(nowMs - HOUR + 1);
  const day = windowFrom(nowMs - DAY + 1);
  const [{ network, asset }, whose] =
    of === undefined
      ? [paid, sql``]
      : typeof of === "string"
        ? [atSeller(paid, of), sql` and seller_id = ${of}`]
        : [forClient(paid, of.client), sql` and client = ${of.client}`];
  const { rows: buckets } = await sql<Bucket>`
    select span, start, used from spend where network = ${network} and asset = ${asset} and span = ${ALL_TIME}
    union all
    select span, start, used from spend where network = ${network} and asset = ${asset}
      and span = ${HOUR} and start >= ${day.hours}
    union all
    select span, start, used from spend where network = ${network} and asset = ${asset}
      and span = ${MINUTE} and start >= ${day.minutes} and start < ${day.hours}
    union all
    select span, start, used from spend where network = ${network} and asset = ${asset}
      and span = ${MINUTE} and start >= ${hour.minutes} and start < ${hour.hours}`.execute(tx);
  const { rows: edges } = await sql<Edge>`
    select created_at, state, amount, settled_amount from purchases where network = ${paid.network} and asset = ${paid.asset}
      and created_at >= ${day.from} and created_at < ${day.minutes}${whose}
    union all
    select created_at, state, amount, settled_amount from purchases where network = ${paid.network} and asset = ${paid.asset}
      and created_at >= ${hour.from} and created_at < ${hour.minutes}${whose}`.execute(tx);
  const within = (window: Window): bigint =>
    sumOf(buckets.filter((bucket) => isWhole(bucket, window))) +
    sum(edges.filter(({ created_at: at }) => at >= window.from && at < window.minutes).map(countedAmount));
  return { hour: within(hour), day: within(day), total: sumOf(buckets.filter(({ span }) => span === ALL_TIME)) };
}

/** How many purchases, released ones aside, were made less than an hour before `nowMs`. */
export async function readCallsLastHour(tx: Db, nowMs: number): Promise<bigint> {
  const hour = windowFrom(nowMs - HOUR + 1);
  const { rows: buckets } = await sql<Bucket>`
    select span, start, used from spend where network = ${CALLS.network} and asset = ${CALLS.asset}
      and span = ${HOUR} and start >= ${hour.hours}
    union all
    select span, start, used from spend where network = ${CALLS.network} and asset = ${CALLS.asset}
      and span = ${MINUTE} and start >= ${hour.minutes} and start < ${hour.hours}
    union all
    select 0, 0, cast(count(*) as text) from purchases
      where created_at >= ${hour.from} and created_at < ${hour.minutes} and state != 'released'`.execute(tx);
  return sumOf(buckets);
}

/** How many purchases there are: those that count by their sum, and the released ones, which are few, by their index. */
export async function countPurchases(db: Db): Promise<number> {
  const { rows } = await sql<{ total: number }>`
    select (select count(*) from purchases where state = 'released') + coalesce((select cast(used as bigint) from spend
      where network = ${CALLS.network} and asset = ${CALLS.asset} and span = ${ALL_TIME}), 0) as total`.execute(db);
  return rows[0]?.total ?? 0;
}

type Bucket = Pick<SpendTable, "span" | "start" | "used">;
type Edge = Pick<PurchasesTable, "created_at" | "state" | "amount" | "settled_amount">;
/** Single rows from `from` on, whole minutes from `minutes` on, whole hours from `hours` on. Unix ms. */
type Window = { from: number; minutes: number; hours: number };

const windowFrom = (from: number): Window => ({ from, minutes: ceilTo(from, MINUTE), hours: ceilTo(from, HOUR) });

const isWhole = ({ span, start }: Bucket, { minutes, hours }: Window): boolean =>
  (span === HOUR && start >= hours) || (span === MINUTE && start >= minutes && start < hours);

const floorTo = (ms: number, span: number): number => Math.floor(ms / span) * span;
const ceilTo = (ms: number, span: number): number => Math.ceil(ms / span) * span;
const sum = (parts: readonly bigint[]): bigint => parts.reduce((total, part) => total + part, 0n);
const sumOf = (buckets: readonly Bucket[]): bigint => sum(buckets.map(({ used }) => BigInt(used)));

/**
 * The first cap that spending `amount` more would break, or null. Pure. `maxAmount` is the caller's own bound;
 * `sameCall` is the possible cost of earlier authorizations for the same call: together they stay within the cap per
 * call.
 */
export function findExceededCap(options: {
  policy: PaymentPolicy;
  asset: AssetPolicy;
  amount: bigint;
  maxAmount?: bigint | undefined;
  sameCall?: bigint;
  /** The most that the call may cost, where it adds less to the money at risk: bounded by the caps for one call. */
  mayCost?: bigint;
  usage: Usage;
  callsLastHour: bigint;
  /** The owner's caps for the seller, and what counts against them. */
  seller?: { limits: SellerLimits; usage: Usage } | undefined;
  /** The budget of the client it is bought for, in this asset, and what counts against it. */
  client?: ClientBound | undefined;
}): Refusal | null {
  const {
    policy,
    asset,
    amount,
    maxAmount,
    sameCall = 0n,
    mayCost = amount,
    usage,
    callsLastHour,
    seller,
    client,
  } = options;
  if (callsLastHour >= BigInt(policy.callsPerHour)) {
    return {
      code: "over_count_cap",
      message: `${callsLastHour} purchases were made in the last hour; the policy allows ${policy.callsPerHour}.`,
      limit: String(policy.callsPerHour),
      asked: "1",
      remaining: "0",
    };
  }
  const ofCall = sameCall + mayCost - amount;
  const bounds: Bound[] = [
    { code: "over_per_call_cap", name: "the policy's cap per call", limit: BigInt(asset.perCall), used: ofCall },
    { code: "over_call_limit", name: "this call's own limit", limit: maxAmount ?? ofCall + amount, used: ofCall },
    { code: "over_hour_cap", name: "the policy's cap per hour", limit: BigInt(asset.perHour), used: usage.hour },
    { code: "over_day_cap", name: "the policy's cap per day", limit: BigInt(asset.perDay), used: usage.day },
    { code: "over_total_cap", name: "the policy's total cap", limit: BigInt(asset.total), used: usage.total },
    ...(seller === undefined ? [] : sellerBounds(seller)),
    ...(client === undefined ? [] : [clientBound(client)]),
  ];
  const broken = bounds.find(({ limit, used }) => used + amount > limit);
  if (broken === undefined) return null;
  const remaining = remainingOf(broken.limit, broken.used);
  return {
    code: broken.code,
    message: `${moneyText(amount, asset)} exceeds ${broken.name} of ${moneyText(broken.limit, asset)} (${moneyText(remaining, asset)} left).`,
    limit: broken.limit.toString(),
    asked: amount.toString(),
    remaining: remaining.toString(),
  };
}

/** A client's budget in one asset's base units, and what counts against it. */
export type ClientBound = {
  client: string;
  limit: bigint;
  used: bigint;
  /** It paid in a token that nothing says the worth of now: nothing is left. */
  isUncounted?: boolean;
};

type Bound = { code: Refusal["code"]; name: string; limit: bigint; used: bigint };

function sellerBounds({ limits, usage }: { limits: SellerLimits; usage: Usage }): Bound[] {
  const bound = (name: string, limit: string | undefined, used: bigint): Bound[] =>
    limit === undefined ? [] : [{ code: "over_seller_cap", name, limit: BigInt(limit), used }];
  return [
    ...bound("this seller's cap per hour", limits.perHour, usage.hour),
    ...bound("this seller's cap per day", limits.perDay, usage.day),
    ...bound("this seller's total cap", limits.total, usage.total),
  ];
}

const clientBound = ({ client, limit, used, isUncounted = false }: ClientBound): Bound => ({
  code: "over_client_cap",
  name: `the budget of the client "${client}"${isUncounted ? ", which paid before in a token that the policy declares no USD value of now," : ""}`,
  limit,
  used,
});

/** The rest under a cap; nothing if it was lowered below its use. */
export const remainingOf = (cap: bigint, used: bigint): bigint => (used < cap ? cap - used : 0n);
