import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { readChainAgain } from "../../src/buyer/online.ts";
import type { BuyResult } from "../../src/buyer/types.ts";
import { Proof402Error } from "../../src/errors.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { paidAmount } from "../../src/receipts/paid.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import type { Db } from "../../src/storage/database.ts";
import { spending } from "../../src/tools/spending.ts";
import { buyWith } from "../support/buy.ts";
import { eventually } from "../support/eventually.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { booksOf as books, openPurseOf, type Purse, type PurseTerms } from "../support/session-purse.ts";
import { OFFERED, type SessionSeller } from "../support/session-seller.ts";

let market: Market;
const opened: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  market = await openMarket();
}, 120_000);
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});
afterAll(() => market.stop());

const openPurse = (terms?: PurseTerms): Promise<Purse> => openPurseOf(market, opened, terms);

const statesOf = async (db: Db): Promise<[string, string | null, string | null][]> =>
  (
    await db
      .selectFrom("purchases")
      .select(["state", "reason", "part"])
      .orderBy("created_at")
      .orderBy("nonce")
      .execute()
  ).map(({ state, reason, part }) => [state, reason, part]);

const sessionOf = ({ seller }: { seller: SessionSeller }, at = 0) => {
  const session = seller.sessions[at];
  if (session === undefined) throw new Error("the seller opened no session");
  return session;
};

/** The receipts of calls, once each shows the settlement. */
const settledReceipts = ({ buyer }: Purse, results: readonly BuyResult[]): Promise<Receipt[]> =>
  eventually(async () => {
    const receipts = await Promise.all(results.map(({ receipt }) => buyer.getReceipt(receipt.id)));
    for (const one of receipts) expect(newestAppraisal(one).layers.settlement.status).toBe("pass");
    return receipts;
  });

