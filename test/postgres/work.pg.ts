import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { CLI } from "../support/cli.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { startPostgres, type Cluster } from "../support/postgres-cluster.ts";
import { openPurse } from "../hostile/purse.ts";

const COUNT = 4;
const INPUT = { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] };

let market: Market;
let cluster: Cluster;
beforeAll(async () => {
  [market, cluster] = await Promise.all([openMarket(), startPostgres()]);
});
afterAll(async () => {
  await market.stop();
  await cluster.stop();
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

type Worker = { child: ChildProcess; said: string };

/** `proof402 work` in a process of its own, once it has said that it works. */
async function startWorker(name: string, config: object): Promise<Worker> {
  const file = join(market.directory, `${name}.json`);
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  const child = spawn(process.execPath, [CLI, "--config", file, "work"], { stdio: ["ignore", "pipe", "pipe"] });
  closing.push(() => child.kill("SIGKILL"));
  const worker: Worker = { child, said: "" };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (worker.said += String(bytes)));
  await eventually(() => expect(worker.said).toContain("Working over postgres://"));
  return worker;
}

/** An RPC that takes every question and answers none. */
async function startSilence(): Promise<string> {
  const server = createServer((socket) => void socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const buySome = (buyer: Buyer, from: number, count: number) =>
  Promise.all(
    Array.from({ length: count }, (_, at) =>
      buyer.buy("eth-risk", INPUT, { seller: "honest", idempotencyKey: `worked-${from + at}` }),
    ),
  );

it("workers share the jobs of all buyers, take over what a killed one held, and end at a signal; without any the buyers go on", async () => {
  const purse = await openPurse(market, (config) => (config.database = cluster.url));
  const { config } = purse.orders({});
  const dumb = { ...config, networks: config.networks.map((one) => ({ ...one })) };
  for (const one of dumb.networks) one.rpcUrl = await startSilence();
  const killed = await startWorker("killed", dumb);
  const buyer = await purse.open();
  closing.push(() => buyer.close());
  const bought = await buySome(buyer, 0, COUNT);
  const states = () =>
    purse.using(async (db) => {
      const { rows } = await sql<{ state: string }>`select state::text as state from proof402_public.job`.execute(db);
      return rows.map(({ state }) => state);
    });
  // It hangs in its looks as it dies.
  await eventually(async () => expect(await states()).toContain("active"));
  const workers = [await startWorker("first", config), await startWorker("second", config)];
  killed.child.kill("SIGKILL");
  await once(killed.child, "exit");
  const jobs = () => purse.using((db) => db.selectFrom("jobs").selectAll().execute());
  await eventually(async () => {
    const all = await jobs();
    expect(all.length).toBeGreaterThanOrEqual(COUNT);
    expect(all.filter(({ state }) => state !== "done")).toEqual([]);
  });
  const done = await jobs();
  expect(new Set(done.map(({ owner }) => owner))).toEqual(new Set(["workers:proof402_public"]));
  expect(done.filter(({ last_error: error }) => error !== null)).toEqual([]);
  for (const { receipt } of bought) {
    const now = await buyer.getReceipt(receipt.id);
    expect(newestAppraisal(now)).toMatchObject({ verdict: "verified", layers: { settlement: { status: "pass" } } });
    expect(now.later).toHaveLength(done.filter(({ subject }) => subject === receipt.id).length);
  }
  const log = await purse.using((db) => db.selectFrom("log").select("kind").execute());
  expect(log.filter(({ kind }) => kind === "job")).toHaveLength(done.length);
  expect(log.filter(({ kind }) => kind === "later")).toHaveLength(done.length);
  expect((await states()).filter((state) => state === "failed")).toEqual([]);

  for (const { child } of workers) child.kill("SIGTERM");
  for (const worker of workers) {
    if (worker.child.exitCode === null) await once(worker.child, "exit");
    expect([worker.child.exitCode, worker.said]).toEqual([0, expect.stringContaining("Ended.")]);
  }
  // A worker of another policy takes none: the buyer does, after a while, and without any worker at once.
  const other = { ...config, verification: { ...config.verification, clockSkewSeconds: 7 } };
  const stranger = await startWorker("stranger", other);
  const left = await buyer.buy("eth-risk", INPUT, {
    seller: "honest",
    idempotencyKey: "worked-left",
    wait: "verified",
  });
  expect(left.verdict).toBe("verified");
  stranger.child.kill("SIGTERM");
  await once(stranger.child, "exit");
  // Nobody works any more: the buyer's own clock does.
  const alone = await buyer.buy("eth-risk", INPUT, {
    seller: "honest",
    idempotencyKey: "worked-alone",
    wait: "verified",
  });
  expect(alone.verdict).toBe("verified");
  const own = await purse.using((db) =>
    db.selectFrom("jobs").select("owner").where("subject", "in", [left.receipt.id, alone.receipt.id]).execute(),
  );
  expect(own.filter(({ owner }) => owner.startsWith("workers:"))).toEqual([]);
  expect(await buyer.audit()).toMatchObject({ ok: true, receipts: COUNT + 2 });
});
