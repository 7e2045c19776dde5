import { expect, it } from "vitest";
import { readCallsLastHour } from "../../src/payment/caps.ts";
import { planVoucher, readChannel } from "../../src/payment/channels.ts";
import {
  markAnswered,
  markSent,
  markServed,
  markSettled,
  markSigned,
  readLatestAttempt,
  readPurchase,
  readSignature,
  release,
  SUPERSEDED,
} from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { digestOf } from "../../src/receipts/log-digest.ts";
import { LINK_COLUMNS } from "../../src/receipts/log-rows.ts";
import type { PurchaseRecord, Refusal } from "../../src/payment/types.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { channelIdOf } from "../../src/evidence/channel.ts";
import { CHANNEL_PARTIES, CHANNEL_TERMS, NETWORK, reservation, usdc } from "./fixtures.ts";

const now = new Date(1.7e12);
const later = new Date(1.7e12 + 5000);
const TRANSACTION = `0x${"01".repeat(32)}`;

async function reserved(db: Db): Promise<PurchaseRecord> {
  const result = await reserve(db, reservation({ now }));
  if (result.kind !== "reserved") throw new Error(result.kind);
  return result.purchase;
}

async function sent(db: Db, signature?: string): Promise<string> {
  const { id } = await reserved(db);
  await markSigned(db, id, { now });
  await markSent(db, id, { now, ...(signature === undefined ? {} : { signature }) });
  return id;
}

/** A channel of which nothing was granted yet, and vouchers on its next part that were sent. */
async function openChannel(db: Db) {
  const [terms, parties] = [CHANNEL_TERMS, CHANNEL_PARTIES];
  const id = channelIdOf(31337, { ...parties, token: usdc.asset, ...terms });
  const row = {
    id,
    seller_id: "seller",
    network: NETWORK,
    asset: usdc.asset,
    ...parties,
    terms: JSON.stringify(terms),
  };
  const sums = { deposit: "500000", charged: "0", counted: "0" };
  await db
    .insertInto("channels")
    .values({ ...row, ...sums, state: "open", opened_at: 0 })
    .execute();
  return async (): Promise<string> => {
    const channel = await readChannel(db, id);
    if (channel === null) throw new Error("it was opened");
    const request = reservation({ now });
    const result = await reserve(db, { ...request, payment: planVoucher(channel, request.offer) });
    if (result.kind !== "reserved") throw new Error(JSON.stringify(result));
    await markSigned(db, result.purchase.id, { now });
    await markSent(db, result.purchase.id, { now });
    return result.purchase.id;
  };
}

const settle = (db: Db, id: string, amount = "20000") =>
  markSettled(db, id, { transaction: TRANSACTION, amount, now: later });

it("asks the policy of the moment before anything is signed that was not sent, and leaves unsigned what it refuses", async () => {
  const db = await openDatabase(":memory:");
  const refusal: Refusal = { code: "asset_not_allowed", message: "no" };
  let asked = 0;
  const refuse = (): Promise<Refusal> => {
    asked += 1;
    return Promise.resolve(refusal);
  };
  const { id } = await reserved(db);
  const refused = (state: string) => ({ ok: false, code: "refused", state, refusal });
  expect(await markSigned(db, id, { now, consent: refuse })).toEqual(refused("reserved"));
  expect((await readPurchase(db, id))?.state).toBe("reserved");
  await markSigned(db, id, { now });
  expect(await markSigned(db, id, { now, consent: refuse })).toEqual(refused("signed"));
  expect(asked).toBe(2);
  // What was sent may be used by whoever has it: refusing to sign the very same again would save nothing.
  await markSent(db, id, { now });
  expect(await markSigned(db, id, { now, consent: refuse })).toEqual({ ok: true, state: "sent", changed: false });
  expect(await markSigned(db, "nothing", { now, consent: refuse })).toMatchObject({ code: "unknown_purchase" });
  expect(asked).toBe(2);
  await db.destroy();
});

