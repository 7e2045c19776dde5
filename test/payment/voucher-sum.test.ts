import { sql } from "kysely";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { lowered } from "../../src/evidence/bytes.ts";
import { channelIdOf } from "../../src/evidence/channel.ts";
import { readCallsLastHour, readUsage } from "../../src/payment/caps.ts";
import { planVoucher, readChannel } from "../../src/payment/channels.ts";
import { markAnswered, markSent, markSettled, markSigned, readPurchase, release } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { countUnbought, isUnserved, partSettled, partsOf, settlePart } from "../../src/payment/voucher-sum.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import type { ChannelsTable } from "../../src/storage/tables.ts";
import { SUM_OF_VOUCHER } from "../../src/storage/voucher-index.ts";
import { receiptCore } from "../support/receipt-core.ts";
import { accept, NETWORK, PAYEE, PAYER, policyWith, requirement, reservation, usdc } from "./fixtures.ts";

// Vouchers of a channel over parts of its sum that overlap: of each part one purchase is settled.

const START = 1.7e12;
const now = new Date(START);
const MINUTE = 60_000;
let db: Db;
/** Each purchase is made a millisecond after the one before. */
let made: number;
beforeEach(async () => {
  db = await openDatabase(":memory:");
  made = 0;
  const opened = db;
  onTestFinished(() => opened.destroy());
});

/** A channel with the test's seller of which nothing was granted yet. */
async function open(salt = "05"): Promise<string> {
  const authorizers = { payerAuthorizer: PAYER, receiverAuthorizer: PAYER };
  const terms = { ...authorizers, withdrawDelay: 900, salt: `0x${salt.repeat(32)}` as const };
  const parties = { payer: PAYER, receiver: lowered(PAYEE) };
  const id = channelIdOf(31337, { ...parties, token: usdc.asset, ...terms });
  const row = { id, seller_id: "seller", network: NETWORK, asset: usdc.asset, ...parties };
  const sums = { deposit: "900000", charged: "0", counted: "0" };
  await db
    .insertInto("channels")
    .values({ ...row, ...sums, terms: JSON.stringify(terms), state: "open", opened_at: 0 })
    .execute();
  return id;
}
async function channelOf(id: string): Promise<ChannelsTable> {
  const channel = await readChannel(db, id);
  if (channel === null) throw new Error("it was opened");
  return channel;
}
const set = (id: string, sums: { charged?: string; counted?: string }) =>
  db.updateTable("channels").set(sums).where("id", "=", id).execute();

type End = "reserved" | "signed" | "sent" | "served" | "failed" | "released";
/** A purchase by the channel's voucher over this much above a base. */
async function voucher(id: string, base: bigint, amount: bigint, end: End = "sent"): Promise<string> {
  const at = new Date(START + (made += 1));
  const { offer, accepted } = accept(requirement({ amount: amount.toString() }), policyWith());
  const { charged } = await channelOf(id);
  await set(id, { charged: base.toString() });
  const payment = planVoucher(await channelOf(id), offer);
  const result = await reserve(db, { ...reservation({ now: at, offer, accepted }), payment });
  await set(id, { charged });
  if (result.kind !== "reserved") throw new Error(JSON.stringify(result));
  const purchase = result.purchase.id;
  if (end === "reserved") return purchase;
  await markSigned(db, purchase, { now: at });
  if (end === "signed") return purchase;
  await markSent(db, purchase, { now: at });
  if (end === "released") await release(db, purchase, { reason: "expired", unusable: true, now: at });
  if (end === "served" || end === "failed") await answer(purchase, end === "served" ? 200 : 500);
  return purchase;
}
/** Stores a receipt with this status as the answer to a purchase. */
async function answer(purchase: string, status: number): Promise<void> {
  const core = receiptCore(purchase);
  const json = JSON.stringify({ core: { ...core, response: { ...core.response, status } } });
  const names = { seller_id: "seller", model: "m", verdict: "partial", payment_nonce: purchase };
  await db
    .insertInto("receipts")
    .values({ id: `r-${purchase}`, json, ...names, created_at: START })
    .execute();
  await markAnswered(db, purchase, { receiptId: `r-${purchase}`, served: status === 200, now });
}
const settle = (purchase: string) =>
  markSettled(db, purchase, { transaction: `0x${"01".repeat(32)}`, amount: "1", now });
