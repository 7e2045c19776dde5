import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import type { PaymentMethod } from "../../src/evidence/methods/methods.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { openChain } from "../../src/chain/chain.ts";
import { walletFromAccount, walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { paidAmount } from "../../src/receipts/paid.ts";
import { parseReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
const opened: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  market = await openMarket();
});
afterAll(async () => {
  await Promise.all(opened.map((buyer) => buyer.close()));
  await market.stop();
});

const TOKENS = { USDC: 6, DAI: 18 } as const;
type Symbol = keyof typeof TOKENS;
/** Thousandths of a token in its base units. */
const milli = (symbol: Symbol, thousandths: number): bigint => BigInt(thousandths) * 10n ** BigInt(TOKENS[symbol] - 3);

/** A funded wallet whose policy allows this one way to pay in this one token, and that lets Permit2 move `allowance`. */
async function openPurse(
  symbol: Symbol,
  method: PaymentMethod,
  allowance: bigint,
  options: { change?: (config: Config) => void; wallet?: (key: `0x${string}`) => Wallet } = {},
) {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const { bank } = market.devnet;
  const token = symbol === "USDC" ? bank.token : bank.dai;
  await bank.fund(address);
  await token.mint(address, milli(symbol, 10_000));
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter((asset) => asset.symbol === symbol);
    for (const asset of made.payment.assets) asset.methods = [method];
    options.change?.(made);
  });
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  if (network === undefined || asset === undefined) throw new Error("the devnet has a network and assets");
  const wallet = (options.wallet ?? walletFromPrivateKey)(key);
  const chain = openChain(network);
  const db = await openDatabase(config.database);
  opened.push({ close: () => db.destroy() });
  if (allowance > 0n) await approvePermit2({ db, chain, wallet, asset, amount: allowance });
  const buyer = await openBuyer({ config, wallet });
  opened.push(buyer);
  return {
    buyer,
    wallet,
    db,
    chain,
    asset,
    key,
    async buy(rows = 1, idempotencyKey: string = crypto.randomUUID()): Promise<BuyResult> {
      const result = await buyWith(buyer, {
        model: "eth-risk",
        seller: "honest",
        input: { features: Array.from({ length: rows }, () => ETH_FEATURES.features) },
        idempotencyKey,
      });
      return result;
    },
    /** What left the wallet, base units. */
    async left(): Promise<bigint> {
      return milli(symbol, 10_000) - (await readHoldings(chain, asset.asset, address)).balance;
    },
  };
}

const settle = (buyer: Buyer, id: string): Promise<Receipt> => buyer.getReceipt(id, { waitSeconds: 120 });

describe.each<[Symbol]>([["USDC"], ["DAI"]])("in %s", (symbol) => {
  test("an exact payment by Permit2 moves exactly its amount and verifies", async () => {
    const purse = await openPurse(symbol, "permit2", milli(symbol, 100));
    const { receipt } = await purse.buy();
    expect(receipt.core.payment).toMatchObject({ scheme: "exact", method: "permit2" });
    const final = await settle(purse.buyer, receipt.id);
    expect(newestAppraisal(final)).toMatchObject({ verdict: "verified", layers: { settlement: { status: "pass" } } });
    expect(await purse.left()).toBe(milli(symbol, 10));
    const { assets, recent } = await purse.buyer.spending();
    expect(assets[0]).toMatchObject({ spent: String(milli(symbol, 10)), reserved: "0" });
    expect(recent[0]).toMatchObject({ state: "settled", amount: String(milli(symbol, 10)) });
    // What is left of the allowance is what was given less what moved.
    expect((await readHoldings(purse.chain, purse.asset.asset, purse.wallet.address)).allowance).toBe(
      milli(symbol, 90),
    );
  });

  test("an upto payment reserves the listed price, counts its rows' part of it, and says both", async () => {
    const listed = milli(symbol, 10);
    const part = (listed * 3n) / 8n;
    const purse = await openPurse(symbol, "upto", milli(symbol, 1000), {
      change: (config) =>
        config.payment.assets.forEach((asset) => (asset.perCall = asset.perHour = String(milli(symbol, 14)))),
    });
    const { receipt } = await purse.buy(3);
    expect(receipt.core.payment).toMatchObject({ scheme: "upto", amount: String(listed) });
    expect(receipt.core.listedPrice).toMatchObject({ amount: String(milli("USDC", 10)) });
    const final = await settle(purse.buyer, receipt.id);
    const { verdict, layers } = newestAppraisal(final);
    expect(verdict).toBe("verified");
    expect([paidAmount(receipt), paidAmount(final)]).toEqual([
      { state: "authorized", amount: String(listed), atMost: true },
      { state: "settled", amount: String(part), atMost: false },
    ]);
    expect(layers.settlement.note).toContain(`of ${part} base units, of at most ${listed},`);
    expect(await purse.left()).toBe(part);
    expect((await purse.buyer.spending()).assets[0]).toMatchObject({ spent: String(part), reserved: "0" });
    // The cap holds against what the next one could cost, not what the last one did.
    await purse.buy(1);
    await expect(purse.buy(1)).rejects.toMatchObject({ code: "over_hour_cap", money: "not-moved" });
  });
});

