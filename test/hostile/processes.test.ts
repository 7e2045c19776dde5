import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { cases } from "../support/campaign.ts";
import { statOf } from "../support/children.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { settlementsOf } from "../support/later.ts";
import { FAULTS, type Orders } from "./orders.ts";
import { buildWorker, removeWorker, runBuyers, startBuyer } from "./processes.ts";
import { openPurse } from "./purse.ts";
import { buyWith } from "../support/buy.ts";

const PRICE = 10_000n;

let market: Market;
beforeAll(async () => {
  [market] = await Promise.all([openMarket(), buildWorker()]);
});
afterAll(async () => {
  await market.stop();
  removeWorker();
});

describe("T17: eight processes with one wallet and one budget", () => {
  /** Purchases that each makes. The budget allows three of eight. */
  const CALLS = cases(6, 50, 50);
  const ALLOWED = 3 * CALLS;

  test(`make ${8 * CALLS} purchases of which the budget allows ${ALLOWED}: exactly ${ALLOWED} leave the wallet`, async () => {
    const purse = await openPurse(market, (config) => {
      for (const asset of config.payment.assets) asset.total = String(BigInt(ALLOWED) * PRICE);
      config.payment.callsPerHour = 1000;
    });
    const outcomes = await runBuyers(
      Array.from({ length: 8 }, (_, process) =>
        purse.orders({ keys: Array.from({ length: CALLS }, (__, at) => `process-${process}-call-${at}`) }),
      ),
    );
    const said = outcomes.flatMap((one) => one.said);
    expect(said).toHaveLength(8 * CALLS);
    const codes = said.map(({ code }) => code);
    expect(codes.filter((code) => code === "ok")).toHaveLength(ALLOWED);
    expect(codes.filter((code) => code === "over_total_cap")).toHaveLength(8 * CALLS - ALLOWED);
    const { left, nonces } = await purse.chain();
    expect(left).toBe(BigInt(ALLOWED) * PRICE);
    expect(new Set(nonces).size).toBe(ALLOWED);
    const buyer = await purse.open();
    await buyer.reconcile();
    const { assets } = await buyer.spending();
    expect(assets[0]).toMatchObject({ spent: String(BigInt(ALLOWED) * PRICE), reserved: "0" });
    expect(await buyer.audit()).toMatchObject({ ok: true });
    await buyer.close();
  });

  test("T18: many small ones end at the count per hour, whatever they cost", async () => {
    const purse = await openPurse(market, (config) => (config.payment.callsPerHour = 5));
    const outcomes = await runBuyers(
      [1, 2].map((process) => purse.orders({ keys: [1, 2, 3, 4].map((at) => `small-${process}-${at}`) })),
    );
    const codes = outcomes.flatMap((one) => one.said.map(({ code }) => code)).toSorted();
    expect(codes).toEqual([
      ...Array.from({ length: 5 }, () => "ok"),
      "over_count_cap",
      "over_count_cap",
      "over_count_cap",
    ]);
    expect((await purse.chain()).left).toBe(5n * PRICE);
  });

  test("T14: what is checked is what is signed: calls at once in one process get past no cap either", async () => {
    const purse = await openPurse(market, (config) => {
      for (const asset of config.payment.assets)
        Object.assign(asset, { perCall: String(PRICE), perHour: String(3n * PRICE + 1n) });
    });
    const [outcome] = await runBuyers([
      purse.orders({ keys: Array.from({ length: 20 }, (_, at) => `at-once-${at}`), atOnce: true }),
    ]);
    const codes = outcome?.said.map(({ code }) => code) ?? [];
    expect(codes.filter((code) => code === "ok")).toHaveLength(3);
    expect(codes.filter((code) => code === "over_hour_cap")).toHaveLength(17);
    expect((await purse.chain()).left).toBe(3n * PRICE);
  });

  test("T20: one key in all of them is one payment, and all get its answer", async () => {
    const purse = await openPurse(market);
    const outcomes = await runBuyers(Array.from({ length: 8 }, () => purse.orders({ keys: ["the-one-call"] })));
    const said = outcomes.flatMap((one) => one.said);
    expect(said.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => "ok"));
    expect(new Set(said.map(({ receipt }) => receipt)).size).toBe(1);
    expect((await purse.chain()).left).toBe(PRICE);
  });
});

