import { join } from "node:path";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { voucherHash } from "../../src/evidence/channel.ts";
import { acceptSellerCharge, noteMoney } from "../../src/payment/channel-books.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import { surveyChannels } from "../../src/payment/channel-recover.ts";
import { readChannel } from "../../src/payment/channels.ts";
import { markSettled } from "../../src/payment/journal.ts";
import { openChain } from "../../src/chain/chain.ts";
import { readChannelState } from "../../src/chain/channels.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { settlementsOf } from "../support/later.ts";
import { buyWith } from "../support/buy.ts";
import { copyOf } from "../support/both-databases.ts";
import { databasePlace } from "../support/database-place.ts";

const PRICE = 10_000n;
const DEPOSIT = 500_000n;
/** The largest answer that is let in, bytes. */
const LIMIT = 100_000;

let market: Market;
const opened: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  market = await openMarket();
});
afterAll(async () => {
  await Promise.all(opened.map((one) => one.close()));
  await market.stop();
});

/** A wallet with a channel of the honest seller (at another origin, if one is named), and buyers of it over any database. */
const newPlace = (): string => join(market.directory, `${crypto.randomUUID()}.db`);

async function openPurse(origin?: string) {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const { bank } = market.devnet;
  await bank.fund(address);
  await bank.token.mint(address, 10_000_000n);
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter(({ symbol }) => symbol === "USDC");
    for (const asset of made.payment.assets) Object.assign(asset, { methods: ["voucher"], perHour: "110000" });
    made.sellers = made.sellers.filter(({ id }) => id === "honest");
    made.http.maxResponseBytes = LIMIT;
    for (const seller of made.sellers) seller.origin = origin ?? seller.origin;
  });
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  const [seller] = config.sellers;
  if (network === undefined || asset === undefined || seller === undefined) throw new Error("the devnet has them");
  const wallet = walletFromPrivateKey(key);
  const chain = openChain(network);
  const dbOf = async (database: string) => {
    const db = await openDatabase(database);
    opened.push({ close: () => db.destroy() });
    return db;
  };
  const db = await dbOf(config.database);
  const { channel } = await openChannel({ db, chain, wallet, seller, asset, amount: DEPOSIT, now: new Date() });
  const buyerOver = async (database: string): Promise<Buyer> => {
    const own: Config = { ...config, database };
    const buyer = await openBuyer({ config: own, wallet });
    opened.push(buyer);
    return buyer;
  };
  const claimed = (): Promise<bigint> =>
    chain.read(
      async (client) => (await readChannelState(client, channel.id, await client.getBlockNumber())).totalClaimed,
    );
  return {
    key,
    wallet,
    config,
    chain,
    asset,
    seller,
    channel,
    db,
    dbOf,
    buyerOver,
    claimed,
    /** Buys so often and waits until the seller has claimed all of it. */
    async buy(buyer: Buyer, times: number): Promise<void> {
      const before = await claimed();
      for (let at = 0; at < times; at += 1) await buyOne(buyer);
      await expect.poll(claimed).toBe(before + BigInt(times) * PRICE);
      await buyer.reconcile();
    },
    /** A copy of a database as a backup has it. */
    backup: () => copyOf(config.database, newPlace()),
  };
}

let asked = 0;
/** Each call asks something else: a seller serves an answer that it remembers for the very same payment. */
const buyOne = (buyer: Buyer, idempotencyKey: string = crypto.randomUUID()) =>
  buyWith(buyer, {
    model: "eth-risk",
    seller: "honest",
    input: { features: ETH_FEATURES.features.map((one, at) => (at === 0 ? one + (asked += 1) / 10_000 : one)) },
    idempotencyKey,
  });
/** What counts against the total cap, base units. */
const counted = async (buyer: Buyer): Promise<bigint> =>
  BigInt((await buyer.spending()).assets[0]?.windows.find(({ name }) => name === "total")?.used ?? "-1");

