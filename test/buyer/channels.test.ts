import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { voucherHash } from "../../src/evidence/channel.ts";
import { readHoldings } from "../../src/payment/allowance.ts";
import { closeChannel, openChannel } from "../../src/payment/channel-owner.ts";
import { idOf, readChannel } from "../../src/payment/channels.ts";
import { openChain } from "../../src/chain/chain.ts";
import { walletFromAccount, walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { settlementsOf } from "../support/later.ts";
import { buyWith } from "../support/buy.ts";

const PRICE = 10_000n;
const FUNDS = 10_000_000n;

let market: Market;
const opened: (Buyer | { close(): Promise<void> })[] = [];
beforeAll(async () => {
  market = await openMarket();
});
afterAll(async () => {
  await Promise.all(opened.map((one) => one.close()));
  await market.stop();
});

/** A funded wallet with a channel of this much with the honest seller, and a buyer whose policy pays by vouchers only. */
async function openPurse(
  deposit: bigint,
  options: { change?: (config: Config) => void; wallet?: (key: `0x${string}`) => Wallet } = {},
) {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const { bank } = market.devnet;
  await bank.fund(address);
  await bank.token.mint(address, FUNDS);
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter(({ symbol }) => symbol === "USDC");
    for (const asset of made.payment.assets) asset.methods = ["voucher"];
    made.sellers = made.sellers.filter(({ id }) => id === "honest");
    options.change?.(made);
  });
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  const [seller] = config.sellers;
  if (network === undefined || asset === undefined || seller === undefined) throw new Error("the devnet has them");
  const wallet = (options.wallet ?? walletFromPrivateKey)(key);
  const chain = openChain(network);
  const db: Db = await openDatabase(config.database);
  opened.push({ close: () => db.destroy() });
  const open = (amount: bigint) => openChannel({ db, chain, wallet, seller, asset, amount, now: new Date() });
  const channel = deposit === 0n ? null : (await open(deposit)).channel;
  const buyer = await openBuyer({ config, wallet });
  opened.push(buyer);
  return {
    buyer,
    wallet,
    chain,
    db,
    config,
    open,
    id: channel?.id ?? "",
    /** Another buyer on its database, under another configuration of its seller. */
    async under(change: (seller: Config["sellers"][number]) => void): Promise<Buyer> {
      const changed = structuredClone(config);
      changed.sellers.forEach(change);
      const other = await openBuyer({ config: changed, wallet });
      opened.push(other);
      return other;
    },
    async buy(idempotencyKey: string = crypto.randomUUID(), from: Buyer = buyer): Promise<BuyResult> {
      const result = await buyWith(from, { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey });
      return result;
    },
    left: async (): Promise<bigint> => FUNDS - (await readHoldings(chain, asset.asset, address)).balance,
    granted: async (): Promise<bigint> => BigInt((await readChannel(db, channel?.id ?? ""))?.charged ?? "-1"),
  };
}

/** Stands before the honest seller, takes no payment, and says that this much was charged, until it repents. */
async function serveLiar(channelId: string, charged: string): Promise<{ origin: string; repent(): void }> {
  let lying = true;
  const { origin } = market.devnet.sellers.honest;
  const served = await serveLocally(async (request) => {
    const { pathname, search } = new URL(request.url);
    const paid = request.headers.has("payment-signature");
    const dropped = ["host", "connection", "content-length", ...(lying ? ["payment-signature"] : [])];
    const answer = await fetch(`${origin}${pathname}${search}`, {
      method: request.method,
      headers: without(request.headers, dropped),
      ...(request.method === "POST" ? { body: await request.text() } : {}),
    });
    const required = answer.headers.get("payment-required");
    if (!lying || !paid || required === null) {
      const headers = without(answer.headers, ["content-length", "connection", "transfer-encoding"]);
      return new Response(await answer.arrayBuffer(), { status: answer.status, headers });
    }
    const offer = JSON.parse(Buffer.from(required, "base64").toString()) as { accepts: { extra: object }[] };
    for (const { extra } of offer.accepts)
      Object.assign(extra, { channelState: { channelId, chargedCumulativeAmount: charged } });
    const header = Buffer.from(JSON.stringify(offer)).toString("base64");
    return new Response("{}", { status: 402, headers: { "payment-required": header } });
  });
  opened.push({ close: () => served.stop() });
  return { origin: served.origin, repent: () => void (lying = false) };
}

function without(headers: Headers, names: readonly string[]): Headers {
  const rest = new Headers(headers);
  for (const name of names) rest.delete(name);
  return rest;
}

