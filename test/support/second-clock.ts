import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { createEzklEngine } from "../../src/ezkl/engine.ts";
import { createReceiptEvents, type BuyerContext } from "../../src/buyer/context.ts";
import type { JobHandler } from "../../src/buyer/background/jobs/types.ts";
import { judgeReceipt } from "../../src/buyer/judge.ts";
import { createQueue, type NewJob } from "../../src/buyer/background/queue.ts";
import { createChannelLeases } from "../../src/buyer/channel-leases.ts";
import { createQuoteCache } from "../../src/buyer/quotes.ts";
import { startSecondClock, type SecondClock } from "../../src/buyer/background/clock.ts";
import { configSchema } from "../../src/config/schema.ts";
import { createHttp } from "../../src/http/client.ts";
import { createCatalog } from "../../src/market/catalog.ts";
import type { Evidence, Receipt } from "../../src/receipts/schema.ts";
import { addReceipt, appendLater, readReceipt } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { temporaryDirectory } from "../payment/fixtures.ts";
import { eventually } from "./eventually.ts";
import { makeFixture, type Fixture } from "./fixture-receipt.ts";

type Handler = JobHandler<BuyerContext>;

/** Until the second look. */
export const FIRST_DELAY_MS = 100;
/** Until the deadline. */
export const PATIENCE_MS = 1_000_000;
const CAPS = { perCall: "100000", perHour: "100000", perDay: "100000", total: "100000" };

let fixture: Fixture;
/** The time of every buyer of a test, unix ms: it passes where the test says so. */
export const time = { now: 0 };
let path: string;
const ends: (() => Promise<void>)[] = [];

/** Gives each test of the file that calls it a time, a database and an end of its own. */
export function openSecondClock(): void {
  beforeAll(async () => {
    fixture = await makeFixture();
  });
  beforeEach(() => {
    time.now = Date.now();
    path = join(temporaryDirectory(), "buyer.db");
  });
  afterEach(async () => {
    vi.useRealTimers();
    for (const end of ends.splice(0).toReversed()) await end();
  });
}

/** A kind of evidence that is waited for as a re-execution is. */
export const kind = (look: Handler["look"], changes: Partial<Handler> = {}): Handler => ({
  kind: "study",
  layer: "computation",
  plan: () => null,
  look,
  firstDelay: () => FIRST_DELAY_MS,
  awaited: { code: "awaiting_replay", note: "It is studied.", holdsVerdict: true },
  absent: (code) => ({ status: "skip", code: "not_replayed", note: `It was not studied (${code}).` }),
  ...changes,
});
export const evidence = (text: string): Evidence => ({ kind: "study.of-tomorrow", text });

/** A buyer's context over the file, as another process has it. */
export async function openContext(handlers: readonly Handler[]): Promise<BuyerContext> {
  const { network, asset, payTo } = fixture.receipt.core.payment;
  const { measurements, models } = fixture.policy.sellers["fixture"]!;
  const config = configSchema.parse({
    database: path,
    networks: [{ network, rpcUrl: "http://127.0.0.1:1", pollMilliseconds: 20 }],
    payment: {
      assets: [{ network, asset, decimals: 6, symbol: "USDC", domain: { name: "USD Coin", version: "2" }, ...CAPS }],
    },
    sellers: [
      {
        id: "fixture",
        provider: "oip",
        origin: "https://seller.example",
        assurance: "attested",
        payTo: [payTo],
        reference: { measurements, models },
      },
    ],
    verification: { simulatedRoots: fixture.policy.simulatedRoots },
  });
  const db = await openDatabase(path);
  const http = createHttp(config.http);
  ends.push(async () => {
    await http.close();
    await db.destroy();
  });
  const clock = (): Date => new Date(time.now);
  const providerOf = (): never => {
    throw new Error("nobody is asked");
  };
  return {
    config,
    db,
    http,
    wallet: null,
    clock,
    providerOf,
    carrierOf: providerOf,
    catalog: createCatalog({ sellers: config.sellers, providerOf, clock, maxAgeMs: 1000 }),
    quotes: createQuoteCache(1000),
    chains: new Map(),
    nonceSecret: "",
    warnings: [],
    session: createVerificationCache(),
    ezkl: createEzklEngine(),
    events: createReceiptEvents(),
    attestations: new Map(),
    funds: new Map(),
    handlers,
    queue: createQueue(db),
    channelLeases: createChannelLeases({ db, clock }),
    wakeSecondClock: () => undefined,
  };
}

/** Starts the second clock of a context; the test's end stops it. */
export function start(ctx: BuyerContext): SecondClock {
  const clock = startSecondClock(ctx);
  ends.push(() => clock.stop());
  return clock;
}

/** Stores the receipt of an answer that is settled, with a job of each kind. */
export async function deliver(ctx: BuyerContext, jobs: readonly Partial<NewJob>[] = [{}]): Promise<Receipt> {
  const { later, ...bare } = fixture.receipt;
  const receipt = { ...bare, later: [] };
  const planned = jobs.map((job) => ({
    kind: "study",
    receiptId: receipt.id,
    payload: {},
    runAt: time.now,
    deadline: time.now + PATIENCE_MS,
    ...job,
  }));
  const appraisal = await judgeReceipt(
    ctx,
    { ...receipt, later },
    {
      assurance: "attested",
      own: later.map(({ evidence: seen }) => seen),
      jobs: planned.map((job) => ({ kind: job.kind, done: false, absent: null })),
    },
  );
  await immediate(ctx.db, async (tx) => {
    await addReceipt(tx, receipt, appraisal, new Date(time.now));
    for (const one of later) await appendLater(tx, receipt.id, one.evidence, new Date(time.now));
    await ctx.queue.add(tx, planned);
  });
  return receipt;
}

export const jobsOf = (ctx: BuyerContext) => ctx.db.selectFrom("jobs").selectAll().orderBy("kind").execute();
export const jobOf = async (ctx: BuyerContext) => (await jobsOf(ctx))[0]!;
export const stored = async (ctx: BuyerContext): Promise<Receipt> => (await readReceipt(ctx.db, fixture.receipt.id))!;
export const studies = (receipt: Receipt): unknown[] =>
  receipt.later.flatMap((one) => (one.evidence.kind === "study.of-tomorrow" ? [one.evidence] : []));
/** The job once it was looked at so many times and given back or ended. */
export const looked = (ctx: BuyerContext, times: number) =>
  eventually(async () => {
    const job = await jobOf(ctx);
    expect(job).toMatchObject({ attempts: times, leased_until: 0 });
    return job;
  });
