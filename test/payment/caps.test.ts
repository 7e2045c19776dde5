import fc from "fast-check";
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import {
  addUsage,
  countPurchases,
  findExceededCap,
  CALLS,
  readCallsLastHour,
  readUsage,
} from "../../src/payment/caps.ts";
import { markAnswered, markSent, markSettled, markSigned, release } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { spending } from "../../src/payment/spending.ts";
import type { AssetPolicy, PaymentPolicy } from "../../src/payment/policy.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { accept, policyWith, requirement, reservation, usdc } from "./fixtures.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** 18 decimals: sums of these do not fit 64 bits. */
const dai: AssetPolicy = {
  ...usdc,
  asset: `0x${"0d".repeat(20)}`,
  symbol: "DAI",
  decimals: 18,
  perCall: "30000000000000000000",
  perHour: "60000000000000000000",
  perDay: "150000000000000000000",
  total: "400000000000000000000",
};
const usd: AssetPolicy = { ...usdc, perCall: "30", perHour: "60", perDay: "150", total: "400" };
const policy: PaymentPolicy = policyWith([usd, dai], { callsPerHour: 6 });

/** What the caps mean, written as plainly as can be: sums over a list. */
type Entry = { id: string; asset: string; at: number; amount: bigint; settled: bigint | null; released: boolean };
const counted = (entry: Entry): bigint => (entry.released ? 0n : (entry.settled ?? entry.amount));
const total = (entries: Entry[]): bigint => entries.reduce((sum, entry) => sum + counted(entry), 0n);
const since = (entries: Entry[], now: number, span: number): Entry[] =>
  entries.filter((entry) => entry.at > now - span);

function naiveRefusal(entries: Entry[], asset: AssetPolicy, amount: bigint, now: number): string | null {
  const own = entries.filter((entry) => entry.asset === asset.asset);
  if (since(entries, now, HOUR).filter((entry) => !entry.released).length >= policy.callsPerHour)
    return "over_count_cap";
  if (amount > BigInt(asset.perCall)) return "over_per_call_cap";
  if (total(since(own, now, HOUR)) + amount > BigInt(asset.perHour)) return "over_hour_cap";
  if (total(since(own, now, DAY)) + amount > BigInt(asset.perDay)) return "over_day_cap";
  if (total(own) + amount > BigInt(asset.total)) return "over_total_cap";
  return null;
}

type Step =
  | { do: "reserve"; stable: boolean; tenths: number }
  | { do: "settle"; pick: number; less: number }
  | { do: "release"; pick: number }
  | { do: "wait"; ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("reserve" as const),
      stable: fc.boolean(),
      tenths: fc.integer({ min: 0, max: 320 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("settle" as const), pick: fc.nat(), less: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("release" as const), pick: fc.nat() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      // Around the edges of minutes, hours and days as well as anywhere.
      ms: fc.oneof(
        fc.integer({ min: 0, max: 90_000 }),
        fc.integer({ min: 0, max: 2 * HOUR }),
        fc.constantFrom(1, 59_999, 60_000, HOUR - 1, HOUR, HOUR + 1, DAY - 1, DAY, DAY + 1),
      ),
    }),
  },
);

async function reserveOf(
  db: Db,
  asset: AssetPolicy,
  amount: bigint,
  now: number,
): Promise<{ id: string } | { refused: string }> {
  const generous = policyWith(policy.assets.map((one) => ({ ...one, perCall: "9".repeat(30) })));
  const { offer, accepted } = accept(requirement({ asset: asset.asset, amount: amount.toString() }), generous);
  const result = await reserve(db, reservation({ policy, offer, accepted, now: new Date(now) }));
  if (result.kind === "reserved") return { id: result.purchase.id };
  if (result.kind === "refused") return { refused: result.refusal.code };
  throw new Error(result.kind);
}

