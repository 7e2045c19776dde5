import { expect, it } from "vitest";
import { addUsage, findExceededCap, CALLS, readUsage, remainingOf } from "../../src/payment/caps.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { accept, policyWith, reservation, usdc } from "./fixtures.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const usd = { ...usdc, perCall: "30", perHour: "60", perDay: "150", total: "400" };
const policy = policyWith([usd], { callsPerHour: 6 });
const nothing = { hour: 0n, day: 0n, total: 0n };
const asked = { policy, asset: usd, amount: 5n, usage: nothing, callsLastHour: 0n };

async function pay(db: Db, sellerId: string, amount: string, at: number): Promise<void> {
  const { offer, accepted } = accept({ amount }, policy);
  const request = { ...reservation({ policy, offer, accepted, now: new Date(at) }), sellerId };
  expect((await reserve(db, request)).kind).toBe("reserved");
}

it("what a seller got is summed apart from what all of them got, to the millisecond", async () => {
  const db = await openDatabase(":memory:");
  const at = Date.UTC(2026, 0, 1, 10, 20, 30, 500);
  await pay(db, "one", "7", at);
  await pay(db, "other", "11", at);
  await pay(db, "one", "2", at + 5 * 60_000);
  const used = (now: number, sellerId?: string) => readUsage(db, usd, now, sellerId);
  expect(await used(at + HOUR - 1, "one")).toEqual({ hour: 9n, day: 9n, total: 9n });
  expect(await used(at + HOUR - 1, "other")).toEqual({ hour: 11n, day: 11n, total: 11n });
  expect(await used(at + HOUR - 1)).toEqual({ hour: 20n, day: 20n, total: 20n });
  expect(await used(at + HOUR, "one")).toEqual({ hour: 2n, day: 9n, total: 9n });
  expect(await used(at + DAY, "one")).toEqual({ hour: 0n, day: 2n, total: 9n });
  expect(await used(at + DAY, "none")).toEqual(nothing);
  await db.destroy();
});

it("goes on from the sums that are in the file, and writes none where nothing is added", async () => {
  const db = await openDatabase(":memory:");
  const { network, asset } = usd;
  const sums = () => db.selectFrom("spend").selectAll().execute();
  await immediate(db, (tx) => addUsage(tx, 0, [{ account: usd, delta: 0n }]));
  expect(await sums()).toEqual([]);
  // As every version so far has written it.
  const allTime = { network, asset, span: 0, start: 0 };
  await db
    .insertInto("spend")
    .values({ ...allTime, used: "9" })
    .execute();
  const later = 2 * DAY;
  expect((await readUsage(db, usd, later)).total).toBe(9n);
  await immediate(db, (tx) =>
    addUsage(tx, later, [
      { account: usd, delta: 4n },
      { account: CALLS, delta: 0n },
    ]),
  );
  expect(await readUsage(db, usd, later)).toEqual({ hour: 4n, day: 4n, total: 13n });
  expect(await sums()).toContainEqual({ ...allTime, used: "13" });
  expect(await sums()).toHaveLength(3);
  await db.destroy();
});

it("the count of purchases per hour is a bound of its own, reached exactly", () => {
  expect(findExceededCap({ ...asked, callsLastHour: 5n })).toBeNull();
  for (const callsLastHour of [6n, 7n])
    expect(findExceededCap({ ...asked, callsLastHour })).toEqual({
      code: "over_count_cap",
      message: `${callsLastHour} purchases were made in the last hour; the policy allows 6.`,
      limit: "6",
      asked: "1",
      remaining: "0",
    });
});

it.each([
  ["perHour", "hour"],
  ["perDay", "day"],
  ["total", "total"],
] as const)("the owner's %s for a seller binds alone, and others of its caps may be absent", (cap, window) => {
  const limits = { network: usd.network, asset: usd.asset, [cap]: "20" };
  const at = (used: bigint) =>
    findExceededCap({ ...asked, seller: { limits, usage: { hour: 99n, day: 99n, total: 99n, [window]: used } } });
  expect(at(15n)).toBeNull();
  expect(at(16n)).toMatchObject({ code: "over_seller_cap", limit: "20", asked: "5", remaining: "4" });
});

it("names the narrowest bound first where several are broken, with what earlier payments of the call left of it", () => {
  const full = { hour: 60n, day: 150n, total: 400n };
  expect(findExceededCap({ ...asked, amount: 31n, usage: full })).toMatchObject({ code: "over_per_call_cap" });
  expect(findExceededCap({ ...asked, sameCall: 26n, usage: full })).toMatchObject({
    code: "over_per_call_cap",
    remaining: "4",
  });
  expect(findExceededCap({ ...asked, sameCall: 25n })).toBeNull();
  expect(findExceededCap({ ...asked, sameCall: 3n, maxAmount: 7n })).toMatchObject({
    code: "over_call_limit",
    remaining: "4",
  });
  expect(findExceededCap({ ...asked, sameCall: 2n, maxAmount: 7n })).toBeNull();
  expect(findExceededCap({ ...asked, usage: full })).toMatchObject({ code: "over_hour_cap", remaining: "0" });
});

it("a cap that was lowered below what is used leaves nothing, and not less", () => {
  expect([remainingOf(9n, 4n), remainingOf(9n, 9n), remainingOf(9n, 10n)]).toEqual([5n, 0n, 0n]);
});
