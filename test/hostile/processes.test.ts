import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { Proof402Error } from "../../src/errors.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { cases, half, isBrief } from "../support/campaign.ts";
import { statOf } from "../support/children.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { settlementsOf } from "../support/later.ts";
import { FAULTS, type Fault, type Orders } from "./orders.ts";
import { buildWorker, removeWorker, runBuyers, startBuyer } from "./processes.ts";
import { openPurse } from "./purse.ts";
import { openSharedPurse, type SharedPurse } from "./shared-purse.ts";
import type { Session } from "../support/session-seller.ts";
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
  const CALLS = cases(4, 50, 8);
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
  test.each(half(["chosen", "attested", "quoted", "reserved", "signing", "signature", "paid", "answered"] as const, 1))(
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
  const RANDOM = cases(2, 100);
  /** Every step in both lanes; in `.ci/run` in one of them, and in a test run every other one. */
  const STEPS = [...half(FAULTS), ...cases<readonly Fault[]>([], FAULTS, [])];

  /** Places to die: the steps, then the moments. */
  const deaths = (lane: number): (Orders["die"] & {})[] =>
    Array.from({ length: STEPS.length + RANDOM }, (_, at) => STEPS[at] ?? Math.floor(Math.random() * 60)).filter(
      (_, at) => at % 2 === lane,
    );

  test.concurrent.each([0, 1])(
    `at every step and at ${RANDOM} random moments: nothing is lost, counted twice or paid twice (lane %i)`,
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

describe("T19: a buyer of an MCP server's tools killed with kill -9", () => {
  test("at each state of its journal: one payment, one answer", async () => {
    const purse = await openPurse(market, (config) => {
      config.sellers = config.sellers
        ?.filter(({ id }) => id === "honest")
        .map((seller) => ({ ...seller, provider: "mcp-tool" }));
    });
    const places = isBrief ? (["signature", "on the wire", "answered"] as const) : FAULTS;
    const keys = places.map((_, run) => `tool-call-${run}`);
    let killed = 0;
    for (const [run, die] of places.entries()) {
      const [outcome] = await runBuyers([purse.orders({ keys: keys.slice(Math.max(0, run - 1), run + 1), die })]);
      if (outcome?.killed === true) killed += 1;
    }
    expect(killed).toBe(places.length);
    const buyer = await purse.open();
    for (const idempotencyKey of keys) {
      const input = { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] };
      const { receipt } = await buyWith(buyer, { model: "eth-risk", seller: "honest", input, idempotencyKey });
      expect(receipt.core.seller.provider).toBe("mcp-tool");
      const settled = await buyer.getReceipt(receipt.id, { waitSeconds: 120 });
      expect(newestAppraisal(settled).verdict).toBe("verified");
    }
    await buyer.reconcile();
    const { left, nonces } = await purse.chain();
    expect([left, nonces.length]).toEqual([BigInt(keys.length) * PRICE, keys.length]);
    expect((await buyer.listReceipts()).length).toBe(keys.length);
    expect(await buyer.audit()).toMatchObject({ ok: true });
    await buyer.close();
  });
});

describe("T121: a buyer killed with kill -9 over calls that share an authorization", () => {
  /** Moments drawn at random, all told. */
  const RANDOM = cases(0, 60, 2);
  /** Where the process dies over a call that opens an authorization, and over one that goes on with it. */
  const FIRST = ["signature", "on the wire", "settled", "paid", "answered", "checked", "signing", "reserved"] as const;
  const LATER = ["answered", "settled", "paid", "reserved", "on the wire", "checked", "quoted", "chosen"] as const;
  const asks = (at: number) => ({ model: "m", seller: "session", input: { x: [at] } });
  const keyOf = (at: number): string => `shared-kill-${at}`;

  const redeemed = new Set<Session>();
  /** A permit that reached the seller after the others were settled may have ended meanwhile: it moves nothing then. */
  const settleAll = async ({ seller }: SharedPurse, mayHaveEnded = false): Promise<void> => {
    for (const session of seller.sessions.filter(({ isOver }) => !isOver)) {
      const { success } = await seller.settle(session);
      if (success) redeemed.add(session);
      else expect(mayHaveEnded).toBe(true);
    }
  };

  /** Kills a process in each of these places, and gives how many calls there were. */
  async function killAll(purse: SharedPurse, steps: readonly Fault[]): Promise<{ calls: number; killed: number }> {
    const places: (Orders["die"] & {})[] = [
      ...steps.slice(0, cases(2, steps.length, steps.length)),
      ...Array.from({ length: RANDOM }, () => Math.floor(Math.random() * 60)),
    ];
    // A call that is not killed opens the authorization.
    await runBuyers([purse.orders({ keys: [keyOf(0)], asks: [asks(0)] })]);
    let killed = 0;
    for (const [run, die] of places.entries()) {
      // Each process first makes the call again in which the one before it died.
      const numbers = [run, run + 1];
      // Several payments in doubt put a seller on hold.
      await using(await purse.open(), (buyer) => buyer.releaseSeller("session").catch(() => undefined));
      const process = startBuyer(purse.orders({ keys: numbers.map(keyOf), asks: numbers.map(asks), die }));
      await process.ready;
      process.go();
      if (die === "settled") {
        await eventually(() => {
          if (!purse.charged().includes(run + 1)) throw new Error("the call is not with the seller yet");
          return Promise.resolve();
        });
        await settleAll(purse);
      }
      await process.ended;
      if (process.child.signalCode === "SIGKILL") killed += 1;
      const [again] = process.said;
      const what = `call ${run} again, before a death at ${die}: ${again?.message}`;
      expect(["ok", "payment_in_doubt", "paid_not_served"], what).toContain(again?.code);
      expect(again?.money ?? null, what).toBe(MONEY[again?.code ?? ""]);
    }
    // The other transfers land while no process is there to see them.
    await settleAll(purse);
    return { calls: places.length + 1, killed };
  }

  /** What a caller is told of the money with what it is told. */
  const MONEY: Readonly<Record<string, string | null>> = {
    ok: null,
    payment_in_doubt: "may-move",
    paid_not_served: "moved",
  };

  /** The books are what left the wallet, and each caller is told what became of the money. */
  async function judge(purse: SharedPurse, calls: number, shares: boolean): Promise<void> {
    await using(await purse.open(AHEAD), async (buyer) => {
      const agree = async (): Promise<void> => {
        await eventually(async () => {
          await buyer.reconcile();
          expect((await buyer.spending()).assets[0]?.reserved).toBe("0");
        });
        expect((await buyer.spending()).assets[0]?.spent).toBe(String(await purse.left()));
      };
      await agree();
      const came = purse.came();
      expect(new Set(came).size).toBe(came.length);
      await buyer.releaseSeller("session").catch(() => undefined);
      const ends: string[] = [];
      for (let at = 0; at < calls; at += 1)
        ends.push(
          await buyWith(buyer, { ...asks(at), idempotencyKey: keyOf(at) }).then(
            () => "ok",
            (error: unknown) => (Proof402Error.isInstance(error) ? `${error.code}, ${error.money}` : String(error)),
          ),
        );
      // An answer lost with its process was taken for, and its caller is told so. Nobody can tell which of two calls without
      // an answer on one permit it was: both callers are told then.
      const LOST = "paid_not_served, moved";
      const isLost = ends.some((end, at) => end === LOST && came.includes(at));
      for (const [at, end] of ends.entries())
        expect(came.includes(at) || (shares && isLost) ? ["ok", LOST] : ["ok"], `call ${at}`).toContain(end);
      await settleAll(purse, true);
      await agree();
      const charged = purse.seller.sessions.filter((one) => redeemed.has(one)).flatMap(({ asked }) => asked);
      expect(new Set(charged).size).toBe(charged.length);
      expect(await buyer.audit()).toMatchObject({ ok: true });
    });
    await purse.seller.stop();
  }

  /** A permit has ended by then, seconds. */
  const AHEAD = 400;

  test("each is sent once, its caller learns what became of the money, and the books are what left the wallet", async () => {
    const [first, later] = [await openSharedPurse(market), await openSharedPurse(market)];
    first.seller.manners.givesToken = false;
    const [ofFirst, ofLater] = [await killAll(first, FIRST), await killAll(later, LATER)];
    // A death after the last word can come too late.
    for (const { calls, killed } of [ofFirst, ofLater]) expect(killed).toBeGreaterThanOrEqual((calls - 1) / 2);
    // A permit that never arrived ends unused.
    const { client } = market.devnet.bank;
    await client.request({ method: "evm_increaseTime", params: [`0x${AHEAD.toString(16)}`] } as never);
    await client.request({ method: "evm_mine", params: [] } as never);
    await judge(first, ofFirst.calls, false);
    await judge(later, ofLater.calls, true);
  });
});

/** A buyer for one piece of work. */
async function using(buyer: Buyer, work: (buyer: Buyer) => Promise<unknown>): Promise<void> {
  try {
    await work(buyer);
  } finally {
    await buyer.close();
  }
}
