import { join } from "node:path";
import LibsqlDatabase from "libsql";
import { createTestClient, http } from "viem";
import { generatePrivateKey } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WITHDRAW_DELAY_SECONDS } from "../../src/node/index.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { openSeller, postPaid, requestOf, takenBy, type OwnSeller } from "../support/selling.ts";
import { openVoucherPayer } from "../support/voucher-payer.ts";

const PRICE = 10_000n;
const DEPOSIT = 1_000_000n;

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()));
});

/** A seller that claims as rarely as it may, and a payer with a channel. */
async function openShop() {
  const authorizerKey = generatePrivateKey();
  const payTo = newAccount().address;
  const database = join(market.directory, `node-${payTo}.db`);
  const seller: OwnSeller = await openSeller(market, {
    records: { database },
    payment: { payTo, methods: ["voucher"], channels: { authorizerKey, claimSeconds: 300 } },
  });
  open.push(seller);
  const payer = await openVoucherPayer(market, { payTo, authorizerKey });
  return {
    seller,
    payer,
    buy: async (n: number) =>
      postPaid(seller.origin, await payer.voucher(seller.origin, BigInt(n) * PRICE), requestOf(n)),
    /** Lets the node's last look at its channels be long ago. */
    forgetLooks() {
      const records = new LibsqlDatabase(database);
      records.exec("update channels set channel = json_set(channel, '$.onchainSyncedAt', 0)");
      records.close();
    },
    countCalls() {
      const records = new LibsqlDatabase(database);
      const calls = records.prepare("select key from calls").all();
      records.close();
      return calls.length;
    },
  };
}

/** The payer takes back what it asked for, once it may. */
async function finalize({ payer }: Awaited<ReturnType<typeof openShop>>): Promise<void> {
  const chain = createTestClient({ chain: foundry, mode: "anvil", transport: http(market.devnet.rpcUrl) });
  await chain.increaseTime({ seconds: WITHDRAW_DELAY_SECONDS + 1 });
  await chain.mine({ blocks: 1 });
  expect(await payer.withdraw()).toBe("closed");
}

describe("T95: a channel whose payer asks its money back", () => {
  test("buys nothing, neither before the delay is over nor after", async () => {
    const shop = await openShop();
    expect(await shop.payer.withdraw()).toBe("closing");
    for (const n of [1, 2])
      expect(await shop.buy(n)).toMatchObject({
        status: 402,
        text: expect.stringContaining("channel_withdrawal_requested") as string,
      });
    expect(shop.countCalls()).toBe(0);
    await finalize(shop);
    expect((await shop.buy(1)).status).toBe(402);
    expect(await shop.payer.holds()).toBe(DEPOSIT);
  });

  test("is claimed as soon as that is seen, and buys nothing more", async () => {
    const shop = await openShop();
    for (const n of [1, 2]) expect((await shop.buy(n)).status).toBe(200);
    expect(await shop.payer.withdraw()).toBe("closing");
    shop.forgetLooks();
    expect(await takenBy(market, shop.seller)).toBe(0n);
    expect((await shop.buy(3)).status).toBe(402);
    await eventually(async () => expect(await takenBy(market, shop.seller)).toBe(2n * PRICE));
    // What was paid is still to be had.
    expect((await shop.buy(2)).status).toBe(200);
    await finalize(shop);
    expect(await shop.payer.holds()).toBe(DEPOSIT - 2n * PRICE);
    expect(await takenBy(market, shop.seller)).toBe(2n * PRICE);
  });
});

describe("T95: a node that claims too rarely is not started", () => {
  test.each([301, 900, 3600, 1e12, 0, -1, Number.NaN])("%d seconds", async (claimSeconds) => {
    const channels = { authorizerKey: generatePrivateKey(), claimSeconds };
    await expect(openSeller(market, { payment: { methods: ["voucher"], channels } })).rejects.toMatchObject({
      code: "claim_seconds_invalid",
    });
  });
});
