import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import type { AssetPolicy, PaymentPolicy } from "./policy.ts";
import type { Refusal } from "./types.ts";

// The caps need exact sums over rolling windows of amounts that do not fit SQLite's 64-bit integers, at a cost that does
// not grow with the number of purchases. So sums are kept as decimal strings per minute, per hour and over all time. A
// rolling window is then: whole hours, the whole minutes before the first of them, and single rows for the part of a
// minute at its edge.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ALL_TIME = 0;

/** What is summed: one asset's base units, or with {@link CALLS} the number of purchases. */
export type SpendAccount = { network: string; asset: string };
/** Purchases over all assets, one each. */
export const CALLS: SpendAccount = { network: "", asset: "" };

/** What counts against caps now. A window holds what was reserved less than its length ago. */
export type Usage = { hour: bigint; day: bigint; total: bigint };

/** What a purchase counts: what it may cost until the chain has said what it did cost. */
export const countedAmount = (row: Pick<PurchasesTable, "state" | "amount" | "settled_amount">): bigint =>
  row.state === "released" ? 0n : BigInt(row.state === "settled" ? (row.settled_amount ?? row.amount) : row.amount);

/** Adds `delta` (negative to take back) at a purchase's time. Must run in the transaction that changes the purchase. */
export async function addUsage(tx: Db, account: SpendAccount, createdAt: number, delta: bigint): Promise<void> {
  if (delta === 0n) return;
  const starts = [
    { span: ALL_TIME, start: 0 },
    { span: HOUR, start: floorTo(createdAt, HOUR) },
    { span: MINUTE, start: floorTo(createdAt, MINUTE) },
  ];
  const buckets = await tx
    .selectFrom("spend")
    .select(["span", "start", "used"])
    .where("network", "=", account.network)
    .where("asset", "=", account.asset)
    .where((eb) => eb.or(starts.map(({ span, start }) => eb.and([eb("span", "=", span), eb("start", "=", start)]))))
    .execute();
  const usedIn = (span: number): bigint => BigInt(buckets.find((bucket) => bucket.span === span)?.used ?? 0);
  await tx
    .insertInto("spend")
    .values(starts.map(({ span, start }) => ({ ...account, span, start, used: (usedIn(span) + delta).toString() })))
    .onConflict((conflict) =>
      conflict.columns(["network", "asset", "span", "start"]).doUpdateSet((eb) => ({ used: eb.ref("excluded.used") })),
    )
    .execute();
}

/** Exact usage of an account at `nowMs`. Purchases dated after `nowMs` (a clock was set back) count in every window. */
export async function readUsage(tx: Db, account: SpendAccount, nowMs: number): Promise<Usage> {
  const hour = windowFrom(nowMs - HOUR + 1);
  const day = windowFrom(nowMs - DAY + 1);
  const { rows: buckets } = await sql<{ span: number; start: number; used: string }>`
    select span, start, used from spend where network = ${account.network} and asset = ${account.asset} and span = ${ALL_TIME}
    union all
    select span, start, used from spend where network = ${account.network} and asset = ${account.asset}
      and span = ${HOUR} and start >= ${day.hours}
    union all
    select span, start, used from spend where network = ${account.network} and asset = ${account.asset}
      and span = ${MINUTE} and start >= ${day.minutes} and start < ${day.hours}
    union all
    select span, start, used from spend where network = ${account.network} and asset = ${account.asset}
      and span = ${MINUTE} and start >= ${hour.minutes} and start < ${hour.hours}`.execute(tx);
  const edges = [...(await readEdge(tx, account, hour)), ...(await readEdge(tx, account, day))];
  const within = ({ from, minutes, hours }: Window): bigint =>
    sum(
      buckets
        .filter(({ span, start }) => (span === HOUR && start >= hours) || (span === MINUTE && start >= minutes && start < hours))
        .map(({ used }) => BigInt(used)),
    ) + sum(edges.filter(({ at }) => at >= from && at < minutes).map(({ counted }) => counted));
  return {
    hour: within(hour),
    day: within(day),
    total: sum(buckets.filter(({ span }) => span === ALL_TIME).map(({ used }) => BigInt(used))),
  };
}

/** From `from` on: rows up to `minutes`, whole minutes up to `hours`, whole hours after that. Unix ms. */
type Window = { from: number; minutes: number; hours: number };

const windowFrom = (from: number): Window => ({ from, minutes: ceilTo(from, MINUTE), hours: ceilTo(from, HOUR) });

async function readEdge(tx: Db, account: SpendAccount, { from, minutes }: Window): Promise<{ at: number; counted: bigint }[]> {
  if (from === minutes) return [];
  const rows = await tx
    .selectFrom("purchases")
    .select(["created_at", "state", "amount", "settled_amount"])
    .where("created_at", ">=", from)
    .where("created_at", "<", minutes)
    .where("state", "!=", "released")
    .$if(account !== CALLS, (query) => query.where("network", "=", account.network).where("asset", "=", account.asset))
    .execute();
  return rows.map((row) => ({ at: row.created_at, counted: account === CALLS ? 1n : countedAmount(row) }));
}

const floorTo = (ms: number, span: number): number => Math.floor(ms / span) * span;
const ceilTo = (ms: number, span: number): number => Math.ceil(ms / span) * span;
const sum = (parts: readonly bigint[]): bigint => parts.reduce((total, part) => total + part, 0n);

/** The first cap that spending `amount` more would break, or null. Pure. `maxAmount` is the caller's own bound. */
export function brokenCap(options: {
  policy: PaymentPolicy;
  asset: AssetPolicy;
  amount: bigint;
  maxAmount?: bigint;
  usage: Usage;
  callsLastHour: bigint;
}): Refusal | null {
  const { policy, asset, amount, maxAmount, usage, callsLastHour } = options;
  if (callsLastHour >= BigInt(policy.callsPerHour)) {
    return {
      code: "over_count_cap",
      message: `${callsLastHour} purchases were made in the last hour; the policy allows ${policy.callsPerHour}.`,
      limit: String(policy.callsPerHour),
      asked: "1",
      remaining: "0",
    };
  }
  const bounds: { code: Refusal["code"]; name: string; limit: bigint; used: bigint }[] = [
    { code: "over_per_call_cap", name: "the policy's cap per call", limit: BigInt(asset.perCall), used: 0n },
    { code: "over_call_limit", name: "this call's own limit", limit: maxAmount ?? amount, used: 0n },
    { code: "over_hour_cap", name: "the policy's cap per hour", limit: BigInt(asset.perHour), used: usage.hour },
    { code: "over_day_cap", name: "the policy's cap per day", limit: BigInt(asset.perDay), used: usage.day },
    { code: "over_total_cap", name: "the policy's total cap", limit: BigInt(asset.total), used: usage.total },
  ];
  const broken = bounds.find(({ limit, used }) => used + amount > limit);
  if (broken === undefined) return null;
  const remaining = remainingOf(broken.limit, broken.used);
  return {
    code: broken.code,
    message: `${amount} base units of ${asset.symbol} exceed ${broken.name} of ${broken.limit} (${remaining} left).`,
    limit: broken.limit.toString(),
    asked: amount.toString(),
    remaining: remaining.toString(),
  };
}

/** What a cap leaves; nothing where it was lowered below what is used. */
export const remainingOf = (cap: bigint, used: bigint): bigint => (used < cap ? cap - used : 0n);
