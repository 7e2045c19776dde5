import { expect, it } from "vitest";
import { readCallsLastHour, readUsage } from "../../src/payment/caps.ts";
import { markSent, markServed, markSigned, readAttempts, release } from "../../src/payment/journal.ts";
import { NEVER_SIGNED } from "../../src/payment/reasons.ts";
import { mayFollow, reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { accept, policyWith, requirement, reservation, usdc } from "./fixtures.ts";

const KEY = "call-0001";
const now = new Date(1.7e12);
const asked = (attempt: number, changes: Parameters<typeof reservation>[0] = {}) =>
  reservation({ key: KEY, now, attempt, ...changes });
const rows = async (db: Db) => (await readAttempts(db, KEY)).map(({ attempt, state }) => [attempt, state]);

async function reserved(db: Db, attempt: number, changes: Parameters<typeof reservation>[0] = {}): Promise<string> {
  const result = await reserve(db, asked(attempt, changes));
  if (result.kind !== "reserved") throw new Error(result.kind);
  return result.purchase.id;
}

it("counts a reservation once: its amount, and one call", async () => {
  const db = await openDatabase(":memory:");
  await reserved(db, 1);
  expect((await readUsage(db, usdc, now.getTime())).hour).toBe(20_000n);
  expect(await readCallsLastHour(db, now.getTime())).toBe(1n);
  await db.destroy();
});

it("gives the place of an attempt that was never signed to the next one, which counts in its stead", async () => {
  const db = await openDatabase(":memory:");
  const first = await reserved(db, 1);
  await release(db, first, { reason: NEVER_SIGNED, now });
  const refusing = asked(1, { policy: policyWith([{ ...usdc, perCall: "1" }]), ...accept() });
  expect((await reserve(db, refusing)).kind).toBe("refused");
  expect(await rows(db)).toEqual([[1, "released"]]);
  const second = await reserved(db, 1);
  expect(second).not.toBe(first);
  expect(await rows(db)).toEqual([[1, "reserved"]]);
  expect((await readUsage(db, usdc, now.getTime())).total).toBe(20_000n);
  expect(await readCallsLastHour(db, now.getTime())).toBe(1n);
  await db.destroy();
});

it("gives no place away whose authorization was signed, nor that of another attempt", async () => {
  const db = await openDatabase(":memory:");
  const first = await reserved(db, 1);
  await markSigned(db, first, { now });
  await release(db, first, { reason: "expired", unusable: true, now });
  expect((await reserve(db, asked(1))).kind).toBe("existing");
  const second = await reserved(db, 2);
  await release(db, second, { reason: NEVER_SIGNED, now });
  expect((await reserve(db, asked(1))).kind).toBe("existing");
  await reserved(db, 2);
  expect(await rows(db)).toEqual([
    [1, "released"],
    [2, "reserved"],
  ]);
  // Of several attempts the newest is in the way.
  expect(await reserve(db, asked(3))).toMatchObject({ kind: "existing", purchase: { attempt: 2 } });
  await db.destroy();
});

it("lets the first attempt alone follow none", () => {
  expect([1, 2].map((attempt) => mayFollow([], asked(attempt)))).toEqual([true, false]);
});

it("lets another payment beside one that was turned down be of the same network and asset only", async () => {
  const db = await openDatabase(":memory:");
  const others = [{ asset: `0x${"0d".repeat(20)}` as const }, { network: "eip155:8453" }];
  const policy = policyWith([usdc, ...others.map((other) => ({ ...usdc, ...other }))]);
  const first = await reserved(db, 1);
  await markSigned(db, first, { now });
  await markSent(db, first, { now });
  for (const other of others)
    expect((await reserve(db, asked(2, { policy, ...accept(requirement(other), policy) }))).kind).toBe("existing");
  await reserved(db, 2, { policy });
  await db.destroy();
});

it("lets no other payment follow one whose answer was handed over without a receipt", async () => {
  const db = await openDatabase(":memory:");
  const first = await reserved(db, 1);
  await markSigned(db, first, { now });
  await markSent(db, first, { now });
  await markServed(db, first, now);
  expect((await reserve(db, asked(2))).kind).toBe("existing");
  expect(await rows(db)).toEqual([[1, "sent"]]);
  await db.destroy();
});

it("reserves only a payment that agrees with its offer in each term, and whose amount is written plainly", async () => {
  const db = await openDatabase(":memory:");
  const good = asked(1);
  for (const change of [
    { network: "eip155:8453" },
    { asset: `0x${"0d".repeat(20)}` as const },
    { amount: "20001" },
    { payTo: `0x${"0d".repeat(20)}` as const },
  ])
    await expect(reserve(db, { ...good, payment: { ...good.payment, ...change } })).rejects.toMatchObject({
      code: "payment_mismatch",
    });
  for (const amount of ["020000", "-1", "1.5", "1e3", "", "1".repeat(79)]) {
    const { payment, offer } = good;
    const written = { ...good, payment: { ...payment, amount }, offer: { ...offer, amount } };
    await expect(reserve(db, written)).rejects.toMatchObject({ code: "payment_mismatch" });
  }
  expect(await rows(db)).toEqual([]);
  await db.destroy();
});
