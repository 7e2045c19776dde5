import { afterAll, beforeAll, expect, test } from "vitest";
import { openChain } from "../../src/chain/chain.ts";
import { readChannelStates } from "../../src/chain/channels.ts";
import { configSchema } from "../../src/config/schema.ts";
import type { Served } from "../../src/devnet/index.ts";
import { openParts } from "../../src/payment/channel-parts.ts";
import { Proof402Error } from "../../src/errors.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { buyWith } from "../support/buy.ts";
import { cases } from "../support/campaign.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { FAULTS, type Orders } from "./orders.ts";
import { buildWorker, removeWorker, runBuyers } from "./processes.ts";
import { openPurse } from "./purse.ts";

// T24, T17: several calls draw on several channels of one seller at once.

const PRICE = 10_000n;
/** More than calls of killed processes wait to be taken up. */
const PARTS = 6;
/** What each channel holds. */
const PART = 20n * PRICE;

let market: Market;
const ends: Served[] = [];
beforeAll(async () => {
  [market] = await Promise.all([openMarket(), buildWorker()]);
});
afterAll(async () => {
  await Promise.all(ends.map((one) => one.stop()));
  await market.stop();
  removeWorker();
});

/** A voucher on its way to the seller. */
type Voucher = { channelId: string; maxClaimableAmount: string };

/** A wallet with channels, whose payments pass `arrived` before they reach the seller. It may answer in the seller's place. */
async function openFleet(arrived: (voucher: Voucher, request: Request) => Promise<unknown>) {
  const line = await infront(market.devnet.sellers.honest.origin, async (_path, request) => {
    const header = request.headers.get("payment-signature");
    if (header !== null) {
      const { payload } = JSON.parse(Buffer.from(header, "base64").toString()) as { payload: { voucher: Voucher } };
      const answer = await arrived(payload.voucher, request);
      if (answer instanceof Response) return answer;
    }
    return null;
  });
  ends.push(line);
  const purse = await openPurse(market, (config) => {
    config.sellers = config.sellers
      ?.filter(({ id }) => id === "honest")
      .map((seller) => ({ ...seller, origin: line.origin }));
    for (const asset of config.payment.assets) asset.methods = ["voucher"];
    config.payment.callsPerHour = 1000;
  });
  const { config, privateKey } = purse.orders({});
  const { networks, sellers, payment } = configSchema.parse(config);
  const [[network], [seller], [asset]] = [networks, sellers, payment.assets];
  if (network === undefined || seller === undefined || asset === undefined) throw new Error("the devnet has them");
  const wallet = walletFromPrivateKey(privateKey);
  await market.devnet.bank.fund(wallet.address);
  const chain = openChain(network);
  /** `deposits`: as many are signed, and no more. */
  const open = (parts: number, deposits = Infinity) => {
    let left = deposits;
    const own: Wallet = {
      ...wallet,
      signOwnerCall(...given) {
        if (left === 0) throw new Proof402Error("wallet_missing", "The key is gone.", { next: "Get it back." });
        left -= 1;
        return wallet.signOwnerCall(...given);
      },
    };
    const amount = PART * BigInt(parts);
    const options = { chain, wallet: own, seller, asset, amount, parts, clock: () => new Date() };
    return purse.using((db) => openParts({ db, ...options }));
  };
  // Broken off, it says what it did, and the same command goes on.
  const broken = await open(PARTS, 2).catch((error: unknown) => error);
  expect(broken).toMatchObject({ code: "wallet_missing", money: "moved" });
  const first = (broken as Proof402Error).details["opened"] as string[];
  expect(first).toHaveLength(2);
  const ids = [...first, ...(await open(PARTS)).map(({ channel }) => channel.id)];
  expect(new Set(ids).size).toBe(PARTS);
  return {
    purse,
    ids,
    open,
    /** What the seller has claimed of all channels. */
    claimed: () =>
      chain.read(async (client) =>
        (await readChannelStates(client, ids)).reduce((sum, { totalClaimed }) => sum + totalClaimed, 0n),
      ),
    /** What the journal counts: every authorization that may still move money, and all that was settled. */
    counted: () =>
      purse.using(async (db) => {
        const rows = await db.selectFrom("purchases").select(["state", "amount", "settled_amount"]).execute();
        const open = rows.filter(({ state }) => state !== "released" && state !== "reserved");
        return open.reduce((sum, one) => sum + BigInt(one.settled_amount ?? one.amount), 0n);
      }),
  };
}

test("calls are at the seller at once, one of each channel, and the next one waits for any that is free", async () => {
  const there: string[] = [];
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  let all = (): void => undefined;
  const full = new Promise<void>((resolve) => (all = resolve));
  const fleet = await openFleet(({ channelId }) => {
    there.push(channelId);
    if (there.length === PARTS) all();
    return held;
  });
  // A part is opened where it is missing, and none beside them.
  await expect(fleet.open(PARTS)).rejects.toMatchObject({ code: "channel_already_open" });
  expect(await fleet.open(PARTS + 1)).toHaveLength(1);
  const [first] = fleet.ids;
  const buyer = await fleet.purse.open();
  const calls = Array.from({ length: PARTS + 4 }, (_, at) =>
    buyWith(buyer, { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey: `at-once-${at}` }),
  );
  await full;
  expect(new Set(there.slice(0, PARTS)).size).toBe(PARTS);
  expect(there).toContain(first);
  letGo();
  const results = await Promise.all(calls);
  expect(new Set(results.map(({ receipt }) => receipt.id)).size).toBe(PARTS + 4);
  expect(there).toHaveLength(PARTS + 4);
  await buyer.close();
  // A closed buyer leaves no channel taken.
  expect(await fleet.purse.using((db) => db.selectFrom("call_leases").selectAll().execute())).toEqual([]);
});

