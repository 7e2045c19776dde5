import { beforeEach, expect, it, onTestFinished } from "vitest";
import type { Call } from "../../src/buyer/call.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import { withMoney } from "../../src/buyer/money.ts";
import { afterRefusal } from "../../src/buyer/payment-refused.ts";
import { createQuoteCache } from "../../src/buyer/quotes.ts";
import type { Received } from "../../src/buyer/send.ts";
import type { Paying } from "../../src/buyer/turn.ts";
import { channelIdOf } from "../../src/evidence/channel.ts";
import { planVoucher, readChannel } from "../../src/payment/channels.ts";
import { markSent, markSigned, readAttempts, release, SUPERSEDED } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import {
  CHANNEL_PARTIES,
  CHANNEL_TERMS,
  NETWORK,
  PAYER,
  policyWith,
  requirement,
  reservation,
  usdc,
} from "../payment/fixtures.ts";

// A seller answers 402 to a voucher. It uses no transaction of its own, so there is nothing on chain to wait for.

const KEY = "a-key-of-its-own";
const now = new Date(1.7e12);
const terms = CHANNEL_TERMS;
const parties = CHANNEL_PARTIES;
const channelId = channelIdOf(31337, { ...parties, token: usdc.asset, ...terms });
const seller = {
  id: "seller",
  origin: "http://127.0.0.1:9",
  payTo: [parties.receiver],
  facilitators: [],
  channel: { receiverAuthorizer: terms.receiverAuthorizer, withdrawDelaySeconds: terms.withdrawDelay },
};
let db: Db;
beforeEach(async () => {
  db = await openDatabase(":memory:");
  const opened = db;
  onTestFinished(() => opened.destroy());
  const row = { id: channelId, seller_id: seller.id, network: NETWORK, asset: usdc.asset, ...parties };
  const sums = { deposit: "500000", charged: "0", counted: "0" };
  await db
    .insertInto("channels")
    .values({ ...row, ...sums, terms: JSON.stringify(terms), state: "open", opened_at: 0 })
    .execute();
});

/** Sends a voucher over the next part of the channel's sum. */
async function sendVoucher(key: string): Promise<Paying["purchase"]> {
  const channel = await readChannel(db, channelId);
  if (channel === null) throw new Error("it was opened");
  const request = reservation({ key, now });
  const result = await reserve(db, { ...request, payment: planVoucher(channel, request.offer) });
  if (result.kind !== "reserved") throw new Error(result.kind);
  await markSigned(db, result.purchase.id, { now });
  await markSent(db, result.purchase.id, { now });
  const [purchase] = await readAttempts(db, key);
  if (purchase === undefined) throw new Error("it was sent");
  return purchase;
}

/** The seller's 402 to a voucher, with what it says was granted of the channel so far. */
function turnedDown(granted: string): Received {
  const channelState = { channelId, chargedCumulativeAmount: granted };
  const extra = { receiverAuthorizer: PAYER, withdrawDelay: 900, channelState };
  const accepts = [requirement({ scheme: "batch-settlement", extra })];
  const header = Buffer.from(JSON.stringify({ x402Version: 2, accepts })).toString("base64");
  return { status: 402, headers: { "payment-required": header }, body: new Uint8Array() } as unknown as Received;
}

it("grants of a channel what the seller rightly says, and pays by the next voucher, though the chain cannot be asked", async () => {
  await sendVoucher("an-earlier-key");
  const purchase = await sendVoucher(KEY);
  const chain = { read: () => Promise.reject(new Error("it is down")), witness: null };
  const ctx = {
    db,
    clock: () => now,
    config: { payment: policyWith([{ ...usdc, methods: ["voucher"] }]) },
    quotes: createQuoteCache(60_000),
    chains: new Map([[NETWORK, chain]]),
  } as unknown as BuyerContext;
  const call = { key: KEY, request: { seller: seller.id }, wallet: { address: PAYER } } as unknown as Call;
  const candidate = { seller, model: { name: "m", price: null } };
  const paying = { candidate, attested: {}, purchase, quote: { cached: true }, failure: null } as unknown as Paying;
  expect(
    await afterRefusal(ctx, call, paying, { received: turnedDown("20000"), headers: { "payment-signature": "" } }),
  ).toMatchObject({
    kind: "pay",
    attempt: 2,
    chosen: { quote: { offer: { scheme: "batch-settlement", amount: "20000" } } },
  });
  expect((await readChannel(db, channelId))?.charged).toBe("20000");
});

it.each([
  [true, "not-moved", "Nothing stays reserved"],
  [false, "may-move", "The signed amount stays reserved"],
])("tells of a voucher what the journal holds of it, released: %s", async (released, money, words) => {
  const purchase = await sendVoucher(KEY);
  if (released) await release(db, purchase.id, { reason: SUPERSEDED, unusable: true, now });
  const config = { payment: policyWith([{ ...usdc, methods: ["voucher"] }]) };
  const quotes = createQuoteCache(60_000);
  const ctx = { db, config, quotes, clock: () => now, chains: new Map() } as unknown as BuyerContext;
  const call = { key: KEY, request: { seller: seller.id }, wallet: { address: PAYER } } as unknown as Call;
  const candidate = { seller, model: { name: "m", price: null } };
  const paying = { candidate, attested: {}, purchase, quote: null, failure: null } as unknown as Paying;
  const refused = afterRefusal(ctx, call, paying, { received: turnedDown("0"), headers: { "payment-signature": "" } });
  const told = await refused.then(
    () => null,
    (error: unknown) => withMoney(ctx, [KEY], error),
  );
  expect(told).toMatchObject({ code: "payment_rejected", money, next: expect.stringContaining(words) as string });
  expect(told?.next.includes("same key")).toBe(!released);
  expect(told?.idempotencyKey).toBe(released ? undefined : KEY);
});
