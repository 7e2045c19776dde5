import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { divide, type CallRow } from "../../src/payment/share-books.ts";
import { closeShared, findShared, forgetEnded, keptOf, openShared, readShared } from "../../src/payment/shared.ts";
import { toldCost } from "../../src/payment/reported.ts";
import type { Payment } from "../../src/receipts/schema.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";

let db: Db;
beforeEach(async () => {
  db = await openDatabase(":memory:");
});
afterEach(() => db.destroy());

const NONCE = `0x${"ab".repeat(32)}` as const;
const PAYER = `0x${"a1".repeat(20)}` as const;
const NOW = new Date(1_800_000_000_000);
const TERMS = { shownBy: "token", calls: 3, idleSeconds: 45, marginSeconds: 130 } as const;
const PLACE = {
  sellerId: "s",
  target: "POST https://s.example/v1/chat/completions",
  offerHash: "0f".repeat(32),
  certificate: "ce".repeat(32),
};
const payment = {
  nonce: NONCE,
  payer: PAYER,
  validBefore: NOW.getTime() / 1000 + 300,
} as unknown as Payment;

/** The row of a call, as far as its place among others goes. */
const row = (at: number, changes: Partial<CallRow> = {}): CallRow => ({
  id: `call-${at}`,
  idempotency_key: `key-${at}`,
  attempt: 1,
  args_digest: "",
  state: "answered",
  seller_id: "s",
  client: null,
  model: "m",
  network: "eip155:1",
  asset: `0x${"c3".repeat(20)}`,
  amount: at === 0 ? "900" : "0",
  settled_amount: null,
  scheme: "upto",
  method: "permit2",
  facilitator: null,
  channel_id: null,
  voucher: null,
  share: JSON.stringify({ first: at === 0, kept: "300", amount: "900" }),
  reported: null,
  part: null,
  payer: PAYER,
  pay_to: PAYER,
  nonce: at === 0 ? NONCE : `${NONCE} 0x${String(at).padStart(64, "0")}`,
  valid_after: 0,
  valid_before: 0,
  authorization_hash: NONCE,
  salt: null,
  signature: null,
  listed_price: null,
  offer: "{}",
  accepted: "{}",
  request: "{}",
  receipt_id: `p402_${at}`,
  answered_at: 1,
  transaction: null,
  reason: null,
  created_at: at,
  updated_at: at,
  ...changes,
});

const open = async (changes: Partial<CallRow> = {}): Promise<void> => {
  await db.insertInto("purchases").values(row(0, changes)).execute();
  await openShared(db, payment, { ...PLACE, terms: TERMS, token: "t".repeat(36), now: NOW });
};
const find = (changes: object = {}, now = NOW): ReturnType<typeof findShared> =>
  findShared(db, { ...PLACE, payer: PAYER, ...changes }, TERMS, now);
const later = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1000);

describe("an authorization for several calls", () => {
  test("T120: an authorization takes no call to another place, of another offer or under another certificate", async () => {
    await open();
    expect(await find()).toBe(NONCE);
    for (const other of [
      { target: "POST https://s.example/v1/completions" },
      { target: "GET https://s.example/v1/chat/completions" },
      { target: "POST https://t.example/v1/chat/completions" },
      { certificate: null },
      { certificate: "cf".repeat(32) },
      { offerHash: "00".repeat(32) },
      { sellerId: "t" },
      { payer: `0x${"b2".repeat(20)}` },
    ])
      expect(await find(other), JSON.stringify(other)).toBeNull();
    expect(await findShared(db, { ...PLACE, payer: PAYER }, { ...TERMS, shownBy: "payment" }, NOW)).toBeNull();
  });

  test("it takes none past its idle time, near its end, after it was closed, settled or by a clock set back", async () => {
    await open();
    expect(await find({}, later(44))).toBe(NONCE);
    expect(await find({}, later(45))).toBeNull();
    expect(await find({}, later(-1))).toBeNull();
    await db
      .updateTable("shared_authorizations")
      .set({ used_at: later(169).getTime() })
      .execute();
    expect(await find({}, later(169))).toBe(NONCE);
    expect(await find({}, later(170))).toBeNull();
    await db.updateTable("purchases").set({ state: "settled" }).execute();
    expect(await find({}, later(169))).toBeNull();
    await db.updateTable("purchases").set({ state: "answered" }).execute();
    await closeShared(db, NONCE, later(169));
    expect(await find({}, later(169))).toBeNull();
  });

  test("its calls keep parts of the amount free, and told costs take their place", async () => {
    await open();
    expect(keptOf("900", TERMS)).toBe("300");
    await db
      .insertInto("purchases")
      .values(row(1, { state: "sent", receipt_id: null }))
      .execute();
    expect(await find()).toBe(NONCE);
    await db.updateTable("purchases").set({ reported: "301" }).where("id", "=", "call-0").execute();
    expect(await find()).toBeNull();
    await db.updateTable("purchases").set({ reported: "1" }).where("id", "=", "call-0").execute();
    await db.insertInto("purchases").values(row(2)).execute();
    // Three are as many as were agreed.
    expect(await find()).toBeNull();
  });

  test("its token is kept past its use only for a call that may have to be sent again, and never past its end", async () => {
    await open({ valid_before: payment.validBefore });
    const token = async (): Promise<string | null | undefined> => (await readShared(db, NONCE))?.token;
    await db
      .insertInto("purchases")
      .values(row(1, { state: "sent", receipt_id: null, valid_before: payment.validBefore }))
      .execute();
    await forgetEnded(db, later(60));
    expect(await token()).not.toBeNull();
    await db.updateTable("purchases").set({ state: "answered" }).execute();
    await forgetEnded(db, later(60));
    expect(await token()).toBeNull();

    await db
      .updateTable("shared_authorizations")
      .set({ token: "t".repeat(36) })
      .execute();
    await db.updateTable("purchases").set({ state: "sent" }).where("id", "=", "call-1").execute();
    await forgetEnded(db, later(301));
    expect(await token()).toBeNull();
  });
});