test("T24: a seller that turns each call's first voucher down can claim no second one of the same call", async () => {
  const vouchers: Voucher[] = [];
  const fleet = await openFleet(async (voucher, request) => {
    vouchers.push(voucher);
    if (vouchers.length % 2 === 0) return null;
    // The 402 of an unpaid request, to a paid one.
    const { pathname } = new URL(request.url);
    const { origin } = market.devnet.sellers.honest;
    const headers = { "content-type": "application/json" };
    const asked = await fetch(`${origin}${pathname}`, { method: "POST", headers, body: await request.clone().text() });
    const required = asked.headers.get("payment-required") ?? "";
    return new Response("{}", { status: 402, headers: { "payment-required": required } });
  });
  const buyer = await fleet.purse.open();
  const call = (at: number) =>
    buyWith(buyer, { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey: `turned-down-${at}` });
  // The second time its price is known from before: then a call makes another attempt by itself.
  await call(0).catch(() => undefined);
  for (const at of [1, 2]) await call(at).catch(() => undefined);
  for (const at of [0, 1, 2]) await call(at).catch(() => undefined);
  const rows = await fleet.purse.using((db) =>
    db.selectFrom("purchases").select(["idempotency_key", "channel_id"]).where("state", "!=", "released").execute(),
  );
  const channelsOf = (key: string): number =>
    new Set(rows.filter((row) => row.idempotency_key === key).map((row) => row.channel_id)).size;
  for (const at of [0, 1, 2]) expect(channelsOf(`turned-down-${at}`)).toBeLessThanOrEqual(1);
  // Of each channel the seller holds its highest voucher, and no call is in two of them.
  const most = new Map<string, bigint>();
  for (const { channelId, maxClaimableAmount } of vouchers) {
    const sum = BigInt(maxClaimableAmount);
    if (sum > (most.get(channelId) ?? 0n)) most.set(channelId, sum);
  }
  expect([...most.values()].reduce((all, one) => all + one, 0n)).toBeLessThanOrEqual(3n * PRICE);
  await buyer.close();
});

test("T17: from processes killed with kill -9 over their channels the seller can take no more than the journal counts, at any time", async () => {
  const highest = new Map<string, bigint>();
  const broken: string[] = [];
  const fleet = await openFleet(async ({ channelId, maxClaimableAmount }) => {
    const sum = BigInt(maxClaimableAmount);
    if (sum > (highest.get(channelId) ?? 0n)) highest.set(channelId, sum);
    const most = [...highest.values()].reduce((all, one) => all + one, 0n);
    const counted = await fleet.counted();
    if (most > counted) broken.push(`${most} can be claimed, and ${counted} is counted`);
  });
  const { purse } = fleet;
  const all = FAULTS.filter((one) => one !== "settled");
  // Every other one but in the campaign.
  const some = all.filter((_, at) => at % 2 === 0);
  const steps = cases(some, all, some);
  const places: (Orders["die"] & {})[] = [
    ...steps,
    ...Array.from({ length: cases(1, 40) }, () => Math.floor(Math.random() * 80)),
  ];
  const keysOf = (run: number): string[] => [1, 2].map((at) => `run-${run}-call-${at}`);
  const keys = places.flatMap((_, run) => keysOf(run));
  let killed = 0;
  // Two processes at a time. Each makes its calls at once, those of the dead one before it again, and dies in the last of them.
  for (let run = 0; run < places.length; run += 2) {
    const orders = places.slice(run, run + 2).map((die, lane) => {
      const again = run === 0 ? [] : keysOf(run + lane - 2);
      return purse.orders({ keys: [...again, ...keysOf(run + lane)], die, atOnce: true });
    });
    killed += (await runBuyers(orders)).filter((one) => one.killed).length;
  }
  expect(killed).toBeGreaterThan(places.length / 2);
  const buyer = await purse.open();
  const settled = [];
  for (const idempotencyKey of keys) {
    const call = () => buyWith(buyer, { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey });
    const { receipt } = await call().catch(async (error: unknown) => {
      // A dead process's voucher that was claimed before anybody took its call up is money without an answer.
      if (!String(error).includes("On hold: honest (paid_not_served")) throw error;
      await buyer.releaseSeller("honest");
      return call();
    });
    settled.push(buyer.getReceipt(receipt.id, { waitSeconds: 120 }));
  }
  const receipts = await Promise.all(settled);
  expect(new Set(receipts.map(({ id }) => id)).size).toBe(keys.length);
  expect(receipts.filter((receipt) => newestAppraisal(receipt).verdict !== "verified")).toEqual([]);
  expect(broken).toEqual([]);
  // What was claimed on chain is each call's price once, and so are the books.
  const total = BigInt(keys.length) * PRICE;
  expect(await fleet.claimed()).toBe(total);
  const { assets } = await buyer.spending();
  expect(assets[0]).toMatchObject({ spent: String(total), reserved: "0" });
  expect(await buyer.audit()).toMatchObject({ ok: true, receipts: keys.length });
  await buyer.close();
});
