import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { cases, isBrief } from "../support/campaign.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { KINDS, MOMENTS, type ClockOrders, type ClockSaid, type Place } from "./orders.ts";
import { buildWorker, removeWorker, startBuyer, type BuyerProcess } from "./processes.ts";
import { openPurse as openAnyPurse } from "./purse.ts";
import { eventually } from "../support/eventually.ts";

const PRICE = 20_000n;
const EVIDENCE = ["inclusion.merkle", "replay.onnx", "settlement.x402", "zk.groth16"];

let market: Market;
beforeAll(async () => {
  [market] = await Promise.all([openMarket({ proving: true }), buildWorker("second-clock-worker")]);
});
afterAll(async () => {
  await market.stop();
  removeWorker();
});

type Purse = Awaited<ReturnType<typeof openAnyPurse>>;
/** A purse whose purchases have all later evidence in play. */
async function openPurse(): Promise<Purse> {
  const file = join(await packageModelsDirectory(), "supply-route.onnx");
  return openAnyPurse(market, (config) => {
    config.verification = { ...config.verification, replay: { models: { "supply-route": file } } };
  });
}
const start = (purse: Purse, orders: Omit<ClockOrders, "config" | "privateKey">): BuyerProcess<ClockSaid> =>
  startBuyer<ClockSaid>(purse.orders(orders), "second-clock-worker");

/** Lets a process do all there is to do. Returns how long that took after its last answer, ms. */
async function finish({ ready, ended, go, said }: BuyerProcess<ClockSaid>): Promise<number> {
  await ready;
  go();
  await ended;
  const last = said.at(-1);
  if (last === undefined || !("doneMs" in last)) throw new Error("the process ended early");
  return last.doneMs;
}

/** As the next half minute does: what the dead held is free again. */
const passLeases = (purse: Purse): Promise<unknown> =>
  purse.using((db) => db.updateTable("jobs").set({ leased_until: 0 }).execute());

/** What must hold of every purchase of a purse, whatever its processes went through. */
async function expectComplete(purse: Purse, keys: readonly string[]): Promise<void> {
  const jobs = await purse.using((db) => db.selectFrom("jobs").select(["kind", "state", "last_error"]).execute());
  expect(jobs).toHaveLength(KINDS.length * keys.length);
  expect(jobs.filter(({ state, last_error: error }) => state !== "done" || error !== null)).toEqual([]);
  const buyer = await purse.open();
  const receipts = await buyer.listReceipts({ limit: 1000 });
  expect(receipts).toHaveLength(keys.length);
  expect(receipts.map(summaryOf)).toEqual(
    keys.map(() => ({
      verdict: "verified",
      assurance: "proven",
      replayed: true,
      later: EVIDENCE,
      // One at the answer, and one for each piece of evidence.
      appraisals: 1 + EVIDENCE.length,
    })),
  );
  expect(await buyer.audit()).toMatchObject({ ok: true });
  await buyer.close();
  const log = await purse.using((db) => db.selectFrom("log").select("kind").execute());
  expect(log.filter(({ kind }) => kind === "later")).toHaveLength(EVIDENCE.length * keys.length);
  // The chain settled each call once, and the journal knows it.
  // An attempt that a killed process had only reserved was given up for a new one.
  const journal = (await purse.journal()).filter(({ state }) => state !== "released");
  const { left, nonces } = await purse.chain();
  expect(journal.map(({ state }) => state)).toEqual(keys.map(() => "settled"));
  expect(nonces.toSorted()).toEqual(journal.map(({ nonce }) => nonce).toSorted());
  expect(left).toBe(BigInt(keys.length) * PRICE);
}

function summaryOf(receipt: Receipt) {
  const { verdict, assurance, replayed } = newestAppraisal(receipt);
  const later = receipt.later.map(({ evidence }) => evidence.kind).toSorted();
  return { verdict, assurance, replayed, later, appraisals: receipt.appraisals.length };
}

describe("T19: a buyer killed with kill -9 between its answer and the last of the evidence", () => {
  // In a test run one moment of each kind, and each moment of one kind.
  const PLACES: Place[] = KINDS.flatMap((kind, nth) =>
    MOMENTS.filter((_, at) => !isBrief || at === nth).map((moment) => ({ kind, moment })),
  );
  const LANES = isBrief ? [0] : [0, 1];
  /** Moments drawn at random, all told. */
  const RANDOM = cases(1, 100);

  test.concurrent.each(LANES)(
    `at each moment of each landing and at ${RANDOM} random ones: every receipt gets its final verdict, each evidence once (lane %i)`,
    async (lane) => {
      const purse = await openPurse();
      const keys = [`lane-${lane}-unharmed`];
      const span = await finish(start(purse, { keys }));
      const places = [
        ...PLACES.filter((_, at) => at % LANES.length === lane),
        ...Array.from({ length: RANDOM / LANES.length }, () => Math.random() * span * 1.2),
      ];
      const deaths = places.map((at, nth) => {
        // Every other of the later ones only carries on, so that several die over the same evidence.
        const bought = typeof at === "object" || nth % 2 === 0 ? [`lane-${lane}-run-${nth}`] : [];
        keys.push(...bought);
        return { keys: bought, fate: { signal: "SIGKILL" as const, at } };
      });
      // Each starts while its forerunner lives, and opens the database when that one is dead.
      const runs = [...deaths, { keys }];
      let next = start(purse, runs[0] ?? { keys });
      for (const [nth, { fate }] of deaths.entries()) {
        const { child, ready, ended, go } = next;
        await ready;
        await passLeases(purse);
        go();
        next = start(purse, runs[nth + 1] ?? { keys });
        await ended;
        expect([fate, child.signalCode]).toEqual([fate, "SIGKILL"]);
      }
      await passLeases(purse);
      await finish(next);
      await expectComplete(purse, keys);
    },
  );
});

describe("two buyers on one database, each a process", () => {
  test("share what a killed one left and what they buy themselves: each evidence comes once", async () => {
    const purse = await openPurse();
    const left = Array.from({ length: 2 }, (_, at) => `left-behind-${at}`);
    const dead = start(purse, { keys: left, fate: { signal: "SIGKILL", at: 0 } });
    await dead.ready;
    dead.go();
    await dead.ended;
    await passLeases(purse);
    const own = [["one-first"], ["two-first"]];
    const both = own.map((keys) => start(purse, { keys }));
    await Promise.all(both.map(({ ready }) => ready));
    await Promise.all(both.map(finish));
    await expectComplete(purse, [...left, ...own.flat()]);
  });

  test.concurrent.each(isBrief ? (["settlement"] as const) : KINDS)(
    "of which one is stopped with the %s in its hands, and goes on when the other has long written it: it writes nothing",
    async (kind) => {
      const purse = await openPurse();
      const keys = [`stopped-at-${kind}`];
      const slow = start(purse, { keys, fate: { signal: "SIGSTOP", at: { kind, moment: "found" } } });
      await slow.ready;
      slow.go();
      await eventually(() => expect(slow.said.at(-1)).toEqual({ struck: "SIGSTOP" }));
      await passLeases(purse);
      await finish(start(purse, { keys: [] }));
      await expectComplete(purse, keys);
      slow.child.kill("SIGCONT");
      await slow.ended;
      expect(slow.said.at(-1)).toHaveProperty("doneMs");
      await expectComplete(purse, keys);
    },
  );
});