describe("a channel whose database was restored from a backup", () => {
  test("goes on from what the seller shows this wallet signed, and what was claimed counts once", async () => {
    const purse = await openPurse();
    const first = await purse.buyerOver(purse.config.database);
    await purse.buy(first, 1);
    const path = await purse.backup();
    await purse.buy(first, 4);
    await first.close();

    const restored = await purse.buyerOver(path);
    // One call may find out; those after it go on.
    await expect(buyOne(restored)).rejects.toMatchObject({ code: "payment_rejected" });
    expect(await counted(restored)).toBe(5n * PRICE);
    expect((await restored.spending()).recent[0]?.state).toBe("released");
    await purse.buy(restored, 3);
    expect([await purse.claimed(), await counted(restored)]).toEqual([8n * PRICE, 8n * PRICE]);
    // Looking again counts nothing again.
    await restored.reconcile();
    expect(await counted(restored)).toBe(8n * PRICE);
    // The hour's cap holds over what the backup did not know.
    await purse.buy(restored, 3);
    await expect(buyOne(restored)).rejects.toMatchObject({ code: "over_hour_cap", money: "not-moved" });
  });

  test("or lost altogether, is found on the chain, and what was claimed of it counts once", async () => {
    const purse = await openPurse();
    const first = await purse.buyerOver(purse.config.database);
    await purse.buy(first, 2);
    await first.close();
    const path = await databasePlace(newPlace());
    const db = await purse.dbOf(path);
    const survey = () =>
      surveyChannels({
        db,
        chainOf: () => purse.chain,
        payer: purse.wallet.address,
        sellers: [purse.seller],
        assets: [purse.asset],
        now: new Date(),
      });
    for (const _time of [1, 2]) {
      const { channels, unreachable } = await survey();
      expect(unreachable).toEqual([]);
      expect(channels.map(({ row, seen }) => [row.id, row.state, row.deposit, seen?.totalClaimed])).toEqual([
        [purse.channel.id, "open", DEPOSIT.toString(), 2n * PRICE],
      ]);
    }
    const buyer = await purse.buyerOver(path);
    expect(await counted(buyer)).toBe(2n * PRICE);
    await expect(buyOne(buyer)).rejects.toMatchObject({ code: "payment_rejected" });
    await purse.buy(buyer, 1);
    expect(await counted(buyer)).toBe(3n * PRICE);
  });

  test("is not taken further by a word that no voucher of this wallet shows", async () => {
    const purse = await openPurse();
    const { id } = purse.channel;
    const signature = async (key: `0x${string}`, cumulative: string) =>
      privateKeyToAccount(key).sign({ hash: voucherHash(31337, id, cumulative) });
    const own = await signature(purse.key, "50000");
    const words: [string, { cumulative: string; signature: string } | null][] = [
      ["50000", null],
      ["50000", { cumulative: "50000", signature: await signature(generatePrivateKey(), "50000") }],
      ["50001", { cumulative: "50000", signature: own }],
      ["50000", { cumulative: "49999", signature: own }],
      ["50000", { cumulative: "50000", signature: "0x" }],
    ];
    for (const [charged, signed] of words)
      expect(await acceptSellerCharge(purse.db, id, { charged: BigInt(charged), signed }, new Date())).toBe(false);
    expect((await readChannel(purse.db, id))?.charged).toBe("0");
    const word = { charged: 50_000n, signed: { cumulative: "50000", signature: own } };
    expect(await acceptSellerCharge(purse.db, id, word, new Date())).toBe(true);
    expect(await acceptSellerCharge(purse.db, id, word, new Date())).toBe(false);
    const buyer = await purse.buyerOver(purse.config.database);
    expect(await counted(buyer)).toBe(50_000n);
    // The chain shows the same sum later: it is counted already.
    await noteMoney(purse.db, id, { balance: DEPOSIT, totalClaimed: 50_000n }, new Date());
    expect(await counted(buyer)).toBe(50_000n);
    await noteMoney(purse.db, id, { balance: DEPOSIT, totalClaimed: 60_000n }, new Date());
    expect(await counted(buyer)).toBe(60_000n);
  });
});

/**
 * Stands before the honest seller and answers paid requests in turn: with a 500 and no voucher passed on (`drops`), or with a
 * 500 although the seller served and was granted the voucher (`keeps`). All others pass. `oops` answers otherwise than by 500.
 */
async function serveFailing(
  turns: ("drops" | "keeps")[],
  oops = () => new Response("oops", { status: 500 }),
): Promise<string> {
  const { origin } = market.devnet.sellers.honest;
  const served = await serveLocally(async (request) => {
    const { pathname, search } = new URL(request.url);
    const turn = request.headers.has("payment-signature") ? turns.shift() : undefined;
    if (turn === "drops") return oops();
    const headers = new Headers(request.headers);
    for (const name of ["host", "connection", "content-length"]) headers.delete(name);
    const body = request.method === "POST" ? { body: await request.text() } : {};
    const answer = await fetch(`${origin}${pathname}${search}`, { method: request.method, headers, ...body });
    const bytes = await answer.arrayBuffer();
    if (turn === "keeps") return oops();
    const kept = new Headers(answer.headers);
    for (const name of ["content-length", "connection", "transfer-encoding"]) kept.delete(name);
    return new Response(bytes, { status: answer.status, headers: kept });
  });
  opened.push({ close: () => served.stop() });
  return served.origin;
}

