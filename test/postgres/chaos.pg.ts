import { afterAll, beforeAll, expect, it } from "vitest";
import { openChain } from "../../src/chain/chain.ts";
import { readChannelStates } from "../../src/chain/channels.ts";
import { configSchema } from "../../src/config/schema.ts";
import { openParts } from "../../src/payment/channel-parts.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Said } from "../hostile/orders.ts";
import { buildWorker, removeWorker, startBuyer, type BuyerProcess } from "../hostile/processes.ts";
import { openPurse } from "../hostile/purse.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { settlementsOf } from "../support/later.ts";
import { startPostgres, type Cluster } from "../support/postgres-cluster.ts";
import { openLine, type Line } from "../support/tcp-line.ts";

// Processes buy out of one budget, half of them by transfer and half by voucher, while they, their database and the lines to it and to the seller are killed and cut.
// PROOF402_CHAOS_CALLS says how many calls each of them makes: few in every run, some 20 minutes of them by `npm run test:chaos`.

const PRICE = 10_000n;
const PROCESSES = 16;
const CALLS = Number(process.env["PROOF402_CHAOS_CALLS"] ?? 1);
const ALL = PROCESSES * CALLS;
/** The budget ends before the calls do. */
const ALLOWED = Math.ceil(ALL * 0.8);
const TOTAL = BigInt(ALLOWED) * PRICE;
/** Faults at most: the rest of the calls end in peace. */
const FAULTS = Math.ceil(ALL / 3);
const CALM_MS = 250;
/** Channels of the half that pays by voucher, and the calls that each holds money for. */
const PARTS = PROCESSES;
const HELD = BigInt(Math.ceil((ALL * 2) / PARTS));
/** A call that is not decided after so many processes never will be. */
const LIVES = 40;
const HOURS_MS = 6 * 3_600_000;

let market: Market;
let cluster: Cluster;
beforeAll(async () => {
  [market, cluster] = await Promise.all([openMarket(), startPostgres(), buildWorker()]);
});
afterAll(async () => {
  await market.stop();
  await cluster.stop();
  removeWorker();
});

const chance = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)] as T;
/** An answer that the database did not take is told all the same: its call is made again for the receipt. */
const isDecided = ({ code, receipt }: Said): boolean =>
  code === "ok" ? receipt !== null : /^over_(?:hour|day|total)_cap$/.test(code);

/** A wallet with one budget for {@link ALLOWED} calls, whose database and seller are at the ends of lines. */
async function openVictim() {
  const address = new URL(cluster.url);
  const origin = new URL(market.devnet.sellers.honest.origin);
  const lines = { database: await openLine(Number(address.port)), seller: await openLine(Number(origin.port)) };
  address.port = String(lines.database.port);
  origin.port = String(lines.seller.port);
  const purse = await openPurse(market, (config) => {
    config.database = address.href;
    config.sellers = config.sellers
      ?.filter(({ id }) => id === "honest")
      .map((one) => ({ ...one, origin: origin.origin }));
    config.payment.assets = config.payment.assets
      .slice(0, 1)
      .map((one) => ({ ...one, total: String(TOTAL), perDay: String(TOTAL), perHour: String(TOTAL) }));
    config.payment.callsPerHour = 1_000_000;
  });
  /** Orders of a process that pays by one method; without a method, all that its policy takes. */
  const orders = (keys: string[], method: "eip3009" | "voucher") => {
    const { config, ...rest } = purse.orders({ keys });
    const assets = config.payment.assets.map((one) => ({ ...one, methods: [method] }));
    return { ...rest, config: { ...config, payment: { ...config.payment, assets } } };
  };
  return { purse, lines, orders };
}
type Victim = Awaited<ReturnType<typeof openVictim>>;

