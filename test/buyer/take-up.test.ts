import { beforeEach, expect, it, onTestFinished } from "vitest";
import type { Address } from "../../src/evidence/bytes.ts";
import type { Call } from "../../src/buyer/call.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import { openAgain, takeUp } from "../../src/buyer/resume.ts";
import { planVoucher } from "../../src/payment/channels.ts";
import { markAnswered, markSent, markSettled, markSigned, readAttempts, release } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import type { Transition } from "../../src/payment/types.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Payment } from "../../src/receipts/schema.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import type { ChannelsTable } from "../../src/storage/tables.ts";
import { PAYEE, PAYER, reservation, usdc } from "../payment/fixtures.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";

// What the journal alone decides: no chain can be asked here.

const KEY = "a-key-of-its-own";
const START = new Date(1.7e12);
let db: Db;
/** Asked for the time, as the code under test asks. */
let clock: () => Date;
const looked: string[] = [];
beforeEach(async () => {
  looked.length = 0;
  db = await openDatabase(":memory:");
  clock = () => START;
  const opened = db;
  onTestFinished(() => opened.destroy());
});

/** Of no network a chain is configured, and so it is known which are looked for. */
const chains = { get: (network: string) => void looked.push(network) };
const take = (argsDigest = "aa".repeat(32)) =>
  takeUp({ db, clock: () => clock(), chains } as unknown as BuyerContext, { key: KEY, argsDigest } as Call);
const again = (id: string | undefined) => ({ kind: "again", purchase: { id }, failure: null });
const at = (seconds: number): void => void (clock = () => new Date(START.getTime() + seconds * 1000));

type End = "reserved" | "signed" | "sent" | "settled" | "released";
/** Attempts of a call, brought to their ends one after another. Each lives for 60 s from the start. */
async function attempts(...ends: End[]): Promise<string[]> {
  const ids: string[] = [];
  for (const [index, end] of ends.entries()) {
    const result = await reserve(db, reservation({ key: KEY, attempt: index + 1, now: START }));
    if (result.kind !== "reserved") throw new Error(result.kind);
    const { id } = result.purchase;
    ids.push(id);
    if (end === "reserved") continue;
    await markSigned(db, id, { now: START });
    if (end !== "signed") await markSent(db, id, { now: START });
    if (end === "released") await release(db, id, { reason: "expired", unusable: true, now: START });
  }
  for (const [index, end] of ends.entries())
    if (end === "settled")
      await markSettled(db, ids[index] ?? "", { transaction: `0x${"0a".repeat(32)}`, amount: "20000", now: START });
  return ids;
}
const states = async () => (await readAttempts(db, KEY)).map(({ state, reason }) => [state, reason]);

it("pays as the first attempt where there was none, and as the next where all are given up", async () => {
  expect(await take()).toEqual({ kind: "pay", attempt: 1, chosen: null });
  await attempts("released", "released");
  expect(await take()).toEqual({ kind: "pay", attempt: 3, chosen: null });
});

it("gives up an attempt that was only reserved, and pays in its place", async () => {
  await attempts("released", "reserved");
  expect(await take()).toEqual({ kind: "pay", attempt: 2, chosen: null });
  expect(await take()).toEqual({ kind: "pay", attempt: 2, chosen: null });
  expect(await states()).toEqual([
    ["released", "expired"],
    ["released", "never_signed"],
  ]);
});

it("sends again what another process signed in the moment before it was to be given up", async () => {
  const [id = ""] = await attempts("reserved");
  const signing: Promise<Transition>[] = [];
  clock = () => {
    if (signing.length === 0) signing.push(markSigned(db, id, { now: START }));
    return START;
  };
  expect(await take()).toMatchObject(again(id));
  expect(await Promise.all(signing)).toMatchObject([{ ok: true }]);
  expect(await states()).toEqual([["signed", null]]);
});

it.each(["signed", "sent"] as const)(
  "sends again what was %s, while ten seconds and more are left of it",
  async (end) => {
    const [id] = await attempts("released", end).then((ids) => ids.slice(1));
    expect(await take()).toMatchObject(again(id));
    at(49);
    expect(await take()).toMatchObject(again(id));
    for (const seconds of [50, 59, 100_000]) {
      at(seconds);
      await expect(take()).rejects.toMatchObject({ code: "payment_in_doubt" });
    }
    expect(await states()).toEqual([
      ["released", "expired"],
      [end, null],
    ]);
  },
);

