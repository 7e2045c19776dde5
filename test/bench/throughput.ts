import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { openChain } from "../../src/chain/chain.ts";
import type { Config } from "../../src/config/schema.ts";
import { openParts } from "../../src/payment/channel-parts.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { startPostgres } from "../support/postgres-cluster.ts";
import { openMarket, type Market } from "./market.ts";
import { median, row, type Line } from "./measure.ts";
import type { Orders, Report } from "./throughput-worker.ts";

const WORKER = fileURLToPath(new URL("./throughput-worker.js", import.meta.url));
const CHANNELS = 16;
/** Purchases of one process at once, and of each of several. */
const AT_ONCE = 100;
const PROCESSES = 8;

/** A configuration that pays the honest seller by vouchers only, out of as many channels, for `most` purchases in all. */
async function withChannels(market: Market, database: string, most: number | null): Promise<Config> {
  const assets = market.config.payment.assets.slice(0, 1).map((asset) => ({ ...asset, methods: ["voucher" as const] }));
  const config: Config = {
    ...market.config,
    database,
    sellers: market.config.sellers.filter(({ id }) => id === "honest"),
    payment: { ...market.config.payment, assets, callsPerHour: 1_000_000 },
    market: { ...market.config.market, quoteSeconds: 3600 },
  };
  const [[asset], [seller], [network]] = [assets, config.sellers, config.networks];
  if (asset === undefined || seller === undefined || network === undefined) throw new Error("the devnet has them");
  const wallet = walletFromPrivateKey(market.key);
  const amount = BigInt(asset.total) / 4n;
  const db = await openDatabase(database);
  const chain = openChain(network);
  await openParts({
    db,
    chain,
    wallet,
    seller,
    asset,
    amount,
    parts: CHANNELS,
    another: true,
    clock: () => new Date(),
  });
  await db.destroy();
  if (most !== null) asset.total = String(BigInt(most) * PRICE);
  return config;
}

const PRICE = 10_000n;

/** CPU time of a process and its children so far, ms. */
function cpuOf(pid: number): number {
  const stats = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const text = readFileSync(`/proc/${name}/stat`, "utf8");
        const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
        return [{ pid: Number(name), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }];
      } catch {
        // It ended meanwhile.
        return [];
      }
    });
  const family = [pid];
  for (const parent of family) family.push(...stats.filter((one) => one.parent === parent).map((one) => one.pid));
  // A tick is 10 ms.
  return stats.filter((one) => family.includes(one.pid)).reduce((sum, { ticks }) => sum + ticks * 10, 0);
}

/** Starts a process per order, has all buy at once when all are ready, and gives what each reports. */
async function race(orders: readonly Orders[]): Promise<{ reports: Report[]; tookMs: number }> {
  const workers = orders.map((one) => {
    const child = spawn(process.execPath, [WORKER], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.write(`${JSON.stringify(one)}\n`);
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    return { child, lines, exited: once(child, "exit") };
  });
  const next = async (lines: AsyncIterator<string>): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error("a buyer's process ended early");
    return value;
  };
  await Promise.all(workers.map(({ lines }) => next(lines)));
  const began = performance.now();
  for (const { child } of workers) child.stdin.write("go\n");
  const reports = await Promise.all(workers.map(async ({ lines }) => JSON.parse(await next(lines)) as Report));
  const tookMs = performance.now() - began;
  await Promise.all(workers.map(({ exited }) => exited));
  return { reports, tookMs };
}

/** What some processes bought at once: how many a second, what CPU each purchase took, and how long one waited. */
async function measure(
  market: Market,
  what: string,
  { orders, atLeast }: { orders: readonly Orders[]; atLeast: number },
): Promise<Line[]> {
  const before = cpuOf(market.pid);
  const { reports, tookMs } = await race(orders);
  const sellers = cpuOf(market.pid) - before;
  const times = reports.flatMap((one) => one.times);
  const cpu = reports.reduce((sum, one) => sum + one.cpuMs, 0);
  const slowest = times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN;
  return [
    row(`${what}: purchases a second`, times.length / (tookMs / 1000), { unit: "a second", atLeast }),
    row("  CPU of the buyers, a purchase", cpu / times.length),
    row("  CPU of seller, facilitator and chain, a purchase", sellers / times.length),
    row("  how long a purchase took, the median", median(times)),
    row("  and the slowest of a hundred (p99)", slowest),
  ];
}

/** Purchases at once by voucher: in one process, and in several on one PostgreSQL database with a budget that ends. */
export async function benchThroughput(rounds: number): Promise<Line[]> {
  const own = await withMarket((market) => alone(market, rounds));
  const shared = existsSync("/usr/lib/postgresql")
    ? await withMarket((market) => fleet(market, rounds))
    : ["  no PostgreSQL here"];
  return [...own, ...shared];
}

/** Each has a market of its own: a second database of one wallet knows nothing of what its channels paid before. */
async function withMarket(work: (market: Market) => Promise<Line[]>): Promise<Line[]> {
  const market = await openMarket();
  try {
    return await work(market);
  } finally {
    await market.stop();
  }
}

async function alone(market: Market, rounds: number): Promise<Line[]> {
  const config = await withChannels(market, join(market.directory, "throughput.db"), null);
  const count = AT_ONCE * Math.min(rounds, 5);
  const orders = [{ config, key: market.key, count, atOnce: AT_ONCE }];
  return measure(market, `one process, ${AT_ONCE} at once, SQLite`, { orders, atLeast: 150 });
}

/** Several processes on a server that waits for the disk. The budget ends before they do, and is spent exactly. */
async function fleet(market: Market, rounds: number): Promise<Line[]> {
  const cluster = await startPostgres({ durable: true });
  try {
    const each = 10 * Math.min(rounds, 10);
    // Each buys once before the race begins.
    const allowed = PROCESSES * (each + 1) - each / 2;
    const config = await withChannels(market, cluster.url, allowed);
    const orders = Array.from({ length: PROCESSES }, () => ({ config, key: market.key, count: each, atOnce: 4 }));
    const lines = await measure(market, `${PROCESSES} processes, PostgreSQL`, { orders, atLeast: 200 });
    const db = await openDatabase(cluster.url);
    const rows = await db.selectFrom("purchases").select("state").where("state", "!=", "released").execute();
    await db.destroy();
    if (rows.length !== allowed) throw new Error(`${rows.length} purchases under a budget of ${allowed}`);
    return [...lines, `  budget: ${rows.length} of ${PROCESSES * (each + 1)} calls paid, ${allowed} allowed`];
  } finally {
    await cluster.stop();
  }
}
