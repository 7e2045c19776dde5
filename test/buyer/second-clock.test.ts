import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { createQueue, LEASE_MS, type NewJob } from "../../src/buyer/background/queue.ts";
import type { BuyResult } from "../../src/buyer/types.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { settlementsOf } from "../support/later.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

type Buyer = Awaited<ReturnType<Market["buyer"]>>;
async function buy(buyer: Buyer): Promise<BuyResult> {
  const result = await buyWith(buyer, {
    model: "eth-risk",
    seller: "honest",
    input: ETH_FEATURES,
    idempotencyKey: crypto.randomUUID(),
  });
  return result;
}

/** The receipt as soon as `wanted` holds of it, told by the buyer itself. */
const until = (buyer: Buyer, id: string, wanted: (receipt: Receipt) => boolean): Promise<Receipt> =>
  new Promise((resolve, reject) => {
    const look = (receipt: Receipt): void => {
      if (receipt.id !== id || !wanted(receipt)) return;
      unsubscribe();
      resolve(receipt);
    };
    const unsubscribe = buyer.onReceipt(look);
    buyer.getReceipt(id).then(look, reject);
  });
const kinds = (receipt: Receipt): string[] => receipt.later.map(({ evidence }) => evidence.kind).toSorted();

describe("what comes after the answer", () => {
  test("lands once each: the settlement, which the verdict waits for, and the inclusion, which it does not", async () => {
    const buyer = await market.buyer();
    const { receipt, appraisal } = await buy(buyer);
    expect(appraisal.layers.inclusion).toMatchObject({ status: "pending", code: "awaiting_inclusion" });
    const verified = await buyer.getReceipt(receipt.id, { waitSeconds: 120 });
    expect(newestAppraisal(verified).verdict).toBe("verified");
    const final = await until(buyer, receipt.id, ({ later }) => later.length === 2);
    expect(kinds(final)).toEqual(["inclusion.merkle", "settlement.x402"]);
    expect(newestAppraisal(final)).toMatchObject({ verdict: "verified", layers: { inclusion: { status: "pass" } } });
    expect((await buyer.audit()).ok).toBe(true);
  });

  test("lands once, however many buyers share the file", async () => {
    let database = "";
    const buyers = [await market.buyer((config) => (database = config.database))];
    for (let more = 0; more < 3; more += 1) buyers.push(await market.buyer((config) => (config.database = database)));
    const [one] = buyers;
    if (one === undefined) throw new Error("there are four");
    const bought = await Promise.all(buyers.map((buyer) => buy(buyer)));
    for (const { receipt } of bought) {
      const final = await eventually(async () => {
        const seen = await one.getReceipt(receipt.id);
        if (seen.later.length < 2) throw new Error("something is still to come");
        return seen;
      });
      expect(kinds(final)).toEqual(["inclusion.merkle", "settlement.x402"]);
    }
  });

  test("is said to be missing where its seller never anchors it, and the verdict stays", async () => {
    const buyer = await market.buyer((config) => {
      for (const { reference } of config.sellers)
        for (const relay of reference.relays) relay.contract = `0x${"5e".repeat(20)}`;
    });
    const { receipt } = await buy(buyer);
    // Its root stands at another contract than the pinned one: that is said at once, and fails the layer.
    const final = await until(buyer, receipt.id, (one) => newestAppraisal(one).layers.inclusion.status === "fail");
    expect(newestAppraisal(final).layers.inclusion.code).toBe("contract_mismatch");
    expect(newestAppraisal(final).verdict).toBe("failed");
    const { models } = await buyer.listModels();
    expect(models.find(({ seller }) => seller.id === "honest")?.seller.state).toBe("on_hold");
  });
});

describe("whoever wants to know", () => {
  test("is told of each verdict that changes, once, and can break nothing", async () => {
    const heard: string[] = [];
    const buyer = await openBuyer({
      config: market.config(),
      wallet: walletFromPrivateKey(market.devnet.privateKey),
      onVerdict({ receipt, verdict }) {
        heard.push(`${receipt.id} ${verdict}`);
        throw new Error("a listener of its own");
      },
    });
    const { receipt } = await buy(buyer);
    await until(buyer, receipt.id, ({ later }) => later.length === 2);
    expect(heard).toEqual([`${receipt.id} pending`, `${receipt.id} verified`]);
    await buyer.close();
  });
});