describe.each<[string, () => Response, string, RegExp]>([
  ["a failure", () => new Response("oops", { status: 500 }), "seller_error", /^paid_and_refused/],
  ["more than is let in", () => new Response("y".repeat(2 * LIMIT)), "answer_cut", /^none$/],
])("a voucher that the seller answered with %s", (_name, oops, code, hold) => {
  const receiptOf = (buyer: Buyer, key: string): Promise<string> =>
    buyOne(buyer, key).then(
      (result) => ("receipt" in result ? result.receipt.id : ""),
      (error: unknown) => (error as { details: { receiptId: string } }).details.receiptId,
    );
  const statesOf = async (buyer: Buyer): Promise<string[]> =>
    (await buyer.spending()).recent.map(({ state }) => state).toReversed();

  test("is superseded by the one that the seller served: the sum is spent once, and its seller is not held", async () => {
    const purse = await openPurse(await serveFailing(["drops", "drops"], oops));
    const buyer = await purse.buyerOver(purse.config.database);
    const first = await receiptOf(buyer, "first-call");
    const second = await receiptOf(buyer, "second-call");
    expect(await statesOf(buyer)).toEqual(["answered", "answered"]);
    const third = await receiptOf(buyer, "third-call");
    expect(await statesOf(buyer)).toEqual(["released", "released", "answered"]);
    expect(await counted(buyer)).toBe(PRICE);
    await expect.poll(purse.claimed).toBe(PRICE);
    await buyer.reconcile();
    const served = await buyer.getReceipt(third, { waitSeconds: 120 });
    expect([newestAppraisal(served).verdict, settlementsOf(served).length]).toEqual(["verified", 1]);
    for (const id of [first, second]) {
      await expect
        .poll(async () => newestAppraisal(await buyer.getReceipt(id)).layers.settlement)
        .toMatchObject({ status: "skip", code: "voucher_superseded" });
      expect(settlementsOf(await buyer.getReceipt(id))).toEqual([]);
    }
    expect((await buyer.spending()).assets[0]).toMatchObject({ spent: "10000", reserved: "0" });
    expect((await buyer.sellers()).map(({ hold }) => hold)).toEqual([null]);
    await purse.buy(buyer, 1);
    expect([await purse.claimed(), await counted(buyer)]).toEqual([2n * PRICE, 2n * PRICE]);
  });

  test("and superseded since: its key says that no money moved, and sends its caller to a new one", async () => {
    const purse = await openPurse(await serveFailing(["drops"], oops));
    const buyer = await purse.buyerOver(purse.config.database);
    const call = {
      model: "eth-risk",
      seller: "honest",
      input: ETH_FEATURES,
      idempotencyKey: "failed-once",
    };
    await expect(buyWith(buyer, call)).rejects.toMatchObject({ code, money: "may-move" });
    await buyOne(buyer);
    await expect(buyWith(buyer, call)).rejects.toMatchObject({
      code,
      money: "not-moved",
      next: expect.stringContaining("under a new idempotency key"),
    });
  });

  test("and claimed all the same is spent once, whatever others were over the same sum, and the seller is held for what it owes", async () => {
    const purse = await openPurse(await serveFailing(["drops", "keeps"], oops));
    const buyer = await purse.buyerOver(purse.config.database);
    const receipts = [await receiptOf(buyer, "call-one"), await receiptOf(buyer, "call-two")];
    await expect.poll(purse.claimed).toBe(PRICE);
    await buyer.reconcile();
    await expect.poll(async () => (await statesOf(buyer)).toSorted()).toEqual(["released", "settled"]);
    expect((await buyer.spending()).assets[0]).toMatchObject({ spent: "10000", reserved: "0" });
    expect(await counted(buyer)).toBe(PRICE);
    const settlements = async () =>
      (await Promise.all(receipts.map((id) => buyer.getReceipt(id)))).flatMap((receipt) => [
        newestAppraisal(receipt).layers.settlement.code,
      ]);
    await expect.poll(async () => (await settlements()).toSorted()).toEqual(["ok", "voucher_superseded"]);
    expect((await buyer.sellers())[0]?.hold?.reason ?? "none").toMatch(hold);
  });
});

test("a claim counts once, whether the purchase that it settles or the channel is looked at first", async () => {
  for (const first of ["purchase", "channel"] as const) {
    const purse = await openPurse(await serveFailing(["drops"]));
    const buyer = await purse.buyerOver(purse.config.database);
    await buyOne(buyer).catch(() => undefined);
    const { id } = (await purse.db.selectFrom("purchases").select("id").executeTakeFirst()) ?? { id: "" };
    const looks = {
      purchase: () => markSettled(purse.db, id, { transaction: null, amount: "10000", now: new Date() }),
      channel: () => noteMoney(purse.db, purse.channel.id, { balance: DEPOSIT, totalClaimed: PRICE }, new Date()),
    };
    await looks[first]();
    await looks[first === "purchase" ? "channel" : "purchase"]();
    expect(await counted(buyer)).toBe(PRICE);
    // The next voucher builds on what was claimed.
    expect((await readChannel(purse.db, purse.channel.id))?.charged).toBe(PRICE.toString());
  }
});
