import { join } from "node:path";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { readChannelState } from "../../src/chain/channels.ts";
import { countSpending, readUsage } from "../../src/payment/caps.ts";
import { noteMoney } from "../../src/payment/channel-books.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import { markSettled } from "../../src/payment/journal.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { buyWith } from "../support/buy.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { copyOf } from "../support/both-databases.ts";

const PRICE = 10_000n;
const DEPOSIT = 500_000n;

let market: Market;
const opened: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  market = await openMarket();
});
afterAll(async () => {
  await Promise.all(opened.map((one) => one.close()));
  await market.stop();
});

/** A wallet with a channel of the honest seller. The owner lets that seller have 25000 base units in all. */
async function openPurse() {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  await market.devnet.bank.fund(address);
  await market.devnet.bank.token.mint(address, 10_000_000n);
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter(({ symbol }) => symbol === "USDC");
    for (const asset of made.payment.assets) asset.methods = ["voucher"];
    made.sellers = made.sellers.filter(({ id }) => id === "honest");
  });
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  const [seller] = config.sellers;
  if (network === undefined || asset === undefined || seller === undefined) throw new Error("the devnet has them");
  seller.limits = [{ network: asset.network, asset: asset.asset, total: "25000" }];
  const wallet = walletFromPrivateKey(key);
  const chain = openChain(network);
  const dbOf = async (path: string): Promise<Db> => {
    const db = await openDatabase(path);
    opened.push({ close: () => db.destroy() });
    return db;
  };
  const db = await dbOf(config.database);
  const { channel } = await openChannel({ db, chain, wallet, seller, asset, amount: DEPOSIT, now: new Date() });
  return {
    config,
    asset,
    channel,
    db,
    dbOf,
    buyerOver: async (database: string): Promise<Buyer> => {
      const buyer = await openBuyer({ config: { ...config, database }, wallet });
      opened.push(buyer);
      return buyer;
    },
    claimed: (): Promise<bigint> =>
      chain.read(
        async (client) => (await readChannelState(client, channel.id, await client.getBlockNumber())).totalClaimed,
      ),
    /** What counts of the asset in all, and what counts of it at the seller, base units. */
    counted: async (of: Db): Promise<bigint[]> => [
      (await readUsage(of, asset, Date.now())).total,
      (await readUsage(of, asset, Date.now(), "honest")).total,
    ],
  };
}

const buyOne = (buyer: Buyer) =>
  buyWith(buyer, { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey: crypto.randomUUID() });

test("T24: the owner's cap on a seller holds over what a restored database does not know of its channel", async () => {
  const purse = await openPurse();
  const path = await copyOf(purse.config.database, join(market.directory, `${crypto.randomUUID()}.backup`));
  const first = await purse.buyerOver(purse.config.database);
  for (let at = 0; at < 2; at += 1) await buyOne(first);
  await expect.poll(purse.claimed).toBe(2n * PRICE);
  await first.close();

  const restored = await purse.buyerOver(path);
  await restored.reconcile();
  await expect(buyOne(restored)).rejects.toMatchObject({ code: "over_seller_cap", money: "not-moved" });
  // Looking again counts nothing again.
  await restored.reconcile();
  expect(await purse.counted(await purse.dbOf(path))).toEqual([2n * PRICE, 2n * PRICE]);
});

test("T24: a sum that no purchase has counts once, in all and at its seller, in either order", async () => {
  for (const order of [
    ["purchase", "channel"],
    ["channel", "purchase"],
  ] as const) {
    const purse = await openPurse();
    const { db, channel, asset } = purse;
    const buyer = await purse.buyerOver(purse.config.database);
    for (let at = 0; at < 2; at += 1) await buyOne(buyer);
    await expect.poll(purse.claimed).toBe(2n * PRICE);
    await buyer.close();
    // As a database has it that knows the second purchase alone, and not yet its answer.
    const bought = await db.selectFrom("purchases").select(["id", "created_at"]).orderBy("created_at").execute();
    const [lost, kept] = bought;
    if (lost === undefined || kept === undefined) throw new Error("both were journaled");
    await db.deleteFrom("purchases").where("id", "=", lost.id).execute();
    await db
      .updateTable("purchases")
      .set({ state: "sent", receipt_id: null, answered_at: null, settled_amount: null })
      .execute();
    await db.updateTable("channels").set({ charged: "0", counted: "0" }).execute();
    await db.deleteFrom("spend").where("asset", "=", asset.asset).execute();
    await immediate(db, (tx) =>
      countSpending(tx, { network: asset.network, asset: asset.asset, sellerId: "honest" }, kept.created_at, {
        amount: PRICE,
        calls: 0n,
      }),
    );
    const looks = {
      purchase: () => markSettled(db, kept.id, { transaction: null, amount: `${PRICE}`, now: new Date() }),
      channel: () => noteMoney(db, channel.id, { balance: DEPOSIT, totalClaimed: 2n * PRICE }, new Date()),
    };
    for (const look of [...order, ...order]) await looks[look]();
    expect(await purse.counted(db)).toEqual([2n * PRICE, 2n * PRICE]);
  }
});