describe("what moved under one authorization", () => {
  const knownIn = (rows: CallRow[]): bigint =>
    BigInt(rows.filter(({ reported, answered_at: at }) => reported !== null && at !== null).length);
  const cost = fc.option(fc.bigInt({ min: 0n, max: 1000n }).map(String), { nil: null });
  const call = fc.record({
    reported: cost,
    receipt_id: fc.constantFrom("p402_x", null),
    answered_at: fc.constantFrom(1, null),
    state: fc.constantFrom("sent" as const, "answered" as const, "released" as const),
    reason: fc.constantFrom(null, "share_refused", "authorization_expired"),
  });

  test("is divided without a rest: the parts are all of it, and none is below zero", () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 6 }), fc.bigInt({ min: 1n, max: 10_000n }), (calls, moved) => {
        const rows = [row(0), ...calls.map((one, at) => row(at + 1, one))];
        const { parts, told, isMore } = divide(rows, moved);
        const all = [...parts.values()];
        expect(all.reduce((sum, { part }) => sum + part, 0n)).toBe(moved);
        expect(all.every(({ part }) => part >= 0n)).toBe(true);
        expect(isMore && told === null).toBe(false);
        expect(isMore).toBe(told !== null && moved > told + told / 1000n + knownIn(rows));
        for (const one of rows)
          expect(parts.has(one.id)).toBe(one.reason !== "share_refused" || one.state !== "released");
      }),
    );
  });

  test.each<[string, Partial<CallRow>[], bigint, bigint[], boolean]>([
    ["as it was told", [{ reported: "300" }, { reported: "500" }], 800n, [300n, 500n], false],
    ["more, of all by their costs", [{ reported: "300" }, { reported: "500" }], 1600n, [600n, 1000n], true],
    ["less, in proportion", [{ reported: "300" }, { reported: "500" }], 400n, [150n, 250n], false],
    ["the rest is of what nothing is told of", [{ reported: "300" }, {}], 800n, [300n, 500n], false],
    [
      "the rest is of a call without an answer",
      [{ reported: "300" }, { state: "sent", receipt_id: null, answered_at: null }],
      800n,
      [300n, 500n],
      false,
    ],
    [
      "the rest is of a call with a failed or cut answer",
      [{ reported: "300" }, { answered_at: null }],
      800n,
      [300n, 500n],
      false,
    ],
    ["no rest, no part of a failed one", [{ reported: "300" }, { answered_at: null }], 300n, [300n, 0n], false],
    [
      "an answer without a told cost comes before a failed one",
      [{ reported: "300" }, {}, { answered_at: null }],
      800n,
      [300n, 500n, 0n],
      false,
    ],
    [
      "rounding of one unit a call is of the told ones",
      [{ reported: "30" }, { reported: "30" }, { answered_at: null }],
      62n,
      [31n, 31n, 0n],
      false,
    ],
    ["told as nothing, in equal parts", [{ reported: "0" }, { reported: "0" }], 5n, [3n, 2n], true],
  ])("%s", (_name, calls, moved, parts, isMore) => {
    const division = divide(
      calls.map((one, at) => row(at, one)),
      moved,
    );
    expect([...division.parts.values()].map(({ part }) => part)).toEqual(parts);
    expect(division.isMore).toBe(isMore);
  });
});

test.each([
  [{ amount: "0.0003" }, 300n],
  [{ amount: "0.00030001" }, 301n],
  [{ amount: "0.000300000" }, 300n],
  [{ amount: "7" }, 7_000_000n],
  [{ amount: "0.1", symbol: "USDC" }, 100_000n],
  [{ amount: "0.1", symbol: "OPG" }, null],
  [{ amount: "-1" }, null],
  [{ amount: "1e3" }, null],
  [{ amount: "" }, null],
  [null, null],
])("a told cost %o is %s base units", (told, units) => {
  expect(toldCost(told, { symbol: "USDC", decimals: 6 })).toBe(units);
});