/** Takes one step in the journal and in the plain list. Returns the time after it and what either decided. */
async function take(
  db: Db,
  entries: Entry[],
  one: Step,
  now: number,
): Promise<{ now: number; journal?: unknown; list?: unknown }> {
  if (one.do === "wait") return { now: now + one.ms };
  if (one.do === "reserve") {
    const asset = one.stable ? usd : dai;
    const amount = one.stable
      ? BigInt(Math.floor(one.tenths / 10))
      : BigInt(one.tenths) * 10n ** 17n + BigInt(one.tenths);
    const list = naiveRefusal(entries, asset, amount, now);
    const result = await reserveOf(db, asset, amount, now);
    if ("refused" in result) return { now, journal: result.refused, list };
    entries.push({ id: result.id, asset: asset.asset, at: now, amount, settled: null, released: false });
    return { now, journal: null, list };
  }
  const alive = entries.filter((entry) => !entry.released && entry.settled === null);
  const entry = alive[one.pick % Math.max(alive.length, 1)];
  if (entry === undefined) return { now };
  if (one.do === "release") {
    entry.released = true;
    const released = await release(db, entry.id, { reason: "test", now: new Date(now) });
    return { now, journal: released.ok && released.changed, list: true };
  }
  entry.settled = entry.amount > BigInt(one.less) ? entry.amount - BigInt(one.less) : 0n;
  const evidence = { transaction: `0x${"01".repeat(32)}`, amount: entry.settled.toString(), now: new Date(now) };
  const settled = await markSettled(db, entry.id, evidence);
  return { now, journal: settled.ok && settled.changed, list: true };
}

describe("the caps", () => {
  it("decide and report as sums over a plain list would, whatever happens in whatever order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 0, max: DAY }),
        async (steps, start) => {
          const db = await openDatabase(":memory:");
          const entries: Entry[] = [];
          let now = Date.UTC(2026, 0, 1) + start;
          for (const one of steps) {
            const taken = await take(db, entries, one, now);
            expect(taken.journal).toEqual(taken.list);
            now = taken.now;
          }
          const view = await spending(db, policy, new Date(now));
          for (const asset of view.assets) {
            const own = entries.filter((entry) => entry.asset === asset.asset);
            const used = Object.fromEntries(asset.windows.map((window) => [window.name, window.used]));
            expect({ ...used, spent: asset.spent, reserved: asset.reserved }).toEqual({
              hour: total(since(own, now, HOUR)).toString(),
              day: total(since(own, now, DAY)).toString(),
              total: total(own).toString(),
              spent: total(own.filter((entry) => entry.settled !== null)).toString(),
              reserved: total(own.filter((entry) => entry.settled === null)).toString(),
            });
          }
          const { rows } = await sql<{ total: number }>`select count(*) as total from purchases`.execute(db);
          expect(await countPurchases(db)).toBe(rows[0]?.total);
          expect(view.callsLastHour).toBe(since(entries, now, HOUR).filter((entry) => !entry.released).length);
          await db.destroy();
        },
      ),
      { numRuns: 60 },
    );
  });

  it("count what was dated by a clock that has since been set back", async () => {
    const db = await openDatabase(":memory:");
    const later = Date.UTC(2026, 5, 1);
    await reserveOf(db, usd, 30n, later);
    await reserveOf(db, usd, 30n, later);
    expect(await reserveOf(db, usd, 1n, later - 3 * DAY)).toEqual({ refused: "over_hour_cap" });
    await db.destroy();
  });

  it("count to the millisecond where a window begins within a minute, released purchases not at all", async () => {
    const db = await openDatabase(":memory:");
    const at = Date.UTC(2026, 0, 1, 10, 20, 30, 500);
    await reserveOf(db, usd, 7n, at);
    const gone = await reserveOf(db, usd, 11n, at + 1000);
    if ("id" in gone) await release(db, gone.id, { reason: "test", now: new Date(at) });
    for (const [span, name] of [
      [HOUR, "hour"],
      [DAY, "day"],
    ] as const) {
      const usedAt = async (now: number) => (await readUsage(db, usd, now))[name];
      expect([await usedAt(at + span - 1), await usedAt(at + span)]).toEqual([7n, 0n]);
    }
    expect([await readCallsLastHour(db, at + HOUR - 1), await readCallsLastHour(db, at + HOUR)]).toEqual([1n, 0n]);
    // One that counts, and one that was released.
    expect(await countPurchases(db)).toBe(2);
    await db.destroy();
  });

  it("refuse with what was asked, the limit and what is left", async () => {
    const db = await openDatabase(":memory:");
    const now = new Date();
    const { offer, accepted } = accept({ amount: "25" }, policyWith([usd]));
    await reserve(db, reservation({ policy, offer, accepted, now }));
    await reserve(db, reservation({ policy, offer, accepted, now }));
    const refused = await reserve(db, reservation({ policy, offer, accepted, now }));
    expect(refused).toMatchObject({
      kind: "refused",
      refusal: { code: "over_hour_cap", limit: "60", asked: "25", remaining: "10" },
    });
    await db.destroy();
  });

  it("never let the caller's own bound widen the policy's", () => {
    const usage = { hour: 0n, day: 0n, total: 0n };
    fc.assert(
      fc.property(fc.bigInt(0n, 100n), fc.bigInt(0n, 100n), (amount, maxAmount) => {
        const broken = findExceededCap({ policy, asset: usd, amount, maxAmount, usage, callsLastHour: 0n });
        expect(broken === null).toBe(amount <= 30n && amount <= maxAmount);
      }),
    );
  });

  it("are read from sums per minute and hour, not from the purchases in them", async () => {
    const db = await openDatabase(":memory:");
    const now = Date.UTC(2026, 0, 10, 12, 34, 56, 789);
    await immediate(db, async (tx) => {
      // Two days of sums with no purchase behind them: what is read back can only come from the sums.
      for (let minute = 0; minute < 2 * 24 * 60; minute += 1) {
        const at = now - minute * 60_000;
        await addUsage(tx, at, [
          { account: usd, delta: 35n },
          { account: CALLS, delta: 1n },
        ]);
      }
    });
    const usage = await immediate(db, (tx) => readUsage(tx, usd, now));
    expect(usage.total).toBe(2n * 24n * 60n * 35n);
    expect(usage.hour).toBe(60n * 35n);
    expect(usage.day).toBe(24n * 60n * 35n);
    expect(await readCallsLastHour(db, now)).toBe(60n);
    await db.destroy();
  });
});

