import { copyFileSync } from "node:fs";
import LibsqlDatabase from "libsql";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { voucherHash } from "../../src/evidence/channel.ts";
import { concede, noteClaimed } from "../../src/payment/channel-books.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import { surveyChannels } from "../../src/payment/channel-recover.ts";
import { readChannel } from "../../src/payment/channels.ts";
import { openChain } from "../../src/payment/chain.ts";
import { readChannelState } from "../../src/payment/settlement-channel.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

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

/** A wallet with a channel of the attested seller, and buyers of it over any database. */
async function openPurse() {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const { bank } = market.devnet;
  await bank.fund(address);
  await bank.token.mint(address, 10_000_000n);
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter(({ symbol }) => symbol === "USDC");
    for (const asset of made.payment.assets) Object.assign(asset, { methods: ["voucher"], perHour: "110000" });
    made.sellers = made.sellers.filter(({ id }) => id === "attested");
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
      await expect.poll(claimed, { timeout: 20_000 }).toBe(before + BigInt(times) * PRICE);
      await buyer.reconcile();
    },
    /** A copy of a database as a backup has it. */
    backup(): string {
      const path = `${config.database}.backup`;
      const live = new LibsqlDatabase(config.database);
      live.exec("pragma wal_checkpoint(truncate)");
      live.close();
      copyFileSync(config.database, path);
      return path;
    },
  };
}

let asked = 0;
/** Each call asks something else: a seller serves an answer that it remembers for the very same payment. */
const buyOne = (buyer: Buyer) =>
  buyer.buy({
    model: "eth-risk",
    seller: "attested",
    input: { features: ETH_FEATURES.features.map((one, at) => (at === 0 ? one + (asked += 1) / 10_000 : one)) },
    idempotencyKey: crypto.randomUUID(),
  });
/** What counts against the total cap, base units. */
const counted = async (buyer: Buyer): Promise<bigint> =>
  BigInt((await buyer.spending()).assets[0]?.windows.find(({ name }) => name === "total")?.used ?? "-1");

describe("a channel whose database was restored from a backup", () => {
  test("goes on from what the seller shows this wallet signed, and what was claimed counts once", async () => {
    const purse = await openPurse();
    const first = await purse.buyerOver(purse.config.database);
    await purse.buy(first, 1);
    const path = purse.backup();
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
    const path = `${purse.config.database}.new`;
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
      expect(await concede(purse.db, id, { charged: BigInt(charged), signed }, new Date())).toBe(false);
    expect((await readChannel(purse.db, id))?.charged).toBe("0");
    const word = { charged: 50_000n, signed: { cumulative: "50000", signature: own } };
    expect(await concede(purse.db, id, word, new Date())).toBe(true);
    expect(await concede(purse.db, id, word, new Date())).toBe(false);
    const buyer = await purse.buyerOver(purse.config.database);
    expect(await counted(buyer)).toBe(50_000n);
    // The chain shows the same sum later: it is counted already.
    await noteClaimed(purse.db, id, 50_000n, new Date());
    expect(await counted(buyer)).toBe(50_000n);
    await noteClaimed(purse.db, id, 60_000n, new Date());
    expect(await counted(buyer)).toBe(60_000n);
  });
});
