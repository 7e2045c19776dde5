import { join } from "node:path";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { configSchema } from "../../src/config/schema.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { openChain } from "../../src/chain/chain.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { half } from "../support/campaign.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { FAULTS } from "./orders.ts";
import { buildWorker, removeWorker, runBuyers } from "./processes.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { buyWith } from "../support/buy.ts";
import { databasePlace } from "../support/database-place.ts";

const PRICE = 10_000n;
const FUNDS = 10_000_000n;

let market: Market;
beforeAll(async () => {
  [market] = await Promise.all([openMarket(), buildWorker()]);
});
afterAll(async () => {
  await market.stop();
  removeWorker();
});

describe("T19: a buyer that pays through Permit2, killed with kill -9", () => {
  test.concurrent.each(["permit2", "upto"] as const)(
    "%s: at its steps nothing is lost, counted twice or paid twice",
    async (method) => {
      const { bank } = market.devnet;
      const privateKey = generatePrivateKey();
      const payer = privateKeyToAccount(privateKey).address;
      await bank.fund(payer);
      await bank.token.mint(payer, FUNDS);
      const input = {
        ...structuredClone(market.devnet.config),
        database: await databasePlace(join(market.directory, `${method}.db`)),
      };
      for (const asset of input.payment.assets) asset.methods = [method];
      const config = configSchema.parse(input);
      const [network, asset] = [config.networks[0], config.payment.assets[0]];
      if (network === undefined || asset === undefined) throw new Error("the devnet has a network and an asset");
      const wallet = walletFromPrivateKey(privateKey);
      const db = await openDatabase(config.database);
      await approvePermit2({ db, chain: openChain(network), wallet, asset, amount: FUNDS });
      await db.destroy();

      // In a test run each method dies at every other step, the other one at those between.
      const faults = half(half(FAULTS), method === "permit2" ? 0 : 1);
      const keys = faults.map((fault) => `${method}-${fault}`.replaceAll(" ", "-"));
      let killed = 0;
      for (const [run, die] of faults.entries()) {
        // Each process first makes the call again in which the one before it died.
        const orders = { config: input, privateKey, keys: keys.slice(Math.max(0, run - 1), run + 1), die };
        const [outcome] = await runBuyers([orders]);
        if (outcome?.killed === true) killed += 1;
      }
      expect(killed).toBe(faults.length);

      const buyer = await openBuyer({ config, wallet });
      for (const idempotencyKey of keys) {
        const call = { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey };
        const result = await buyWith(buyer, call);
        // The last process died with the settlement's job in its hands, whose lease has to run out first.
        const receipt = await buyer.getReceipt(result.receipt.id, { waitSeconds: 120 });
        expect(newestAppraisal(receipt).verdict).toBe("verified");
      }
      // One row of input each, of the eight that the price is for.
      const paid = (BigInt(keys.length) * PRICE) / (method === "upto" ? 8n : 1n);
      expect(FUNDS - (await market.devnet.balanceOf(payer))).toBe(paid);
      expect(await readHoldings(openChain(network), asset.asset, payer)).toEqual({
        balance: FUNDS - paid,
        allowance: FUNDS - paid,
      });
      expect(await buyer.reconcile()).toMatchObject({ pending: 0, unreachable: [] });
      const { assets, recent } = await buyer.spending();
      expect(assets[0]).toMatchObject({ spent: String(paid), reserved: "0" });
      // An attempt that the killed process had only reserved was given up for a new one.
      const ends = new Set(recent.map(({ state, reason }) => (reason === null ? state : `${state}: ${reason}`)));
      expect([...ends].filter((end) => end !== "released: never_signed")).toEqual(["settled"]);
      expect(await buyer.audit()).toMatchObject({ ok: true });
      await buyer.close();
    },
  );
});