describe("what a state counts", () => {
  it("counts a purchase in full from reservation to settlement, then what it cost, and nothing once released", async () => {
    const db = await openDatabase(":memory:");
    const now = new Date();
    const usedNow = async () => (await spending(db, policyWith(), now)).assets[0]?.windows.map((window) => window.used);
    const first = await reserve(db, reservation({ now }));
    if (first.kind !== "reserved") throw new Error(first.kind);
    const { id } = first.purchase;
    const full = ["20000", "20000", "20000"];
    expect(await usedNow()).toEqual(full);
    await markSigned(db, id, { now });
    expect(await usedNow()).toEqual(full);
    await markSent(db, id, { now });
    await markAnswered(db, id, { receiptId: "r", now });
    expect(await usedNow()).toEqual(full);
    await markSettled(db, id, { transaction: `0x${"01".repeat(32)}`, amount: "19999", now });
    expect(await usedNow()).toEqual(["19999", "19999", "19999"]);
    // Settled once more, by another process: counted once.
    expect(await markSettled(db, id, { transaction: `0x${"01".repeat(32)}`, amount: "19999", now })).toMatchObject({
      ok: true,
      changed: false,
    });
    expect(await usedNow()).toEqual(["19999", "19999", "19999"]);
    const second = await reserve(db, reservation({ now }));
    if (second.kind !== "reserved") throw new Error(second.kind);
    await release(db, second.purchase.id, { reason: "test", now });
    await release(db, second.purchase.id, { reason: "test", now });
    expect(await usedNow()).toEqual(["19999", "19999", "19999"]);
    await db.destroy();
  });
});
