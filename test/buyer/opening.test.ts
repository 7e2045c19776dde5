import { join } from "node:path";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { failure } from "../http/servers.ts";
import { databasePlace } from "../support/database-place.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());
afterEach(() => vi.unstubAllEnvs());

const payerOf = async (buyer: Buyer) => (await buyer.spending()).payer;
const addressOf = (key: `0x${string}`) => privateKeyToAccount(key).address.toLowerCase();

test("nothing but the environment opens a buyer, which closes with its scope", async () => {
  vi.stubEnv("PROOF402_CONFIG", config);
  vi.stubEnv("PROOF402_DATABASE", await databasePlace(join(market.directory, "opening.db")));
  let left: Buyer;
  {
    await using buyer = await openBuyer();
    left = buyer;
    expect(await payerOf(buyer)).toBe(market.devnet.wallet.address);
    const bought = await buyer.buy("eth-risk", ETH_FEATURES, { seller: "honest", wait: "verified" });
    expect(bought).toMatchObject({ verdict: "verified", paidNow: true, readable: true });
    expect(bought.answer).toEqual(buyer.answerOf(bought.receipt));
    expect(bought.appraisal).toEqual(newestAppraisal(bought.receipt));
  }
  expect(await failure(left.buy("eth-risk", ETH_FEATURES))).toMatchObject({ code: "buyer_closed", money: "not-moved" });
});

test("the environment's key takes the place of the configuration's, and a given wallet that of both", async () => {
  vi.stubEnv("PROOF402_CONFIG", config);
  const key = generatePrivateKey();
  vi.stubEnv("PROOF402_PRIVATE_KEY", key);
  await using keyed = await openBuyer();
  expect(await payerOf(keyed)).toBe(addressOf(key));
  await using given = await openBuyer({ wallet: market.devnet.wallet });
  expect(await payerOf(given)).toBe(market.devnet.wallet.address);
  await using reading = await openBuyer({ wallet: null });
  expect(await payerOf(reading)).toBeNull();
});

test("a devnet gives what a buyer is opened with", async () => {
  await using buyer = await openBuyer(market.devnet);
  const { verdict, paidNow } = await buyer.buy("eth-risk", ETH_FEATURES, { seller: "honest", wait: "verified" });
  expect({ verdict, paidNow }).toEqual({ verdict: "verified", paidNow: true });
});

test("a call that names no key takes up an equal one that its caller did not wait for, and pays nothing more", async () => {
  await using buyer = await openBuyer(market.devnet);
  const caller = new AbortController();
  const bounds = { seller: "honest" } as const;
  const gone = buyer.buy("eth-risk", ETH_FEATURES, {
    ...bounds,
    signal: caller.signal,
    onProgress: ({ step }) => step === "paid" && caller.abort(),
  });
  expect(await failure(gone)).toMatchObject({ code: "aborted" });
  expect(await buyer.buy("eth-risk", ETH_FEATURES, bounds)).toMatchObject({ paidNow: false });
  expect((await buyer.spending()).recent).toHaveLength(1);
  expect(await buyer.buy("eth-risk", ETH_FEATURES, bounds)).toMatchObject({ paidNow: true });
});