describe("a seller that its owner released", () => {
  test("stays free whatever still comes to the old answer, and is held again by the next that fails", async () => {
    const buyer = await market.buyer();
    const cheat = () =>
      buyWith(buyer, {
        model: "eth-risk",
        seller: "tampering",
        input: ETH_FEATURES,
        idempotencyKey: crypto.randomUUID(),
      });
    const held = async () => (await buyer.sellers()).find(({ id }) => id === "tampering")?.hold ?? null;
    const result = await cheat();
    expect((await held())?.receiptId).toBe(result.receipt.id);
    await buyer.releaseSeller("tampering");
    await until(buyer, result.receipt.id, (receipt) => settlementsOf(receipt).length === 1);
    expect(await held()).toBeNull();
    await cheat();
    expect((await held())?.receiptId).not.toBe(result.receipt.id);
    await expect(cheat()).rejects.toMatchObject({ code: "seller_on_hold" });
    await expect(buyer.releaseSeller("honest")).rejects.toMatchObject({ code: "seller_not_on_hold" });
  });
});

describe("the queue", () => {
  const job = (changes: Partial<NewJob> = {}): NewJob => ({
    kind: "settlement",
    receiptId: `p402_${crypto.randomUUID()}`,
    payload: { transaction: "0x1" },
    runAt: 1000,
    deadline: 9000,
    ...changes,
  });
  const open = async () => {
    const db = await openDatabase(":memory:");
    return { db, queue: createQueue(db) };
  };

  test("gives a job to one worker at a time, and again when the lease has run out", async () => {
    const { db, queue } = await open();
    await immediate(db, (tx) => queue.add(tx, [job()]));
    expect(await queue.lease(999, ["settlement"])).toBeNull();
    const first = await queue.lease(1000, ["settlement"]);
    expect(first).toMatchObject({ attempts: 1, payload: { transaction: "0x1" } });
    expect(await queue.lease(1000 + LEASE_MS - 1, ["settlement"])).toBeNull();
    const second = await queue.lease(1000 + LEASE_MS, ["settlement"]);
    expect(second?.attempts).toBe(2);
    // Who held it before can neither finish it nor give it back any more.
    if (first === null || second === null) throw new Error("both were leased");
    expect(await immediate(db, (tx) => queue.finish(tx, first, { absent: null, at: new Date() }))).toBe(false);
    await queue.retry(first, { runAt: 0, error: "late" });
    expect(await queue.lease(1000 + LEASE_MS, ["settlement"])).toBeNull();
    expect(await immediate(db, (tx) => queue.finish(tx, second, { absent: null, at: new Date() }))).toBe(true);
    expect(await immediate(db, (tx) => queue.finish(tx, second, { absent: null, at: new Date() }))).toBe(false);
    expect(await queue.nextRun(["settlement"])).toBeNull();
  });

  test("keeps one job per kind and receipt, leaves unknown kinds alone, and says what became of each", async () => {
    const { db, queue } = await open();
    const one = job();
    await immediate(db, (tx) => queue.add(tx, [one, one, { ...one, kind: "from-the-future" }]));
    await immediate(db, (tx) => queue.add(tx, [one]));
    const leased = await queue.lease(2000, ["settlement"]);
    if (leased === null) throw new Error("it was leased");
    expect(await queue.lease(2000, ["settlement"])).toBeNull();
    await queue.retry(leased, { runAt: 5000, error: "chain_unreachable" });
    expect(await queue.nextRun(["settlement"])).toBe(5000);
    const again = await queue.lease(5000, ["settlement"]);
    if (again === null) throw new Error("it was leased");
    await immediate(db, (tx) => queue.finish(tx, again, { absent: "deadline_passed", at: new Date() }));
    expect(await queue.of(db, one.receiptId)).toEqual([
      { kind: "from-the-future", done: false, absent: null },
      { kind: "settlement", done: true, absent: "deadline_passed" },
    ]);
  });

  test("is undone with its caller's transaction", async () => {
    const { db, queue } = await open();
    const work = immediate(db, async (tx) => {
      await queue.add(tx, [job()]);
      throw new Error("crash");
    });
    await expect(work).rejects.toThrow("crash");
    expect(await queue.lease(9999, ["settlement"])).toBeNull();
  });
});