describe("one authorization for several calls", () => {
  test("later calls sign nothing, add nothing to the money at risk, and are settled together, each by its told cost", async () => {
    const purse = await openPurse();
    const { seller, buyer } = purse;
    const first = await purse.buy(1);
    seller.manners.told = "0.0005";
    seller.manners.cost = 500n;
    const others = [await purse.buy(2), await purse.buy(3)];
    const results = [first, ...others];
    expect(seller.sessions).toHaveLength(1);
    const { token } = sessionOf(purse);
    expect(seller.came.map((came) => [came.token, came.payment !== null])).toEqual([
      [null, true],
      [token, false],
      [token, false],
    ]);
    const payments = results.map(({ receipt }) => receipt.core.payment);
    expect(new Set(payments.map(({ nonce }) => nonce)).size).toBe(1);
    expect(new Set(payments.map(({ salt }) => salt)).size).toBe(3);
    expect(payments.map(({ share }) => share)).toEqual([
      { first: true, kept: "500" },
      { first: false, kept: "500" },
      { first: false, kept: "500" },
    ]);
    // The whole permit counts, once; each call counts as one.
    const before = await buyer.spending();
    expect(before.assets[0]).toMatchObject({ reserved: String(OFFERED), spent: "0" });
    expect(before.callsLastHour).toBe(3);
    expect(await purse.left()).toBe(0n);

    expect((await seller.settle(sessionOf(purse))).success).toBe(true);
    const settled = await settledReceipts(purse, results);
    expect(settled.map(paidAmount)).toEqual(
      ["300", "500", "500"].map((amount) => ({ state: "settled", amount, atMost: false })),
    );
    for (const one of settled) {
      const { notProven, layers } = newestAppraisal(one);
      expect(notProven.join(" ")).toContain("Which part of the transfer was for this call");
      expect(layers.settlement.note).toContain("3 calls, together 1300 in the seller's words");
      expect(layers.payment.status).toBe("pass");
    }
    // Read from the chain again, each tells the same: what the buyer's books add is no word of the chain.
    const policy = appraisalPolicyOf(purse.config, "none");
    for (const one of settled) {
      const { own } = await readChainAgain(one, { chains: purse.chains, policy });
      expect(own.map(({ kind }) => kind)).toEqual(["settlement.x402"]);
    }
    const after = await books(purse);
    expect([after.spent, after.reserved, await purse.left()]).toEqual([1300n, 0n, 1300n]);
    expect(after.recent.map(({ amount, state, reason }) => [amount, state, reason])).toEqual([
      ["500", "settled", null],
      ["500", "settled", null],
      ["300", "settled", null],
    ]);
    // As data and in words an agent reads the same of each call.
    const shown = await spending.run({ buyer }, {});
    const calls = shown.status === "ok" ? shown.data.recent : [];
    expect(calls.map(({ shared }) => shared)).toEqual(after.recent.map(({ shared }) => shared));
    expect(calls.map(({ shared }) => shared)).toEqual(
      ["500", "500", "300"].map((amount) => ({ told: amount, part: amount })),
    );
    expect(shown.text.match(/of an authorization for several calls, 0\.0005 USDC/g)).toHaveLength(2);
    expect(await buyer.audit()).toMatchObject({ ok: true });
    // No told cost and no part changes unseen.
    const { rows } = await sql<{ id: string }>`select id from purchases`.execute(purse.db);
    for (const { id } of rows)
      for (const column of ["reported", "part", "share"]) {
        const set = (value: unknown): Promise<unknown> =>
          sql`update purchases set ${sql.ref(column)} = ${value} where id = ${id}`.execute(purse.db);
        const kept = (
          await sql<{ was: string }>`select ${sql.ref(column)} as was from purchases where id = ${id}`.execute(purse.db)
        ).rows[0]?.was;
        for (const other of ["1", null]) {
          await set(other);
          expect(await buyer.audit(), `${column} of ${id} set to ${other}`).toMatchObject({
            ok: false,
            code: "purchase_altered",
          });
        }
        await set(kept);
      }
    expect(await buyer.audit()).toMatchObject({ ok: true });
  });

  test("T120: the seller's token is in the one row that needs it, and nowhere once the authorization ended", async () => {
    const purse = await openPurse();
    const told: string[] = [];
    const onProgress = ({ message }: { message: string }): void => void told.push(message);
    const call = { model: "m", input: { x: [1] } };
    const first = await buyWith(purse.buyer, call, { onProgress });
    const second = await buyWith(purse.buyer, { ...call, input: { x: [2] } }, { onProgress });
    const { token } = sessionOf(purse);
    const holding = async (): Promise<string[]> => {
      const tables = ["purchases", "receipts", "log", "jobs", "sightings", "calls", "shared_authorizations"] as const;
      const rows = await Promise.all(tables.map((table) => purse.db.selectFrom(table).selectAll().execute()));
      return tables.filter((_table, at) => JSON.stringify(rows[at]).includes(token));
    };
    expect(await holding()).toEqual(["shared_authorizations"]);
    const shown = JSON.stringify([first, second, told, await purse.buyer.spending()]);
    expect(shown).not.toContain(token);
    await purse.seller.settle(sessionOf(purse));
    await settledReceipts(purse, [first, second]);
    expect(await holding()).toEqual([]);
  });

  test("one purchase justifies one action: two calls on one permit are two purchases", async () => {
    const purse = await openPurse();
    const [first, second] = [await purse.buy(1), await purse.buy(2)];
    const claim = (one: BuyResult): Promise<boolean> => purse.buyer.claimReceipt(one.receipt.id, "trade");
    expect([await claim(first), await claim(second), await claim(first), await claim(second)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    for (const { receipt } of [first, second]) {
      expect(await purse.buyer.claims(receipt.id)).toHaveLength(1);
      // Its own file says nothing new, and no other file of the authorization is taken for it.
      expect((await purse.buyer.importReceipt(await purse.buyer.getReceipt(receipt.id))).id).toBe(receipt.id);
      const { core } = receipt;
      const forged = createReceipt({ ...core, payment: { ...core.payment, salt: `0x${"7".repeat(64)}` } });
      await expect(purse.buyer.importReceipt(forged)).rejects.toMatchObject({ code: "purchase_known" });
    }
  });

  test("a seller that takes the first payment again is shown it byte for byte, where its owner says so", async () => {
    const purse = await openPurse({ terms: { shownBy: "payment" } });
    purse.seller.manners.givesToken = false;
    const results = [await purse.buy(1), await purse.buy(2)];
    expect(purse.seller.sessions).toHaveLength(1);
    const [first, second] = purse.seller.came;
    expect(first?.payment).toBe(second?.payment);
    expect(second?.token).toBeNull();
    await purse.seller.settle(sessionOf(purse));
    await settledReceipts(purse, results);
    expect((await books(purse)).spent).toBe(await purse.left());
  });

  test("T120: without a token, past the idle time or near the end each call signs for itself", async () => {
    const silent = await openPurse();
    silent.seller.manners.givesToken = false;
    await silent.buy(1);
    await silent.buy(2);
    expect(silent.seller.sessions).toHaveLength(2);

    const idle = await openPurse({ terms: { idleSeconds: 20 } });
    await idle.buy(1);
    idle.passes(21);
    await idle.buy(2);
    expect(idle.seller.sessions).toHaveLength(2);
    const tokens = await idle.db
      .selectFrom("shared_authorizations")
      .select(["token", "open"])
      .orderBy("used_at")
      .execute();
    expect(tokens).toEqual([
      { token: null, open: 0 },
      { token: sessionOf(idle, 1).token, open: 1 },
    ]);
  });
});

describe("a seller that cheats on a shared authorization", () => {
  test("T121: settling more than it told is shown in each receipt and puts it on hold, and the books have what left the wallet", async () => {
    const purse = await openPurse();
    const results = [await purse.buy(1), await purse.buy(2)];
    // The same as where somebody else used the token: the seller adds the cost of that.
    expect((await purse.seller.settle(sessionOf(purse), 6000n)).success).toBe(true);
    expect((await purse.seller.settle(sessionOf(purse), 4000n)).success).toBe(false);
    const receipts = await settledReceipts(purse, results);
    for (const one of receipts)
      expect(newestAppraisal(one).layers.settlement.note).toContain("together 600 in the seller's words");
    const { spent, reserved, recent } = await books(purse);
    expect([spent, reserved, await purse.left()]).toEqual([6000n, 0n, 6000n]);
    expect(recent.map(({ amount, reason, shared }) => [amount, reason, shared?.told])).toEqual([
      ["3000", "moved_more_than_told", "300"],
      ["3000", "moved_more_than_told", "300"],
    ]);
    const [held] = await purse.buyer.sellers();
    expect(held?.hold?.reason).toContain("moved_more_than_told");
    await expect(purse.buy(3)).rejects.toMatchObject({ money: "not-moved" });
  });

  test("settling less than it told is shown, and the parts are what moved", async () => {
    const purse = await openPurse();
    const results = [await purse.buy(1), await purse.buy(2), await purse.buy(3)];
    await purse.seller.settle(sessionOf(purse), 301n);
    await settledReceipts(purse, results);
    const { spent, recent } = await books(purse);
    expect([spent, await purse.left()]).toEqual([301n, 301n]);
    expect(recent.reduce((sum, { amount }) => sum + BigInt(amount), 0n)).toBe(301n);
    expect((await purse.buyer.sellers())[0]?.hold).toBeNull();
  });

  test("T121: forgetting the session costs one 402: the call signs for itself, and is paid once", async () => {
    const purse = await openPurse();
    await purse.buy(1);
    sessionOf(purse).isOver = true;
    const second = await purse.buy(2);
    expect(second.receipt.core.payment.share).toMatchObject({ first: true });
    expect(purse.seller.came.map(({ token }) => token !== null)).toEqual([false, true, false]);
    expect(await statesOf(purse.db)).toEqual([
      ["answered", null, null],
      ["released", "share_refused", null],
      ["answered", null, null],
    ]);
    expect((await purse.buyer.spending()).assets[0]).toMatchObject({ reserved: String(2n * OFFERED) });
    const token = await purse.db.selectFrom("shared_authorizations").select("token").orderBy("used_at").execute();
    expect(token[0]).toEqual({ token: null });
  });

  test("T121: a cap reached meanwhile refuses the authorization that would follow, and nothing more is signed", async () => {
    const purse = await openPurse({ caps: { perHour: String(OFFERED), perCall: String(OFFERED) } });
    await purse.buy(1);
    await purse.buy(2);
    sessionOf(purse).isOver = true;
    await expect(purse.buy(3)).rejects.toMatchObject({ code: "over_hour_cap", money: "not-moved" });
    expect(purse.seller.sessions).toHaveLength(1);
  });

  test("calls end where the number or the amount is used up, by the seller's own words", async () => {
    const few = await openPurse({ terms: { calls: 2 } });
    await few.buy(1);
    await few.buy(2);
    await few.buy(3);
    expect(few.seller.sessions.map(({ calls }) => calls)).toEqual([2, 1]);

    const dear = await openPurse();
    Object.assign(dear.seller.manners, { cost: 4900n, told: "0.0049" });
    await dear.buy(1);
    await dear.buy(2);
    await dear.buy(3);
    expect(dear.seller.sessions.map(({ calls }) => calls)).toEqual([2, 1]);
  });

  test("dying over a call: it is sent no second time, and is paid anew once the chain shows that nothing was taken", async () => {
    const purse = await openPurse();
    const first = await purse.buy(1);
    purse.seller.manners.fails = "breaks_uncounted";
    await expect(purse.buy(2)).rejects.toMatchObject({ money: "may-move" });
    purse.seller.manners.fails = "no";
    for (let again = 0; again < 2; again += 1)
      await expect(purse.buy(2)).rejects.toMatchObject({ code: "payment_in_doubt", money: "may-move" });
    expect(purse.seller.came).toHaveLength(2);
    expect(purse.seller.sessions).toHaveLength(1);
    await purse.seller.settle(sessionOf(purse));
    await settledReceipts(purse, [first]);
    expect(await statesOf(purse.db)).toEqual([
      ["settled", null, "300"],
      ["released", "share_not_charged", "0"],
    ]);
    expect((await purse.buy(2)).receipt.core.payment.share).toMatchObject({ first: true });
    expect((await books(purse)).spent).toBe(await purse.left());
    expect((await purse.buyer.sellers())[0]?.hold).toBeNull();
  });

  test("dying over the first call: it is sent no second time either", async () => {
    const purse = await openPurse();
    purse.seller.manners.fails = "breaks";
    await expect(purse.buy(1)).rejects.toMatchObject({ money: "may-move" });
    purse.seller.manners.fails = "no";
    await expect(purse.buy(1)).rejects.toMatchObject({ code: "payment_in_doubt" });
    expect(purse.seller.came).toHaveLength(1);
  });

  test("charging a call whose answer failed is that call's cost, and no overcharge of the others", async () => {
    const purse = await openPurse();
    const first = await purse.buy(1);
    purse.seller.manners.fails = "error_counted";
    await expect(purse.buy(2)).rejects.toMatchObject({ code: "seller_error", money: "may-move" });
    await expect(purse.buy(2)).rejects.toMatchObject({ code: "seller_error", money: "may-move" });
    expect(purse.seller.came).toHaveLength(2);
    await purse.seller.settle(sessionOf(purse));
    await settledReceipts(purse, [first]);
    expect(await statesOf(purse.db)).toEqual([
      ["settled", null, "300"],
      ["settled", null, "300"],
    ]);
    await expect(purse.buy(2)).rejects.toMatchObject({ code: "seller_error", money: "moved" });
    await purse.buyer.reconcile();
    expect((await purse.buyer.sellers())[0]?.hold?.reason).toContain("paid_and_refused");
  });

  test("a call that hangs until the settlement is seen hides no overcharge once it has its answer", async () => {
    const purse = await openPurse();
    const first = await purse.buy(1);
    const { released, reached } = purse.seller.hold();
    const late = purse.buy(2);
    await reached;
    await purse.seller.settle(sessionOf(purse), 6000n);
    await settledReceipts(purse, [first]);
    await purse.buyer.reconcile();
    expect((await purse.buyer.sellers())[0]?.hold?.reason ?? "").not.toContain("moved_more_than_told");
    released();
    await late;
    expect((await statesOf(purse.db)).map(([, reason]) => reason)).toEqual([
      "moved_more_than_told",
      "moved_more_than_told",
    ]);
  });

  test("a 402 to a later call: the next permit is at the price of now", async () => {
    const purse = await openPurse();
    await purse.buy(1);
    sessionOf(purse).isOver = true;
    purse.seller.manners.asks = OFFERED / 2n;
    const second = await purse.buy(2);
    expect(second.receipt.core.payment.amount).toBe(String(OFFERED / 2n));
    expect(purse.seller.sessions).toHaveLength(2);
  });

  test("T121: taking money for a call that it did not answer puts it on hold, and the call is paid no second time", async () => {
    const purse = await openPurse();
    const first = await purse.buy(1);
    purse.seller.manners.fails = "breaks";
    await expect(purse.buy(2)).rejects.toMatchObject({ money: "may-move" });
    await purse.seller.settle(sessionOf(purse));
    await settledReceipts(purse, [first]);
    expect(await statesOf(purse.db)).toEqual([
      ["settled", null, "300"],
      ["settled", null, "300"],
    ]);
    expect((await books(purse)).spent).toBe(await purse.left());
    await expect(purse.buy(2)).rejects.toMatchObject({ code: "paid_not_served", money: "moved" });
    expect(purse.seller.sessions).toHaveLength(1);
    expect((await purse.buyer.sellers())[0]?.hold?.reason).toContain("paid_not_served");
  });
});

describe("several processes on one shared authorization", () => {
  test("calls made at once in two of them never take more places than there are", async () => {
    const purse = await openPurse({ terms: { calls: 4 } });
    await purse.buy(1);
    const other = await purse.open();
    const calls = [2, 3, 4, 5, 6, 7].map((x) =>
      buyWith(x % 2 === 0 ? purse.buyer : other, { model: "m", input: { x: [x] }, idempotencyKey: `at-once-${x}` }),
    );
    const results = await Promise.all(calls);
    expect(results.every(({ receipt }) => receipt.core.payment.share !== undefined)).toBe(true);
    const { sessions } = purse.seller;
    expect(sessionOf(purse).calls).toBe(4);
    expect(sessions.flatMap(({ asked }) => asked).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const { assets } = await purse.buyer.spending();
    expect(assets[0]?.reserved).toBe(String(OFFERED * BigInt(sessions.length)));
  });

  test.each([
    ["turned down", "refuses" as const],
    ["served", "no" as const],
  ])(
    "T121: a call taken up by another process while it is with the seller is %s, and charged once",
    async (_end, fails) => {
      const purse = await openPurse();
      await purse.buy(1);
      purse.seller.manners.fails = fails;
      const { reached, released } = purse.seller.hold();
      const slow = purse.buy(2);
      await reached;
      purse.seller.manners.fails = "no";
      // Its lease has run out by the clock of the other.
      const other = await purse.open(() => new Date(purse.clock().getTime() + 20_000));
      const call = { model: "m", input: { x: [2] }, idempotencyKey: "call-2-of-this-test" };
      const again = (): Promise<BuyResult> => buyWith(other, call);
      await expect(again()).rejects.toMatchObject({ code: "payment_in_doubt", money: "may-move" });
      released();
      await slow.catch(() => undefined);
      // Whoever ended it, there is one answer under its key.
      const { receipt } = await again();
      expect((await purse.buy(2)).receipt.id).toBe(receipt.id);
      const { sessions } = purse.seller;
      expect(sessions.flatMap(({ asked }) => asked)).toEqual([1, 2]);
      expect(sessions).toHaveLength(fails === "no" ? 1 : 2);
      for (const session of sessions) expect((await purse.seller.settle(session)).success).toBe(true);
      await eventually(async () => expect((await books(purse)).reserved).toBe(0n));
      expect([(await books(purse)).spent, await purse.left()]).toEqual([600n, 600n]);
      expect(await purse.buyer.audit()).toMatchObject({ ok: true });
    },
  );

  test("T121: wherever a process dies over a later call, it is sent once at most, and the next one ends it", async () => {
    const purse = await openPurse({ terms: { calls: 1000 }, caps: { perHour: "900000", perDay: "900000" } });
    await purse.buy(0);
    let deaths = 0;
    for (let at = 1; ; at += 1) {
      let reads = 0;
      let dead = false;
      // Each step of a call asks the time: at one of them the process is gone for good.
      const dying = await purse.open(() => {
        reads += dead ? 0 : 1;
        if (dead || reads > at) {
          dead = true;
          throw new Error("the process is gone");
        }
        return purse.clock();
      });
      const call = { model: "m", input: { x: [at] }, idempotencyKey: `dies-at-${at}-of-this` };
      const ended = await buyWith(dying, call).then(
        () => true,
        () => false,
      );
      // Several payments in doubt put a seller on hold.
      await purse.buyer.releaseSeller("session").catch(() => undefined);
      // What was sent and has no answer is sent no second time.
      const next = await buyWith(purse.buyer, call).then(
        () => "bought",
        (error: unknown) => (Proof402Error.isInstance(error) ? error.code : "another"),
      );
      const charged = purse.seller.sessions.flatMap(({ asked }) => asked).filter((x) => x === at);
      expect(
        [
          ["bought", 1],
          ["payment_in_doubt", 1],
          ["payment_in_doubt", 0],
        ],
        `dead at ${at}`,
      ).toContainEqual([next, charged.length]);
      if (ended && !dead) break;
      deaths += 1;
    }
    expect(deaths).toBeGreaterThan(5);
    for (const session of purse.seller.sessions) expect((await purse.seller.settle(session)).success).toBe(true);
    await eventually(async () => expect((await books(purse)).reserved).toBe(0n));
    const { spent } = await books(purse);
    expect(spent).toBe(await purse.left());
    expect(await purse.buyer.audit()).toMatchObject({ ok: true });
  });
});

describe("an authorization that nothing was taken of", () => {
  test("T121: is given back for all its calls together, once it has ended on chain", async () => {
    const purse = await openPurse();
    const results = [await purse.buy(1), await purse.buy(2)];
    const { client } = market.devnet.bank;
    await client.request({ method: "evm_increaseTime", params: ["0x190"] } as never);
    await client.request({ method: "evm_mine", params: [] } as never);
    purse.passes(400);
    await eventually(async () => expect((await books(purse)).reserved).toBe(0n));
    expect((await purse.seller.settle(sessionOf(purse))).success).toBe(false);
    expect(await statesOf(purse.db)).toEqual([
      ["released", "authorization_expired", null],
      ["released", "authorization_expired", null],
    ]);
    expect((await purse.buyer.spending()).assets[0]).toMatchObject({ reserved: "0", spent: "0" });
    expect(await purse.left()).toBe(0n);
    for (const { receipt } of results)
      await eventually(async () =>
        expect(newestAppraisal(await purse.buyer.getReceipt(receipt.id)).layers.settlement).toMatchObject({
          status: "skip",
          code: "authorization_expired",
        }),
      );
  });
});