describe("an allowance", () => {
  test("that is too low is refused before anything is signed, with the command that gives it", async () => {
    const purse = await openPurse("USDC", "permit2", milli("USDC", 9));
    await expect(purse.buy()).rejects.toMatchObject({
      code: "allowance_too_low",
      money: "not-moved",
      next: expect.stringContaining("proof402 wallet approve --asset USDC --amount 0.01"),
      details: { limit: "9000", asked: "10000" },
    });
    expect((await purse.buyer.spending()).recent).toEqual([]);
    expect(await purse.left()).toBe(0n);
  });

  test("is exactly what was asked for, is taken back by nothing, and never exceeds the policy's total", async () => {
    const purse = await openPurse("USDC", "permit2", 5n);
    const approve = (amount: bigint) =>
      approvePermit2({ db: purse.db, chain: purse.chain, wallet: purse.wallet, asset: purse.asset, amount });
    expect((await approve(70_000n)).allowance).toBe(70_000n);
    expect((await approve(0n)).allowance).toBe(0n);
    for (const amount of [BigInt(purse.asset.total) + 1n, 2n ** 256n - 1n]) {
      await expect(approve(amount)).rejects.toMatchObject({ code: "approval_too_wide" });
    }
    expect((await readHoldings(purse.chain, purse.asset.asset, purse.wallet.address)).allowance).toBe(0n);
  });

  test("may be given by any viem account", async () => {
    const purse = await openPurse("USDC", "permit2", 50_000n, {
      wallet: (key) => walletFromAccount(privateKeyToAccount(key)),
    });
    const { receipt } = await purse.buy();
    expect(newestAppraisal(await settle(purse.buyer, receipt.id)).verdict).toBe("verified");
  });
});

describe("an upto offer", () => {
  test("a facilitator that is not pinned may not name the amount", async () => {
    const purse = await openPurse("USDC", "upto", milli("USDC", 500), {
      change: (config) => config.sellers.forEach((seller) => (seller.facilitators = [`0x${"5e".repeat(20)}`])),
    });
    await expect(purse.buy()).rejects.toMatchObject({
      code: "facilitator_not_allowed",
      money: "not-moved",
      next: expect.stringContaining("pin it in the seller's facilitators"),
    });
    expect(await purse.left()).toBe(0n);
  });
});

describe("a receipt of a payment by Permit2", () => {
  test.each<[PaymentMethod]>([["permit2"], ["upto"]])(
    "(%s) fails when what it says of the payment is changed",
    async (method) => {
      const purse = await openPurse("USDC", method, milli("USDC", 1000));
      const receipt = await settle(purse.buyer, (await purse.buy()).receipt.id);
      const other = await settle(purse.buyer, (await purse.buy()).receipt.id);
      const judged = async (change: (copy: Receipt) => void) => {
        const copy = structuredClone(receipt);
        change(copy);
        const { layers, verdict } = await purse.buyer.verify(copy);
        return [layers.payment.status, layers.settlement.status, verdict];
      };
      expect(await judged(() => undefined)).toEqual(["pass", "pass", "verified"]);
      const settlement = (of: Receipt) => {
        const found = of.later.find(({ evidence }) => evidence.kind === "settlement.x402");
        if (found === undefined) throw new Error("it is settled");
        return found.evidence as {
          to?: string;
          input?: string;
          logs: { data: string; topics: string[] }[];
          transaction?: string;
        };
      };
      const changes: ((copy: Receipt) => void)[] = [
        (copy) => (copy.core.payment.nonce = `0x${"01".repeat(32)}`),
        (copy) => (copy.core.payment.validBefore += 1),
        (copy) => (copy.core.payment.payer = `0x${"5e".repeat(20)}`),
        (copy) => (copy.core.payment.amount = "9999"),
        (copy) => Object.assign(copy.core.payment, { facilitator: `0x${"5e".repeat(20)}` }),
        (copy) => Object.assign(copy.core.payment, { method: "eip3009" }),
        (copy) => delete settlement(copy).input,
        (copy) => (settlement(copy).input = "0x"),
        (copy) => delete settlement(copy).to,
        (copy) => (settlement(copy).to = copy.core.payment.asset),
        // The permit's words, quoted behind the call that settles another.
        (copy) =>
          (settlement(copy).input = (settlement(other).input ?? "") + (settlement(receipt).input ?? "").slice(2)),
        (copy) => (settlement(copy).input = settlement(other).input ?? ""),
        (copy) => (settlement(copy).logs = []),
        (copy) => {
          for (const log of settlement(copy).logs) log.data = `0x${"f".repeat(64)}`;
        },
        (copy) => {
          for (const log of settlement(copy).logs) log.topics.reverse();
        },
      ];
      for (const change of changes) {
        const [payment, settled, verdict] = await judged(change);
        expect([payment, settled]).toContain("fail");
        expect(verdict).toBe("failed");
      }
      // Another payment's settlement, whole, is not this one's, though payer, payee and amount are the same.
      expect((await judged((copy) => (copy.later = other.later)))[1]).toBe("fail");
      expect(parseReceipt(JSON.stringify(receipt)).ok).toBe(false);
    },
  );
});