/** Opens channels, and gives what left the wallet since, and what of it the seller has claimed out of them. */
async function openChannels({ purse, orders }: Victim) {
  const { config, privateKey } = orders([], "voucher");
  const { networks, sellers, payment } = configSchema.parse(config);
  const [[network], [seller], [asset]] = [networks, sellers, payment.assets];
  if (network === undefined || seller === undefined || asset === undefined) throw new Error("the devnet has them");
  const wallet = walletFromPrivateKey(privateKey);
  const amount = HELD * PRICE * BigInt(PARTS);
  await market.devnet.bank.fund(wallet.address);
  await market.devnet.bank.token.mint(wallet.address, amount + TOTAL);
  const chain = openChain(network);
  const options = { chain, wallet, seller, asset: { ...asset, total: String(amount) }, amount, parts: PARTS };
  const opened = await purse.using((db) => openParts({ db, ...options, clock: () => new Date() }));
  const before = await market.devnet.balanceOf(wallet.address);
  const { nonces } = await purse.chain();
  const ids = opened.map(({ channel }) => channel.id);
  return async () => {
    const states = await chain.read((client) => readChannelStates(client, ids));
    return {
      exact: before - (await market.devnet.balanceOf(wallet.address)),
      transfers: (await purse.chain()).nonces.filter((one) => !nonces.includes(one)),
      claimed: states.reduce((sum, { totalClaimed }) => sum + totalClaimed, 0n),
    };
  };
}

type Calls = { keys: string[]; method: "eip3009" | "voucher" };
/** What callers were told of each call, in order, and the faults that there were. */
type Told = { of: Map<string, Said[]>; faults: Record<string, number>; lives: number };

/** Has all calls made, by processes that are killed and started again, until each is decided. */
async function makeAll(victim: Victim, calls: readonly Calls[]): Promise<Told> {
  const told: Told = { of: new Map(), faults: {}, lives: 0 };
  const running = new Map<number, BuyerProcess<Said>>();
  const isLeft = (key: string): boolean => told.of.get(key)?.some(isDecided) !== true;
  const work = async (at: number, { keys, method }: Calls): Promise<void> => {
    for (let lives = 0; keys.some(isLeft); lives += 1) {
      const left = keys.filter(isLeft);
      if (lives === LIVES) throw new Error(`undecided: ${JSON.stringify(left.map((key) => told.of.get(key)?.at(-1)))}`);
      told.lives += 1;
      const process = startBuyer(victim.orders(left, method));
      // One that finds no database before it is ready says nothing.
      await Promise.race([process.ready.catch(() => undefined), process.ended]);
      running.set(at, process);
      process.go();
      await process.ended;
      running.delete(at);
      for (const one of process.said) told.of.set(one.key, [...(told.of.get(one.key) ?? []), one]);
    }
  };
  const kill = (): Promise<void> => {
    chance([...running.values()])?.child.kill("SIGKILL");
    return Promise.resolve();
  };
  const cut = (line: Line) => (): Promise<void> => Promise.resolve(line.cut(Math.random() * 300));
  const { database, seller } = victim.lines;
  const kinds: [string, () => Promise<void>][] = [
    ["process killed", kill],
    ["line to the database cut", cut(database)],
    ["process killed", kill],
    ["database killed", () => cluster.crash("SIGKILL")],
    ["process killed", kill],
    ["line to the seller cut", cut(seller)],
  ];
  const over = new AbortController();
  const trouble = async (): Promise<void> => {
    for (let turn = 0; !over.signal.aborted;) {
      await new Promise((resolve) => setTimeout(resolve, CALM_MS * (0.5 + Math.random())));
      // Processes that only start are hit by nothing.
      if (running.size === 0) continue;
      const [name, fault] = kinds[turn % kinds.length] ?? ["", kill];
      if (turn < FAULTS) {
        told.faults[name] = (told.faults[name] ?? 0) + 1;
        await fault();
      }
      if (turn >= FAULTS || turn % 5 === 4) await lift(victim.purse);
      turn += 1;
    }
  };
  const troubled = trouble();
  await Promise.all(calls.map((own, at) => work(at, own))).finally(() => over.abort());
  await troubled;
  return told;
}

/** Lifts the seller's hold, as its owner: unanswered payments put it on one. */
async function lift(purse: Victim["purse"]): Promise<void> {
  const buyer = await purse.open().catch(() => null);
  await buyer?.releaseSeller("honest").catch(() => undefined);
  await buyer?.close().catch(() => undefined);
}