describe("T20: a process stopped in the middle, whose call another one takes over", () => {
  test.each(["chosen", "attested", "quoted", "reserved", "signing", "signature", "paid", "answered"] as const)(
    "at %s: one payment and one receipt, whatever it does when it goes on",
    async (stop) => {
      const purse = await openPurse(market);
      const stopped = startBuyer(purse.orders({ keys: ["taken-over"], stop }));
      await stopped.ready;
      stopped.go();
      const { pid } = stopped.child;
      await eventually(async () => expect((await statOf(String(pid)))[0]).toBe("T"));
      // Its lease runs out: it gives no sign of life.
      await purse.using((db) => db.updateTable("call_leases").set({ until: 0 }).execute());
      const buyer = await purse.open();
      const result = await buyWith(buyer, {
        model: "eth-risk",
        seller: "honest",
        input: { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] },
        idempotencyKey: "taken-over",
      });
      stopped.child.kill("SIGCONT");
      await stopped.ended;
      const [said] = stopped.said;
      // It hands over the same answer, or says that the call is another's.
      expect([result.receipt.id, null]).toContain(said?.receipt);
      expect(said?.code).toBe(said?.receipt === null ? "call_in_progress" : "ok");
      expect((await buyer.listReceipts()).map(({ id }) => id)).toEqual([result.receipt.id]);
      const { left, nonces } = await purse.chain();
      expect({ left, used: nonces.length }).toEqual({ left: PRICE, used: 1 });
      expect(await buyer.audit()).toMatchObject({ ok: true });
      await buyer.close();
    },
  );
});

describe("T19: a buyer killed with kill -9", () => {
  /** Moments drawn at random, all told. */
  const RANDOM = cases(2, 100, 16);
  /** Every step, once or in both halves. */
  const STEPS = Array.from({ length: cases(1, 2, 2) }, () => FAULTS).flat();

  /** Places to die: the steps, then the moments. */
  const deaths = (lane: number): (Orders["die"] & {})[] =>
    Array.from({ length: STEPS.length + RANDOM }, (_, at) => STEPS[at] ?? Math.floor(Math.random() * 60)).filter(
      (_, at) => at % 2 === lane,
    );

  test.concurrent.each([0, 1])(
    `at every step and at ${RANDOM} random moments: nothing is lost, counted twice or paid twice (half %i)`,
    async (lane) => {
      const purse = await openPurse(market);
      const places = deaths(lane);
      const keys = places.map((_, run) => `lane-${lane}-run-${run}`);
      let killed = 0;
      for (const [run, die] of places.entries()) {
        // Each process first makes the call again in which the one before it died.
        const [outcome] = await runBuyers([purse.orders({ keys: keys.slice(Math.max(0, run - 1), run + 1), die })]);
        if (outcome?.killed === true) killed += 1;
      }
      expect(killed).toBeGreaterThan(places.length / 2);

      const buyer = await purse.open();
      const receipts = await Promise.all(
        keys.map(async (idempotencyKey) => {
          const result = await buyWith(buyer, {
            model: "eth-risk",
            seller: "honest",
            input: { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] },
            idempotencyKey,
          });
          return buyer.getReceipt(result.receipt.id, { waitSeconds: 120 });
        }),
      );
      expect(await buyer.reconcile()).toMatchObject({ pending: 0, unreachable: [] });
      // Every call has its one answer, verified, with its settlement noted once.
      expect(new Set(receipts.map(({ id }) => id)).size).toBe(keys.length);
      expect(receipts.filter((receipt) => newestAppraisal(receipt).verdict !== "verified")).toEqual([]);
      expect(receipts.filter((receipt) => settlementsOf(receipt).length !== 1)).toEqual([]);
      // The journal says what the chain says: one used authorization per call, and no other.
      // An attempt that a killed process had only reserved was given up for a new one.
      const journal = (await purse.journal()).filter(({ state }) => state !== "released");
      const { left, nonces } = await purse.chain();
      expect(journal.map(({ state }) => state)).toEqual(keys.map(() => "settled"));
      expect(nonces.toSorted()).toEqual(journal.map(({ nonce }) => nonce).toSorted());
      expect(left).toBe(BigInt(keys.length) * PRICE);
      const { assets } = await buyer.spending();
      expect(assets[0]).toMatchObject({ spent: String(left), reserved: "0" });
      expect(await buyer.audit()).toMatchObject({ ok: true });
      await buyer.close();
    },
  );
});