const settle = (buyer: Buyer, id: string): Promise<Receipt> => buyer.getReceipt(id, { waitSeconds: 120 });
const sumOf = (receipt: Receipt): string =>
  receipt.core.payment.method === "voucher" ? receipt.core.payment.cumulative : "";

describe("a channel", () => {
  test("pays call after call without a transaction each, and every receipt verifies once the seller has claimed", async () => {
    const purse = await openPurse(100_000n);
    expect(await purse.left()).toBe(100_000n);
    const results = [await purse.buy(), await purse.buy(), await purse.buy()];
    expect(results.map(({ receipt }) => sumOf(receipt))).toEqual(["10000", "20000", "30000"]);
    expect(results.map(({ appraisal }) => appraisal.verdict)).toEqual(["pending", "pending", "pending"]);
    // Nothing more left the wallet: the money is in the channel.
    expect(await purse.left()).toBe(100_000n);
    for (const { receipt } of results) {
      const { verdict, layers } = newestAppraisal(await settle(purse.buyer, receipt.id));
      expect([verdict, layers.payment.status, layers.settlement.status]).toEqual(["verified", "pass", "pass"]);
    }
    const { assets, recent } = await purse.buyer.spending();
    expect(assets[0]).toMatchObject({ spent: "30000", reserved: "0" });
    expect(recent.map(({ state }) => state)).toEqual(["settled", "settled", "settled"]);
    expect(await purse.granted()).toBe(30_000n);
  });

  test("serves calls that come together, one after another, each for its own voucher", async () => {
    const purse = await openPurse(100_000n);
    const results = await Promise.all(Array.from({ length: 5 }, () => purse.buy()));
    const sums = results.map(({ receipt }) => sumOf(receipt)).toSorted();
    expect(sums).toEqual(["10000", "20000", "30000", "40000", "50000"]);
    expect(await purse.granted()).toBe(50_000n);
  });

  test("that is exhausted, or missing, is refused before anything is signed", async () => {
    const purse = await openPurse(15_000n);
    await purse.buy();
    await expect(purse.buy()).rejects.toMatchObject({
      code: "channel_exhausted",
      money: "not-moved",
      details: { limit: "5000", asked: "10000" },
    });
    const none = await openPurse(0n);
    await expect(none.buy()).rejects.toMatchObject({ code: "channel_missing", money: "not-moved" });
    expect((await none.buyer.spending()).recent).toEqual([]);
  });

  test("counts against the caps like every other payment", async () => {
    const purse = await openPurse(100_000n, {
      change: (config) => config.payment.assets.forEach((asset) => (asset.perHour = "25000")),
    });
    await purse.buy();
    await purse.buy();
    await expect(purse.buy()).rejects.toMatchObject({ code: "over_hour_cap", money: "not-moved" });
  });

  test("gives way to another method the policy allows when it is exhausted", async () => {
    const purse = await openPurse(10_000n, {
      change: (config) => config.payment.assets.forEach((asset) => (asset.methods = ["voucher", "eip3009"])),
    });
    const methods = [await purse.buy(), await purse.buy()].map(({ receipt }) => receipt.core.payment.method);
    expect(methods).toEqual(["voucher", "eip3009"]);
  });

  test("is worked by any viem account", async () => {
    const purse = await openPurse(50_000n, { wallet: (key) => walletFromAccount(privateKeyToAccount(key)) });
    const { receipt } = await purse.buy();
    expect(newestAppraisal(await settle(purse.buyer, receipt.id)).verdict).toBe("verified");
  });

  test("may be shared by several buyers on one file", async () => {
    const purse = await openPurse(200_000n);
    const second = await openBuyer({ config: purse.config, wallet: purse.wallet });
    opened.push(second);
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, at) => purse.buy(crypto.randomUUID(), at % 2 === 0 ? purse.buyer : second)),
    );
    expect(new Set(results.map(({ receipt }) => sumOf(receipt))).size).toBe(10);
    expect(await purse.granted()).toBe(100_000n);
  });
});

const OTHER_TERMS: [string, { receiverAuthorizer?: string; withdrawDelaySeconds?: number }][] = [
  ["another claimer", { receiverAuthorizer: `0x${"5e".repeat(20)}` }],
  ["a longer delay", { withdrawDelaySeconds: 2_592_000 }],
];