const sums = async (id: string) => {
  const { charged, counted } = await channelOf(id);
  return { charged, counted };
};
const settledAmount = async (purchase: string) => (await readPurchase(db, purchase))?.settledAmount;

it("settles the whole part of a voucher that no other shares, whatever was granted next to it", async () => {
  const id = await open();
  const own = await voucher(id, 1000n, 2000n);
  await voucher(id, 0n, 1000n, "served");
  await voucher(id, 3000n, 500n, "served");
  await voucher(await open("06"), 1000n, 2000n, "served");
  expect(await partSettled(db, own)).toBe(2000n);
});

it.each([
  // base, amount and end of another voucher, and what a claim then settles of the part from 1000 to 3000
  ["served, and reaches as far", 1000n, 2000n, "served", null],
  ["served, and reaches farther", 2999n, 2n, "served", null],
  ["served, and begins before", 0n, 3000n, "served", null],
  ["served, and reaches less far", 1000n, 500n, "served", 1500n],
  ["served, and reaches into it", 0n, 1001n, "served", 1999n],
  ["a failure", 1000n, 2000n, "failed", 2000n],
  ["a failure over less", 1000n, 500n, "failed", 2000n],
  ["sent", 1000n, 2000n, "sent", 2000n],
  ["signed", 1000n, 500n, "signed", 2000n],
  ["reserved", 1000n, 500n, "reserved", 2000n],
  ["released", 1000n, 2000n, "released", 2000n],
] as [string, bigint, bigint, End, bigint | null][])(
  "of a voucher beside another over the same sum that was %s, settles the rest",
  async (_what, base, amount, end, rest) => {
    const id = await open();
    const own = await voucher(id, 1000n, 2000n);
    await voucher(id, base, amount, end);
    expect(await partSettled(db, own)).toBe(rest);
    // Without a part of its own it brings nothing up.
    expect(await settlePart(db, own, now)).toBe(rest);
    expect(await sums(id)).toEqual(
      rest === null ? { charged: "0", counted: "0" } : { charged: "3000", counted: "3000" },
    );
  },
);

it("leaves to a voucher that was not served what is above the farthest of the others, in whatever order", async () => {
  const id = await open();
  const own = await voucher(id, 1000n, 2000n, "failed");
  await voucher(id, 1000n, 700n, "served");
  await voucher(id, 1000n, 400n, "served");
  expect(await partSettled(db, own)).toBe(1300n);
});

it("settles the one that was served, though another reaches as far", async () => {
  const id = await open();
  const own = await voucher(id, 1000n, 2000n, "served");
  await voucher(id, 1000n, 2000n, "served");
  await voucher(id, 1000n, 400n, "served");
  expect(await partSettled(db, own)).toBe(1600n);
});

it("has no part for what is no open voucher", async () => {
  const id = await open();
  const transfer = await reserve(db, reservation({ now }));
  if (transfer.kind !== "reserved") throw new Error(transfer.kind);
  for (const one of [
    transfer.purchase.id,
    await voucher(id, 0n, 1000n, "reserved"),
    await voucher(id, 0n, 1000n, "released"),
    "never-made",
  ]) {
    expect(await partSettled(db, one)).toBeNull();
    expect(await settlePart(db, one, now)).toBeNull();
  }
  expect(await sums(id)).toEqual({ charged: "0", counted: "0" });
  for (const end of ["signed", "sent"] as const)
    expect(await partSettled(db, await voucher(id, 0n, 1000n, end))).toBe(1000n);
});

it("brings what was granted and counted of a channel up to a settled voucher, and never down", async () => {
  const id = await open();
  const first = await voucher(id, 0n, 1000n);
  const second = await voucher(id, 1000n, 500n);
  const inAll = async () => (await readUsage(db, usdc, START + MINUTE)).total;
  await set(id, { counted: "1000" });
  expect(await settlePart(db, second, now)).toBe(500n);
  expect(await sums(id)).toEqual({ charged: "1500", counted: "1500" });
  expect(await settlePart(db, first, now)).toBe(1000n);
  expect(await sums(id)).toEqual({ charged: "1500", counted: "1500" });
  await set(id, { charged: "200", counted: "9000" });
  await settlePart(db, first, now);
  expect(await sums(id)).toEqual({ charged: "1000", counted: "9000" });
  expect(await inAll()).toBe(1500n);
});

