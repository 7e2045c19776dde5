import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { viewSpending } from "../../src/buyer/spending.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import { paymentPolicySchema, type PaymentPolicy } from "../../src/payment/policy.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { searchReceipts, type ReceiptFilter } from "../../src/receipts/search.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { appraisal, boundCore } from "../support/receipt-core.ts";
import { fillDatabase } from "./big-database.ts";
import { startPostgres } from "../support/postgres-cluster.ts";
import { writePurchase } from "./journal.ts";
import { interleaved, row, type Line } from "./measure.ts";

/** Receipts of the larger database; the other one has a tenth. An audit of a million takes minutes. */
const RECEIPTS = Number(process.env["PROOF402_BENCH_RECEIPTS"] ?? 20_000);
/** A folder whose SQLite files of an earlier run are measured again, and kept: to make a million takes an hour beside other work. */
const KEPT = process.env["PROOF402_BENCH_KEPT"];
const MOST_MS = 300;

/** What an owner asks of a database with many receipts, and how it grows with them. */
export async function benchScale(rounds: number): Promise<Line[]> {
  const directory = KEPT ?? (await mkdtemp(join(tmpdir(), "proof402-bench-scale-")));
  try {
    return await benchPlaces(rounds, { tenth: join(directory, "tenth.db"), whole: join(directory, "whole.db") });
  } finally {
    if (KEPT === undefined) await rm(directory, { recursive: true, force: true });
  }
}

/** The same on a PostgreSQL server of its own, with Debian's settings but for the disk, which nothing waits for. */
export async function benchScaleOnPostgres(rounds: number): Promise<Line[]> {
  const cluster = await startPostgres();
  try {
    const places = { tenth: new URL(cluster.url), whole: new URL(cluster.url) };
    const { default: pg } = await import("pg");
    const client = new pg.Client({ connectionString: cluster.url });
    await client.connect();
    for (const [name, url] of Object.entries(places)) {
      await client.query(`create database ${name}`);
      url.pathname = `/${name}`;
    }
    await client.end();
    return await benchPlaces(rounds, { tenth: places.tenth.href, whole: places.whole.href });
  } finally {
    await cluster.stop();
  }
}

async function benchPlaces(rounds: number, places: Record<"tenth" | "whole", string>): Promise<Line[]> {
  const began = performance.now();
  for (const [place, count] of [[places.tenth, RECEIPTS / 10] as const, [places.whole, RECEIPTS] as const])
    if (!existsSync(place)) await fillDatabase(place, count);
  const filled = performance.now() - began;
  const dbs = { tenth: await openDatabase(places.tenth), whole: await openDatabase(places.whole) };
  try {
    const lines: Line[] = [];
    for (const [name, ask] of Object.entries(questions())) {
      const times = await interleaved(
        { tenth: async () => void (await ask(dbs.tenth)), whole: async () => void (await ask(dbs.whole)) },
        { rounds, warmup: 1 },
      );
      const { tenth = Number.NaN, whole = Number.NaN } = times;
      lines.push(row(name, whole, { base: { name: "a tenth", ms: tenth }, under: MOST_MS }));
    }
    const audited = await audit(dbs.whole);
    return [
      `  ${RECEIPTS} receipts beside ${RECEIPTS / 10}, made in ${(filled / 1000).toFixed(0)} s`,
      ...lines,
      row("audit", audited.ms, { cpu: audited.cpu }),
      `  audited: ${((RECEIPTS / audited.ms) * 1000).toFixed(0)} a second, at most ${audited.megabytes.toFixed(0)} MB resident (${audited.points.map((one) => one.toFixed(0)).join(", ")})`,
    ];
  } finally {
    await Promise.all([dbs.tenth.destroy(), dbs.whole.destroy()]);
  }
}

/** A purchase's own writes, with its receipt and its entries in the log. */
async function purchase(db: Db, policy: PaymentPolicy): Promise<void> {
  const core = boundCore();
  await writePurchase(db, policy, { id: core.seller.id, payTo: [core.payment.payTo] }, async (tx, payment) => {
    const receipt = createReceipt({ ...core, payment: { ...core.payment, nonce: payment.nonce } });
    return (await addReceipt(tx, receipt, appraisal(), new Date())).id;
  });
}

function questions(): Record<string, (db: Db) => Promise<unknown>> {
  const { offer } = boundCore();
  const payment = paymentPolicySchema.parse({
    assets: [
      {
        network: offer.network,
        asset: offer.asset,
        symbol: "USDC",
        decimals: 6,
        domain: { name: "USD Coin", version: "2" },
        usdStable: true,
        perCall: "100000",
        perHour: "1000000000000",
        perDay: "1000000000000",
        total: "1000000000000",
      },
    ],
  });
  const list = (filter: ReceiptFilter & { skip?: number }) => (db: Db) => searchReceipts(db, { limit: 20, ...filter });
  return {
    "a purchase's writes": (db) => purchase(db, payment),
    spending: (db) =>
      viewSpending({
        db,
        config: { payment },
        clock: () => new Date(),
        wallet: null,
        warnings: [],
      } as unknown as BuyerContext),
    "receipts list": list({}),
    "receipts list of a seller": list({ seller: "seller-3" }),
    "receipts list of a verdict": list({ verdict: "failed" }),
    "receipts list of an assurance": list({ assurance: "attested" }),
    "receipts list of a day": list({ since: new Date(Date.now() - 86_400_000) }),
    "receipts list --search a model": list({ search: "model-17" }),
    "receipts list --search what none has": list({ search: "nothing has this" }),
    "receipts list --search the beginning of an id": list({ search: "p402_abcd" }),
    "receipts list --search a part of an id": list({ search: "abcdefgh" }),
    "receipts list, the last page": list({ skip: RECEIPTS / 10 - 20 }),
  };
}

/** One audit: time, CPU time of all threads, and the resident memory during it. */
async function audit(db: Db): Promise<{ ms: number; cpu: number; megabytes: number; points: number[] }> {
  const points: number[] = [];
  const look = (): void => void points.push(process.memoryUsage.rss() / 1e6);
  const timer = setInterval(look, 1000);
  const [began, before] = [performance.now(), process.cpuUsage()];
  const result = await auditLog(db);
  const [ms, { user, system }] = [performance.now() - began, process.cpuUsage(before)];
  clearInterval(timer);
  look();
  if (!result.ok) throw new Error(`the database is not whole: ${result.message}`);
  const every = Math.ceil(points.length / 8);
  return {
    ms,
    cpu: (user + system) / 1000,
    megabytes: Math.max(...points),
    points: points.filter((_, at) => at % every === 0),
  };
}