describe("T24: a channel that a seller would abuse", () => {
  test.each(OTHER_TERMS)(
    "by %s than the configuration pins is refused, and nothing is signed",
    async (_name, terms) => {
      const purse = await openPurse(50_000n);
      const buyer = await purse.under(({ channel }) => Object.assign(channel ?? {}, terms));
      await expect(purse.buy("key-of-this-call", buyer)).rejects.toMatchObject({
        code: "channel_terms_not_allowed",
        money: "not-moved",
      });
      expect(await purse.granted()).toBe(0n);
    },
  );

  test.each(OTHER_TERMS)(
    "by %s, though the configuration pins that now: the open channel is on the terms of before",
    async (_name, terms) => {
      const purse = await openPurse(50_000n);
      const { origin } = market.devnet.sellers.honest;
      const front = await infront(origin, async (path, request) => {
        if (!path.endsWith("/infer")) return null;
        const answer = await fetch(`${origin}${path}`, { method: "POST", body: await request.text() });
        const required = JSON.parse(Buffer.from(answer.headers.get("payment-required") ?? "", "base64").toString()) as {
          accepts: { scheme: string; extra: Record<string, unknown> }[];
        };
        const { receiverAuthorizer, withdrawDelaySeconds: withdrawDelay } = terms;
        for (const { scheme, extra } of required.accepts)
          if (scheme === "batch-settlement")
            Object.assign(extra, receiverAuthorizer === undefined ? { withdrawDelay } : { receiverAuthorizer });
        const header = Buffer.from(JSON.stringify(required)).toString("base64");
        return new Response("{}", { status: 402, headers: { "payment-required": header } });
      });
      opened.push({ close: () => front.stop() });
      const buyer = await purse.under((seller) =>
        Object.assign(seller, { origin: front.origin }, { channel: { ...seller.channel, ...terms } }),
      );
      await expect(purse.buy("key-of-this-call", buyer)).rejects.toMatchObject({
        code: "channel_missing",
        money: "not-moved",
      });
      expect((await buyer.spending()).recent).toEqual([]);
    },
  );

  test.each(["999999", "10001", "9999", "-1", "1e9", "20000"])(
    "by the word that %s was charged: only what was signed can be conceded, and nothing is granted for it",
    async (charged) => {
      const purse = await openPurse(100_000n);
      const liar = await serveLiar(purse.id, charged);
      const buyer = await purse.under((seller) => (seller.origin = liar.origin));
      await expect(purse.buy("lied-to-call", buyer)).rejects.toMatchObject({ code: "payment_rejected" });
      expect(await purse.granted()).toBe(0n);
      liar.repent();
      const { receipt } = await purse.buy(crypto.randomUUID(), buyer);
      expect([sumOf(receipt), await purse.granted()]).toEqual(["10000", 10_000n]);
    },
  );

  test("a deposit above the policy's total is not made", async () => {
    const purse = await openPurse(0n, {
      change: (config) => config.payment.assets.forEach((asset) => (asset.total = "1000000")),
    });
    await expect(purse.open(1_000_001n)).rejects.toMatchObject({ code: "deposit_too_large" });
    expect(await purse.left()).toBe(0n);
  });
});

describe("a receipt of a voucher", () => {
  test("fails when what it says of the payment or the claim is changed", async () => {
    const purse = await openPurse(100_000n);
    await purse.buy();
    const receipt = await settle(purse.buyer, (await purse.buy()).receipt.id);
    const { payment } = receipt.core;
    if (payment.method !== "voucher") throw new Error("it was paid by voucher");
    expect(payment.authorizationHash).toBe(voucherHash(31337, idOf(payment), "20000"));
    const judged = async (change: (copy: Receipt) => void) => {
      const copy = structuredClone(receipt);
      change(copy);
      const { layers, verdict } = await purse.buyer.verify(copy);
      return [layers.payment.status, layers.settlement.status, verdict];
    };
    expect(await judged(() => undefined)).toEqual(["pass", "pass", "verified"]);
    const claim = (copy: Receipt) =>
      settlementsOf(copy)[0] as { channel?: { balance: string; totalClaimed: string }; blockTime: number };
    const changes: ((copy: Receipt) => void)[] = [
      (copy) => Object.assign(copy.core.payment, { cumulative: "10000" }),
      (copy) => (copy.core.payment.nonce = `0x${"01".repeat(32)}`),
      (copy) => (copy.core.payment.amount = "9999"),
      (copy) => (copy.core.payment.payer = `0x${"5e".repeat(20)}`),
      (copy) => Object.assign(copy.core.payment, { channel: { ...payment.channel, salt: `0x${"02".repeat(32)}` } }),
      (copy) => Object.assign(copy.core.payment, { channel: { ...payment.channel, withdrawDelay: 901 } }),
      (copy) => delete claim(copy).channel,
      (copy) => Object.assign(claim(copy), { channel: { balance: "100000", totalClaimed: "19999" } }),
      (copy) => (claim(copy).blockTime -= 3600),
    ];
    for (const change of changes) {
      const [paid, settled, verdict] = await judged(change);
      expect([paid, settled]).toContain("fail");
      expect(verdict).toBe("failed");
    }
  });
});