it("settles a voucher of a channel that its database knows no more", async () => {
  const own = await voucher(await open(), 1000n, 2000n);
  await db.deleteFrom("channels").execute();
  expect(await settlePart(db, own, now)).toBe(2000n);
});

it("counts what was claimed below a settled voucher without a purchase, once, in all and at its seller", async () => {
  const id = await open();
  const own = await voucher(id, 1000n, 2000n);
  await set(id, { counted: "300" });
  await settle(own);
  expect(await settledAmount(own)).toBe("2000");
  const later = START + 2 * MINUTE;
  for (const seller of [undefined, "seller"]) {
    const usage = await readUsage(db, usdc, later, seller);
    expect(usage.total).toBe(2700n);
  }
  expect((await readUsage(db, usdc, later, "another")).total).toBe(0n);
  expect(await readCallsLastHour(db, later)).toBe(1n);
  const next = await voucher(id, 3000n, 100n);
  await settle(next);
  expect((await readUsage(db, usdc, later)).total).toBe(2800n);
});

it("holds what was claimed without a purchase in a window for its whole length, and a minute longer at most", async () => {
  const channel = await channelOf(await open());
  const [hour, minute] = [60 * MINUTE, Math.ceil(START / MINUTE) * MINUTE];
  const inHour = async (at: number) => (await readUsage(db, usdc, at)).hour;
  // In the last millisecond of a minute: it counts in the next one, which a window holds whole.
  await countUnbought(db, channel, 700n, new Date(minute - 1));
  expect(await inHour(minute + hour - 1)).toBe(700n);
  expect(await inHour(minute + hour)).toBe(0n);
});

it("reads a channel's parts in the asked states, oldest first", async () => {
  const id = await open();
  const [first, second] = [await voucher(id, 0n, 1000n), await voucher(id, 0n, 3000n, "signed")];
  await voucher(id, 0n, 2000n, "reserved");
  await voucher(await open("06"), 0n, 1000n);
  const part = (purchase: string, state: string, cumulative: bigint) => ({
    id: purchase,
    state,
    receiptId: null,
    base: 0n,
    cumulative,
  });
  expect(await partsOf(db, id, ["sent", "signed"], { above: 0n })).toEqual([
    part(first, "sent", 1000n),
    part(second, "signed", 3000n),
  ]);
});

it("reads the parts over the sums asked for, whatever number of digits these have", async () => {
  const id = await open();
  const sums = [9n, 10n, 99n, 100n, 900_000n];
  for (const sum of sums) await voucher(id, sum - 1n, 1n);
  const read = async (above: bigint, upTo?: bigint) =>
    (await partsOf(db, id, ["sent"], { above, ...(upTo === undefined ? {} : { upTo }) })).map((one) => one.cumulative);
  expect(await read(-1n)).toEqual(sums);
  expect(await read(9n)).toEqual(sums.slice(1));
  expect(await read(9n, 100n)).toEqual([10n, 99n, 100n]);
  expect(await read(98n, 99n)).toEqual([99n]);
  expect(await read(900_000n)).toEqual([]);
  // A damaged row is no part that is left out in silence.
  await db.updateTable("purchases").set({ voucher: "{" }).where("state", "=", "sent").execute();
  await expect(read(900_000n)).rejects.toThrow("JSON");
});

// PostgreSQL says by its statistics which index it takes.
it.skipIf(process.env["PROOF402_TEST_POSTGRES"] !== undefined)("finds a channel's parts by their index", async () => {
  const id = await open();
  const { rows } = await sql
    .raw<{ detail: string }>(
      `explain query plan select id from purchases where channel_id = '${id}' and ${SUM_OF_VOUCHER} > '0' and state in ('sent')`,
    )
    .execute(db);
  expect(rows.map(({ detail }) => detail).join()).toMatch(/purchases_of_sum .*channel_id=\? AND <expr>>\?/);
});

it("takes for unserved only an answer whose receipt says so", async () => {
  const id = await open();
  const [served, failed] = [await voucher(id, 0n, 1000n, "served"), await voucher(id, 0n, 1000n, "failed")];
  const unserved = (receiptId: string | null) => isUnserved(db, { receiptId });
  expect(await Promise.all([`r-${failed}`, `r-${served}`, "gone", null].map(unserved))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