it("tells what changed from what stood so already, and dates it", async () => {
  const db = await openDatabase(":memory:");
  const { id } = await reserved(db);
  expect(await markSigned(db, id, { now: later })).toEqual({ ok: true, state: "signed", changed: true });
  expect((await readPurchase(db, id))?.updatedAt).toBe(later.getTime());
  expect(await settle(db, id)).toEqual({ ok: true, state: "settled", changed: true });
  expect(await settle(db, id)).toEqual({ ok: true, state: "settled", changed: false });
  expect(await readPurchase(db, "nothing")).toBeNull();
  expect(await readLatestAttempt(db, "nothing")).toBeNull();
  await db.destroy();
});

it("dates an answer, unless it was the seller's failure, and dates one whose receipt could not be stored", async () => {
  const db = await openDatabase(":memory:");
  const answered = await sent(db);
  await markAnswered(db, answered, { receiptId: "r1", now: later });
  expect(await readPurchase(db, answered)).toMatchObject({ answeredAt: later.getTime(), receiptId: "r1" });
  expect(await markServed(db, answered, now)).toEqual({ ok: true, state: "answered", changed: false });
  expect((await readPurchase(db, answered))?.answeredAt).toBe(later.getTime());
  const failed = await sent(db);
  await markAnswered(db, failed, { receiptId: "r2", served: false, now: later });
  expect(await readPurchase(db, failed)).toMatchObject({ answeredAt: null, receiptId: "r2", state: "answered" });
  const unstored = await sent(db);
  await markServed(db, unstored, later);
  expect(await readPurchase(db, unstored)).toMatchObject({ answeredAt: later.getTime(), receiptId: null });
  await db.destroy();
});

it("logs which receipt a purchase has, once for each, and no other move", async () => {
  const db = await openDatabase(":memory:");
  const link = async () =>
    digestOf(await db.selectFrom("purchases").select(LINK_COLUMNS).where("id", "=", id).executeTakeFirst());
  const id = await sent(db);
  await markAnswered(db, id, { receiptId: "r1", served: false, now: later });
  const expected = [{ kind: "purchase", receipt_id: id, digest: await link(), at: later.getTime() }];
  await markAnswered(db, id, { receiptId: "r2", replaces: "r1", now });
  // No entry is older than the one before it.
  expected.push({ kind: "purchase", receipt_id: id, digest: await link(), at: later.getTime() });
  await markAnswered(db, id, { receiptId: "r2", now });
  await settle(db, id);
  const entries = db.selectFrom("log").select(["kind", "receipt_id", "digest", "at"]).orderBy("seq");
  expect(await entries.execute()).toEqual(expected);
  await db.destroy();
});

it("gives the signature out with the receipt it belongs to, and none where there is none", async () => {
  const db = await openDatabase(":memory:");
  const [signed, unsigned] = [await sent(db, "0xabcd"), await sent(db)];
  await markAnswered(db, signed, { receiptId: "r1", now });
  await markAnswered(db, unsigned, { receiptId: "r2", now });
  expect(await Promise.all(["r1", "r2", "r3"].map((id) => readSignature(db, id)))).toEqual(["0xabcd", null, null]);
  await db.destroy();
});

it("counts a purchase back among the calls of the hour once it is seen settled after all", async () => {
  const db = await openDatabase(":memory:");
  const id = await sent(db);
  expect(await readCallsLastHour(db, now.getTime())).toBe(1n);
  await release(db, id, { reason: "expired", unusable: true, now });
  expect(await readCallsLastHour(db, now.getTime())).toBe(0n);
  await settle(db, id);
  expect(await readCallsLastHour(db, now.getTime() + 100_000)).toBe(1n);
  await db.destroy();
});

it("settles the part of a channel's sum for one voucher, and releases for good one that has no part of its own", async () => {
  const db = await openDatabase(":memory:");
  const voucher = await openChannel(db);
  const [first, second] = [await voucher(), await voucher()];
  expect(await settle(db, first, "999")).toMatchObject({ ok: true, state: "settled" });
  // What moved is the voucher's own part, whatever the claim was for.
  expect((await readPurchase(db, first))?.settledAmount).toBe("20000");
  expect(await settle(db, second)).toEqual({ ok: true, state: "released", changed: true });
  expect(await readPurchase(db, second)).toMatchObject({ settledAmount: null, reason: SUPERSEDED });
  expect(await settle(db, second)).toMatchObject({ ok: false, code: "illegal_transition", state: "released" });
  await db.destroy();
});