describe("a call that broke off", () => {
  test("is resumed with the same voucher, and what comes after builds on it", async () => {
    const purse = await openPurse(100_000n);
    const abort = new AbortController();
    const broken = buyWith(
      purse.buyer,
      { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey: "broken-off" },
      {
        signal: abort.signal,
        onProgress: ({ step }) => {
          if (step === "paid") setImmediate(() => setImmediate(() => abort.abort()));
        },
      },
    );
    await expect(broken).rejects.toMatchObject({ money: "may-move" });
    const resumed = await purse.buy("broken-off");
    const next = await purse.buy();
    expect([sumOf(resumed.receipt), sumOf(next.receipt)]).toEqual(["10000", "20000"]);
    expect(await purse.granted()).toBe(20_000n);
  });

  test("and is not resumed: its voucher is conceded where the seller served for it, and nothing is granted twice", async () => {
    const purse = await openPurse(100_000n);
    const abort = new AbortController();
    await purse.buyer
      .buy("eth-risk", ETH_FEATURES, {
        seller: "honest",
        idempotencyKey: "never-resumed",
        signal: abort.signal,
        onProgress: ({ step }) => {
          if (step === "paid") setImmediate(() => setImmediate(() => abort.abort()));
        },
      })
      .catch(() => undefined);
    // The seller has served; the first call after it may find out, the one after that goes on from there.
    const outcomes = [];
    for (let at = 0; at < 3; at += 1)
      outcomes.push(
        await purse.buy().then(
          () => "ok",
          (error: unknown) => (error as { code: string }).code,
        ),
      );
    expect(outcomes.at(-1)).toBe("ok");
    const served = outcomes.filter((outcome) => outcome === "ok").length;
    const granted = await purse.granted();
    expect([BigInt(served) * PRICE, BigInt(served + 1) * PRICE]).toContain(granted);
  });
});

describe("T34: a voucher that was sent when the terms of its channel changed", () => {
  test.each<[string, Partial<NonNullable<Config["sellers"][number]["channel"]>> | undefined]>([
    ["another claimer", { receiverAuthorizer: `0x${"5e".repeat(20)}` }],
    ["none", undefined],
    ["a longer delay", { withdrawDelaySeconds: 2_592_000 }],
  ])("to %s is not sent again, and brings its answer once they are pinned again", async (_name, change) => {
    const purse = await openPurse(100_000n);
    let paid = 0;
    const front = await infront(market.devnet.sellers.honest.origin, (path, request) => {
      if (!path.endsWith("/infer") || !request.headers.has("payment-signature")) return Promise.resolve(null);
      paid += 1;
      // The first answer is lost on the way.
      const elsewhere = new Response(null, { status: 302, headers: { location: "/elsewhere" } });
      return Promise.resolve(paid === 1 ? elsewhere : null);
    });
    opened.push({ close: () => front.stop() });
    const at = (seller: Config["sellers"][number]): unknown => Object.assign(seller, { origin: front.origin });
    const key = "sent-under-other-terms";
    await expect(purse.buy(key, await purse.under(at))).rejects.toMatchObject({ money: "may-move" });
    const changed = await purse.under((seller) => {
      at(seller);
      const { channel } = seller;
      if (channel === undefined) throw new Error("its channel is pinned");
      seller.channel = change === undefined ? undefined : { ...channel, ...change };
    });
    await expect(purse.buy(key, changed)).rejects.toMatchObject({
      code: "resend_not_allowed",
      details: { changed: "channel" },
      money: "may-move",
      idempotencyKey: key,
    });
    expect(paid).toBe(1);
    const result = await purse.buy(key, await purse.under(at));
    expect([result.paidNow, sumOf(result.receipt), paid]).toEqual([false, "10000", 2]);
  });
});

// Last: it sets the chain's clock forward.
describe("what is left in a channel", () => {
  test("comes back: asked for, waited for, taken, and never while vouchers of it are signed", async () => {
    const purse = await openPurse(100_000n);
    const { receipt } = await purse.buy();
    await settle(purse.buyer, receipt.id);
    const close = () => closeChannel({ db: purse.db, chain: purse.chain, wallet: purse.wallet, id: purse.id });
    expect((await close()).state).toBe("closing");
    await expect(purse.buy()).rejects.toMatchObject({ code: "channel_missing" });
    await expect(close()).rejects.toMatchObject({ code: "withdrawal_waiting" });
    await market.devnet.bank.client.request({ method: "evm_increaseTime" as never, params: [901] as never });
    await market.devnet.bank.client.request({ method: "evm_mine" as never, params: [] as never });
    expect((await close()).state).toBe("closed");
    expect(await purse.left()).toBe(PRICE);
  });
});
