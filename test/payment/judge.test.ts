import { expect, it } from "vitest";
import { planVoucher } from "../../src/payment/channels.ts";
import { markSent, markSigned } from "../../src/payment/journal.ts";
import { refusalOf, refusalOfReserved, stillAtStake, type Wish } from "../../src/payment/judge.ts";
import { MIN_USABLE_SECONDS } from "../../src/payment/offers.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import type { ChannelsTable } from "../../src/storage/tables.ts";
import { accept, PAYER, policyWith, reservation, usdc } from "./fixtures.ts";

const now = new Date(1.7e12);
const amount = "20000";
/** Caps that one purchase fills to the last unit. */
const full = { ...usdc, perCall: amount, perHour: amount, perDay: amount, total: amount };
const exact = policyWith([full], { callsPerHour: 1 });
const wide = policyWith([usdc], { callsPerHour: 9 });
const limits = { network: usdc.network, asset: usdc.asset };

async function pay(db: Db, changes: Partial<Wish> & { key?: string; attempt?: number } = {}) {
  const { key, attempt, ...rest } = changes;
  const named = { ...(key === undefined ? {} : { key }), ...(attempt === undefined ? {} : { attempt }) };
  const request = { ...reservation({ now, policy: rest.policy ?? wide, ...named }), ...rest };
  const result = await reserve(db, request);
  if (result.kind !== "reserved") throw new Error(JSON.stringify(result));
  return { request, id: result.purchase.id };
}

it("counts a reserved payment once when it is judged again before it is signed", async () => {
  const db = await openDatabase(":memory:");
  const sellerLimits = { ...limits, perHour: amount, perDay: amount, total: amount };
  const { request, id } = await pay(db, { policy: exact, sellerLimits });
  const again = (changes: Partial<Wish> = {}) => refusalOfReserved(db, { ...request, ...changes }, { id });
  expect(await again()).toBeNull();
  // Beside it there is room for none.
  expect(await refusalOf(db, reservation({ now, policy: exact }))).toMatchObject({ code: "over_count_cap" });
  // The policy of this moment, not that of the reservation.
  for (const [cap, code] of [
    ["perCall", "over_per_call_cap"],
    ["perHour", "over_hour_cap"],
    ["perDay", "over_day_cap"],
    ["total", "over_total_cap"],
  ] as const) {
    const policy = policyWith([{ ...full, [cap]: "19999" }], { callsPerHour: 1 });
    expect(await again({ policy })).toMatchObject({ code, limit: "19999" });
  }
  for (const cap of ["perHour", "perDay", "total"] as const)
    expect(await again({ sellerLimits: { ...sellerLimits, [cap]: "19999" } })).toMatchObject({
      code: "over_seller_cap",
    });
  expect(await again({ policy: policyWith([full], { callsPerHour: 0 }) })).toMatchObject({ code: "over_count_cap" });
  await pay(db, { sellerId: "other" });
  expect(await again({ policy: policyWith([usdc], { callsPerHour: 1 }) })).toMatchObject({ code: "over_count_cap" });
  expect(await again({ policy: policyWith([usdc], { callsPerHour: 2 }) })).toBeNull();
  await db.destroy();
});

it("holds all that one call may still cost to the bounds of a call, earlier payments of it included", async () => {
  const db = await openDatabase(":memory:");
  const first = await pay(db, { key: "call-0001" });
  await markSigned(db, first.id, { now });
  await markSent(db, first.id, { now });
  const wish = (perCall: string, maxAmount?: bigint): Wish => ({
    ...reservation({ key: "call-0001", now, policy: policyWith([{ ...usdc, perCall }]) }),
    ...(maxAmount === undefined ? {} : { maxAmount }),
  });
  expect(await refusalOf(db, wish("40000", 40_000n))).toBeNull();
  expect(await refusalOf(db, wish("39999"))).toMatchObject({ code: "over_per_call_cap", remaining: "19999" });
  expect(await refusalOf(db, wish("40000", 39_999n))).toMatchObject({ code: "over_call_limit", remaining: "19999" });
  const second = await pay(db, { key: "call-0001", attempt: 2 });
  expect(await refusalOfReserved(db, wish("40000", 40_000n), second)).toBeNull();
  expect(await refusalOfReserved(db, wish("39999"), second)).toMatchObject({ code: "over_per_call_cap" });
  expect(await stillAtStake(db, "call-0001")).toBe(40_000n);
  expect(await stillAtStake(db, "call-0001", second.id)).toBe(20_000n);
  expect(await stillAtStake(db, "call-0002")).toBe(0n);
  await db.destroy();
});

it("lets an authorization live from the shortest to the longest that is allowed, to the second", async () => {
  const db = await openDatabase(":memory:");
  const request = reservation({ now, policy: wide });
  const living = (seconds: number, ms = 0) =>
    refusalOf(db, {
      ...request,
      now: new Date(now.getTime() + ms),
      payment: { ...request.payment, validBefore: now.getTime() / 1000 + seconds },
    });
  expect(await living(300)).toBeNull();
  expect(await living(301)).toMatchObject({ code: "authorization_too_long" });
  expect(await living(301, 999)).toMatchObject({ code: "authorization_too_long" });
  expect(await living(MIN_USABLE_SECONDS, 999)).toBeNull();
  expect(await living(MIN_USABLE_SECONDS - 1)).toMatchObject({ code: "authorization_too_short" });
  await db.destroy();
});

it("refuses outside the hours of the policy, whatever else would be allowed", async () => {
  const db = await openDatabase(":memory:");
  // 1.7e12 is Tuesday, 22:13 UTC.
  const open = (from: string, to: string) =>
    refusalOf(
      db,
      reservation({ now, policy: policyWith([usdc], { hours: { timeZone: "UTC", days: ["tue"], from, to } }) }),
    );
  expect(await open("22:00", "23:00")).toBeNull();
  expect(await open("09:00", "17:00")).toEqual({
    code: "outside_hours",
    message: "The policy allows purchases from 09:00 to 17:00 (UTC) on tue only.",
    limit: "09:00-17:00",
  });
  await db.destroy();
});

it("judges a voucher by its channel in place of its end", async () => {
  const db = await openDatabase(":memory:");
  const { offer } = accept();
  const terms = { payerAuthorizer: PAYER, receiverAuthorizer: PAYER, withdrawDelay: 900, salt: `0x${"05".repeat(32)}` };
  const row = { charged: "0", payer: PAYER, terms: JSON.stringify(terms) } as ChannelsTable;
  const wish = { ...reservation({ now, policy: wide }), payment: planVoucher(row, offer) };
  expect(await refusalOf(db, wish)).toEqual({ code: "channel_missing", message: "The channel is not open." });
  await db.destroy();
});

it("refuses an asset that the policy of the moment no longer has", async () => {
  const db = await openDatabase(":memory:");
  for (const other of [{ network: "eip155:1" }, { asset: `0x${"0d".repeat(20)}` as const }])
    expect(await refusalOf(db, { ...reservation({ now }), policy: policyWith([{ ...usdc, ...other }]) })).toMatchObject(
      {
        code: "asset_not_allowed",
      },
    );
  await db.destroy();
});