/** Says what there was, in a run for its own sake. */
function report({ of, faults, lives }: Told): void {
  if (process.env["PROOF402_CHAOS_CALLS"] === undefined) return;
  const codes: Record<string, number> = {};
  for (const { code, receipt } of [...of.values()].flat()) {
    const name = code === "ok" && receipt === null ? "ok, not stored" : code;
    codes[name] = (codes[name] ?? 0) + 1;
  }
  process.stdout.write(`${JSON.stringify({ processes: lives, faults, told: codes })}\n`);
}

it(
  `${ALL} calls of ${PROCESSES} processes through up to ${FAULTS} faults: each ends in one receipt, one payment and one verdict, and the budget is exact`,
  async () => {
    const victim = await openVictim();
    const { purse, lines } = victim;
    const moved = await openChannels(victim);
    const calls = Array.from({ length: PROCESSES }, (_, process): Calls => {
      const method = process % 2 === 0 ? "eip3009" : "voucher";
      return { method, keys: Array.from({ length: CALLS }, (__, at) => `${method}-${process}-call-${at}`) };
    });
    const told = await makeAll(victim, calls);
    report(told);
    const last = [...told.of.values()].map((said) => said.at(-1));
    const bought = last.flatMap((one) => (one?.code === "ok" ? [one] : []));
    expect([last.length, bought.length]).toEqual([ALL, ALLOWED]);
    expect(new Set(bought.map(({ receipt }) => receipt)).size).toBe(ALLOWED);
    // Every failure says what became of the money, and of a call that was refused at last none had moved or may move.
    const said = [...told.of.values()].flat();
    expect(said.filter((one) => one.code !== "ok" && one.money === undefined)).toEqual([]);
    const refused = [...told.of.values()].filter((all) => all.at(-1)?.code !== "ok");
    expect(refused.flatMap((all) => all.filter(({ money }) => money === "moved"))).toEqual([]);
    expect(refused.filter((all) => all.at(-1)?.money !== "not-moved")).toEqual([]);

    const buyer = await purse.open();
    await buyer.releaseSeller("honest").catch(() => undefined);
    await Promise.all(
      bought.map(async ({ key, receipt }) => {
        const settled = await buyer.getReceipt(receipt ?? "", { waitSeconds: 300, settled: true });
        expect([key, newestAppraisal(settled).verdict]).toEqual([key, "verified"]);
        expect([key, settlementsOf(settled).length]).toEqual([key, 1]);
      }),
    );
    await buyer.reconcile();
    // The chain and the journal say the same, by either method.
    const rows = await purse.using((db) =>
      db
        .selectFrom("purchases")
        .select(["idempotency_key", "nonce", "channel_id", "state", "settled_amount", "receipt_id"])
        .where("state", "!=", "released")
        .execute(),
    );
    expect(rows.filter(({ state }) => state !== "settled")).toEqual([]);
    expect(rows.map((row) => `${row.idempotency_key} ${row.receipt_id}`).toSorted()).toEqual(
      bought.map(({ key, receipt }) => `${key} ${receipt}`).toSorted(),
    );
    const sum = (of: typeof rows): bigint => of.reduce((all, row) => all + BigInt(row.settled_amount ?? 0), 0n);
    const byVoucher = rows.filter(({ channel_id: id }) => id !== null);
    const byTransfer = rows.filter(({ channel_id: id }) => id === null);
    const { exact, claimed, transfers } = await moved();
    expect(exact + claimed).toBe(TOTAL);
    expect([exact, claimed]).toEqual([sum(byTransfer), sum(byVoucher)]);
    expect(transfers.toSorted()).toEqual(byTransfer.map(({ nonce }) => nonce).toSorted());
    expect(Math.min(byVoucher.length, byTransfer.length)).toBeGreaterThan(0);
    expect((await buyer.spending()).assets[0]).toMatchObject({ spent: String(TOTAL), reserved: "0" });
    expect(await buyer.audit()).toMatchObject({ ok: true, receipts: ALLOWED });
    await buyer.close();
    await Promise.all(Object.values(lines).map((one) => one.stop()));
  },
  HOURS_MS,
);
