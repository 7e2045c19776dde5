import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hoursSchema, isWithin } from "../../src/payment/hours.ts";
import { paymentPolicySchema } from "../../src/payment/policy.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { policyWith, reservation, usdc } from "./fixtures.ts";

const office = hoursSchema.parse({
  timeZone: "Europe/Berlin",
  days: ["mon", "tue", "wed", "thu", "fri"],
  from: "08:00",
  to: "18:00",
});
const night = hoursSchema.parse({ timeZone: "UTC", days: ["fri"], from: "22:00", to: "06:00" });
const within = (hours: typeof office, at: string): boolean => isWithin(hours, new Date(at));

describe("the policy's hours", () => {
  it.each([
    // 2026-11-23 is a Monday; Berlin is at UTC+1 then, and at UTC+2 in July.
    ["2026-11-23T06:59:59Z", false],
    ["2026-11-23T07:00:00Z", true],
    ["2026-11-23T16:59:59Z", true],
    ["2026-11-23T17:00:00Z", false],
    ["2026-07-06T06:00:00Z", true],
    ["2026-07-06T16:00:00Z", false],
    ["2026-11-22T12:00:00Z", false],
  ])("follow the wall clock of their zone, over summer time: %s", (at, expected) => {
    expect(within(office, at)).toBe(expected);
  });

  it.each([
    ["2026-11-27T21:59:00Z", false],
    ["2026-11-27T22:00:00Z", true],
    ["2026-11-28T05:59:00Z", true],
    ["2026-11-28T06:00:00Z", false],
    // Thursday's window does not exist, so Friday's early morning is closed.
    ["2026-11-27T05:00:00Z", false],
  ])("that pass midnight belong to the day they began on: %s", (at, expected) => {
    expect(within(night, at)).toBe(expected);
  });

  it("and the complementary window divide every moment between them", () => {
    const time = fc
      .tuple(fc.nat(23), fc.nat(59))
      .map((parts) => parts.map((part) => String(part).padStart(2, "0")).join(":"));
    fc.assert(
      fc.property(time, time, fc.date({ noInvalidDate: true, min: new Date(0) }), (from, to, now) => {
        fc.pre(from !== to);
        const day = hoursSchema.parse({ timeZone: "America/New_York", from, to });
        const rest = hoursSchema.parse({ timeZone: "America/New_York", from: to, to: from });
        expect(isWithin(day, now)).toBe(!isWithin(rest, now));
      }),
    );
  });

  it("are refused where the zone is unknown or the window is empty", () => {
    expect(hoursSchema.safeParse({ timeZone: "Mars/Olympus", from: "08:00", to: "18:00" }).success).toBe(false);
    expect(hoursSchema.safeParse({ timeZone: "UTC", from: "08:00", to: "08:00" }).success).toBe(false);
    expect(hoursSchema.safeParse({ timeZone: "UTC", from: "8:00", to: "24:00" }).success).toBe(false);
  });

  it("hold a reservation back outside them, and nothing is reserved", async () => {
    const db = await openDatabase(":memory:");
    const policy = paymentPolicySchema.parse({ ...policyWith([usdc]), hours: office });
    const closed = await reserve(db, reservation({ policy, now: new Date("2026-11-22T12:00:00Z") }));
    expect(closed).toMatchObject({ kind: "refused", refusal: { code: "outside_hours", limit: "08:00-18:00" } });
    expect(await db.selectFrom("purchases").selectAll().execute()).toEqual([]);
    const open = await reserve(db, reservation({ policy, now: new Date("2026-11-23T12:00:00Z") }));
    expect(open.kind).toBe("reserved");
    await db.destroy();
  });
});
