import { afterAll, beforeAll, expect, it } from "vitest";
import { openMarket, type Market } from "../support/devnet.ts";
import { startPostgres, type Cluster } from "../support/postgres-cluster.ts";
import type { Said } from "../hostile/orders.ts";
import { buildWorker, removeWorker, runBuyers, startBuyer } from "../hostile/processes.ts";
import { openPurse } from "../hostile/purse.ts";

const PRICE = 10_000n;
const PROCESSES = 8;
const CALLS = 4;
const ALLOWED = 12;

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

const isDecided = ({ code }: Said): boolean => code === "ok" || code === "over_total_cap";

it(`${PROCESSES} processes on one budget, one of them killed and the database too: the budget is spent exactly, each call ends once`, async () => {
  const purse = await openPurse(market, (config) => {
    config.database = cluster.url;
    for (const asset of config.payment.assets) asset.total = String(BigInt(ALLOWED) * PRICE);
    config.payment.callsPerHour = 1000;
  });
  const keys = Array.from({ length: PROCESSES }, (_, process) =>
    Array.from({ length: CALLS }, (__, at) => `process-${process}-call-${at}`),
  );
  const processes = keys.map((own) => startBuyer(purse.orders({ keys: own })));
  await Promise.all(processes.map(({ ready }) => ready));
  for (const { go } of processes) go();
  const ended = Promise.all(processes.map((one) => one.ended));
  const said = (): Said[] => processes.flatMap((one) => one.said);

  // Both die while the others buy.
  await expect.poll(() => said().length, { interval: 5 }).toBeGreaterThanOrEqual(2);
  processes[0]?.child.kill("SIGKILL");
  await expect.poll(() => said().length, { interval: 5 }).toBeGreaterThanOrEqual(4);
  await cluster.crash();
  await ended;
  expect(processes.map(({ child }) => child.exitCode)).toEqual([
    null,
    ...Array.from({ length: PROCESSES - 1 }, () => 0),
  ]);

  // What was cut off is called again by its key, in another process.
  const first = said();
  expect(
    first.map(({ code }) => code).filter((code) => !["ok", "over_total_cap", "database_unreachable"].includes(code)),
  ).toEqual([]);
  const decided = new Set(first.filter(isDecided).map(({ key }) => key));
  const left = keys.flat().filter((key) => !decided.has(key));
  expect(left.length).toBeGreaterThan(0);
  const [again] = await runBuyers([purse.orders({ keys: left })]);
  const outcomes = [...first.filter(isDecided), ...(again?.said ?? [])];
  expect(outcomes.map(({ key }) => key).toSorted()).toEqual(keys.flat().toSorted());
  expect(outcomes.filter((one) => !isDecided(one))).toEqual([]);
  const bought = outcomes.filter(({ code }) => code === "ok");
  expect(bought).toHaveLength(ALLOWED);
  expect(new Set(bought.map(({ receipt }) => receipt)).size).toBe(ALLOWED);

  const chain = await purse.chain();
  expect(chain.left).toBe(BigInt(ALLOWED) * PRICE);
  expect(new Set(chain.nonces).size).toBe(ALLOWED);
  const buyer = await purse.open();
  await buyer.reconcile();
  const { assets } = await buyer.spending();
  expect(assets[0]).toMatchObject({ spent: String(BigInt(ALLOWED) * PRICE), reserved: "0" });
  expect(await buyer.audit()).toMatchObject({ ok: true, receipts: ALLOWED });
  await buyer.close();
});

it("a database that starts again is waited for", async () => {
  const purse = await openPurse(market, (config) => (config.database = cluster.url));
  const buyer = await purse.open();
  await buyer.spending();
  const crashed = cluster.crash();
  expect((await buyer.spending()).assets.length).toBeGreaterThan(0);
  await crashed;
  await buyer.close();
});