it("sends the newest again of two that are out", async () => {
  const [, second] = await attempts("sent", "sent");
  expect(await take()).toMatchObject(again(second));
});

it.each([
  [["released", "sent"], 0, 0],
  [["released", "sent"], 55, 1],
  [["sent", "sent"], 0, 2],
  [["released", "settled"], 55, 0],
] as [End[], number, number][])(
  "of attempts that are %j, %d s old, asks the chain about %d",
  async (ends, age, looks) => {
    await attempts(...ends);
    at(age);
    await take().catch(() => undefined);
    expect(looked).toHaveLength(looks);
  },
);

it.each([
  [200, "sent", 0, 0],
  [200, "sent", 55, 0],
  [500, "sent", 0, 0],
  [500, "sent", 55, 1],
  [500, "settled", 55, 0],
  [500, "released", 55, 0],
] as [number, End, number, number][])(
  "about a payment answered with %d and %s since, %d s old, asks the chain %d times",
  async (status, end, age, looks) => {
    const [id = ""] = await attempts(end);
    const core = receiptCore("one");
    const receipt = createReceipt({ ...core, response: { ...core.response, status } });
    await addReceipt(db, receipt, appraisal(), START);
    await markAnswered(db, id, { receiptId: receipt.id, served: status === 200, now: START });
    at(age);
    await take().catch(() => undefined);
    expect(looked).toHaveLength(looks);
  },
);

it("asks for what is settled and unanswered, however long ago, and whatever else is out", async () => {
  const [, settled] = await attempts("sent", "settled");
  expect(await take()).toMatchObject(again(settled));
  at(100_000);
  expect(await take()).toMatchObject(again(settled));
});

it("takes up nothing of a call that asked for something else", async () => {
  await attempts("sent");
  await expect(take("bb".repeat(32))).rejects.toMatchObject({ code: "idempotency_conflict" });
});

it("sends no permit or voucher again that the seller's facilitators or the terms of its channel no longer allow", async () => {
  await attempts("sent");
  const [purchase] = await readAttempts(db, KEY);
  if (purchase === undefined) throw new Error("it was sent");
  const { offer, request } = purchase;
  const facilitator: Address = `0x${"fa".repeat(20)}`;
  const channel = {
    payerAuthorizer: PAYER,
    receiverAuthorizer: facilitator,
    withdrawDelay: 900,
    salt: `0x${"05".repeat(32)}`,
  };
  const { authorizationHash, ...terms } = purchase.payment;
  const permit: Payment = { ...terms, scheme: "upto", method: "permit2", facilitator, authorizationHash };
  const voucher = planVoucher({ charged: "0", payer: PAYER, terms: JSON.stringify(channel) } as ChannelsTable, offer);
  const seller = { id: "seller", origin: new URL(request.url).origin, payTo: [PAYEE.toLowerCase()] };
  const pinned = {
    facilitators: [facilitator],
    channel: { receiverAuthorizer: facilitator, withdrawDelaySeconds: 900 },
  };
  const againUnder = (payment: Payment, pins: Partial<typeof pinned>) => {
    const config = {
      sellers: [{ ...seller, ...pinned, ...pins }],
      payment: { assets: [{ ...usdc, methods: ["upto", "voucher"] }] },
    };
    const catalog = { listings: () => Promise.resolve([]) };
    const parts = { config, catalog, providerOf: () => ({}), attestations: new Map() };
    return openAgain(parts as unknown as BuyerContext, { key: KEY } as Call, {
      kind: "again",
      purchase: { ...purchase, payment },
      failure: null,
    });
  };
  for (const payment of [permit, voucher])
    await expect(againUnder(payment, {})).rejects.toMatchObject({ code: "seller_unreachable" });
  await expect(againUnder(permit, { facilitators: [PAYER] })).rejects.toMatchObject({
    code: "resend_not_allowed",
    details: { changed: "facilitators" },
  });
  for (const other of [{ receiverAuthorizer: PAYER }, { withdrawDelaySeconds: 901 }])
    await expect(againUnder(voucher, { channel: { ...pinned.channel, ...other } })).rejects.toMatchObject({
      code: "resend_not_allowed",
      details: { changed: "channel" },
    });
});
