import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { readPurchase } from "../../src/payment/journal.ts";
import { reconcile } from "../../src/payment/reconcile.ts";
import { noteClaim } from "../../src/payment/sightings.ts";
import { spending } from "../../src/payment/spending.ts";
import type { PurchaseRecord } from "../../src/payment/types.ts";
import { lookOnce } from "../../src/payment/witness.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { paidAmount } from "../../src/receipts/paid.ts";
import { judgeSettlement } from "../../src/verify/layers/payment.ts";
import { receiptCore } from "../support/receipt-core.ts";
import { rpcInFront, type Lie, type RpcCall } from "../support/rpc.ts";
import { openGround, type Ground } from "./chain/purchases.ts";
import { NETWORK, temporaryDirectory } from "./fixtures.ts";

const FALSE = `0x${"0".repeat(64)}`;
const USED = "0x" + "0".repeat(63) + "1";

let ground: Ground;
beforeAll(async () => {
  ground = await openGround("20000");
});
afterAll(() => ground.stop());

async function freshDatabase(path = ":memory:"): Promise<Db> {
  const db = await openDatabase(path);
  onTestFinished(() => db.destroy());
  return db;
}

const chainAt = (rpcUrl: string, witnessRpcUrl?: string): Chain =>
  openChain({ network: NETWORK, rpcUrl, witnessRpcUrl, confirmations: 0, pollMilliseconds: 20 });

const walk = async (db: Db, chain: Chain, now?: Date) =>
  reconcile({ db, chains: new Map([[NETWORK, chain]]), now: now ?? (await ground.now()) });

const counted = async (db: Db): Promise<string | undefined> =>
  (await spending(db, ground.policy, await ground.now())).assets[0]?.windows.find(({ name }) => name === "total")?.used;

/** Says of every authorization that it is unused. */
const unused = ({ method, params }: RpcCall): Lie | undefined => {
  const [call] = params as [{ data?: string } | undefined];
  return method === "eth_call" && call?.data?.startsWith("0xe94a0102") === true ? { result: FALSE } : undefined;
};

/** Says that every block came so many seconds later than it did. */
const later =
  (seconds: number) =>
  async (call: RpcCall, honest: () => Promise<unknown>): Promise<Lie | undefined> => {
    if (call.method !== "eth_getBlockByNumber") return unused(call);
    const block = (await honest()) as { timestamp: string };
    return { result: { ...block, timestamp: `0x${(Number(block.timestamp) + seconds).toString(16)}` } };
  };

const lookAt = async (db: Db, chain: Chain, { payment, createdAt }: PurchaseRecord, now?: Date) =>
  lookOnce({ db, chain, payment, now: now ?? (await ground.now()), since: new Date(createdAt) });

describe("T39: an RPC that lies about an authorization's end", () => {
  it.each([120, 600, 1_000_000])(
    "with blocks of %i s ahead gives nothing back: what leaves the wallet stays within the cap",
    async (seconds) => {
      const db = await freshDatabase();
      const rpc = await rpcInFront(ground.anvil.rpcUrl, later(seconds));
      const chain = chainAt(rpc.url);
      let left = 0n;
      const refusals: string[] = [];
      for (let turn = 0; turn < 4; turn += 1) {
        const purchase = await ground.buy(db);
        if ("code" in purchase) {
          refusals.push(purchase.code);
        } else {
          await ground.redeem(purchase);
          left += BigInt(purchase.payment.amount);
        }
        expect(await walk(db, chain)).toMatchObject({ released: 0 });
      }
      expect(refusals).toEqual(["over_hour_cap", "over_hour_cap"]);
      expect(left).toBe(20_000n);
      expect(await counted(db)).toBe("20000");
    },
  );

  it("that it was seen to be used is contradicted, in another process of a later day, too", async () => {
    const path = `${temporaryDirectory()}/journal.db`;
    const first = await freshDatabase(path);
    const purchase = await ground.bought(first);
    await ground.redeem(purchase);
    const patient = openChain({
      network: NETWORK,
      rpcUrl: ground.anvil.rpcUrl,
      confirmations: 3,
      pollMilliseconds: 20,
    });
    expect(await walk(first, patient)).toMatchObject({ settled: 0, pending: 1, contradicted: [] });
    await ground.passEnd(purchase);

    const second = await freshDatabase(path);
    const rpc = await rpcInFront(ground.anvil.rpcUrl, unused);
    expect(await walk(second, chainAt(rpc.url))).toMatchObject({ released: 0, pending: 1, contradicted: [NETWORK] });
    expect(await counted(second)).toBe("10000");
    // The chain as it is: settled after all.
    expect(await walk(second, chainAt(ground.anvil.rpcUrl))).toMatchObject({ settled: 1, contradicted: [] });
  });

  it("that its seller says was paid is contradicted", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    const transaction = await ground.redeem(purchase);
    await noteClaim(db, purchase.payment, { success: true, transaction });
    await ground.passEnd(purchase);
    const rpc = await rpcInFront(ground.anvil.rpcUrl, (call) =>
      call.method === "eth_getTransactionReceipt" ? { result: null } : unused(call),
    );
    expect(await walk(db, chainAt(rpc.url))).toMatchObject({ released: 0, contradicted: [NETWORK] });
  });

  it("that was seen to be used is not given back, however long it lies and whatever its seller says", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    const transaction = await ground.redeem(purchase);
    await noteClaim(db, purchase.payment, { success: true, transaction });
    const patient = openChain({
      network: NETWORK,
      rpcUrl: ground.anvil.rpcUrl,
      confirmations: 3,
      pollMilliseconds: 20,
    });
    expect(await walk(db, patient)).toMatchObject({ settled: 0, pending: 1 });
    await ground.passEnd(purchase);
    const rpc = await rpcInFront(ground.anvil.rpcUrl, (call) =>
      call.method === "eth_getTransactionReceipt" ? { result: null } : unused(call),
    );
    for (const minutes of [0, 16, 600]) {
      const now = new Date((await ground.now()).getTime() + minutes * 60_000);
      expect(await walk(db, chainAt(rpc.url), now)).toMatchObject({ released: 0, contradicted: [NETWORK] });
    }
    expect(await counted(db)).toBe("10000");
  });

  it("once, and not again at the second look, gives nothing back", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await ground.redeem(purchase);
    await ground.passEnd(purchase);
    let lies = 1;
    const rpc = await rpcInFront(ground.anvil.rpcUrl, (call) => {
      const lie = unused(call);
      return lie !== undefined && lies-- > 0 ? lie : undefined;
    });
    expect(await walk(db, chainAt(rpc.url))).toMatchObject({ released: 0, settled: 1, pending: 0 });
  });

  it("on a chain that has gone back behind what was seen is contradicted", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await ground.passEnd(purchase);
    await ground.chain.client.mine({ blocks: 10 });
    const ahead = await rpcInFront(ground.anvil.rpcUrl, unused);
    expect(await lookAt(db, chainAt(ahead.url), purchase)).toMatchObject({ doubt: null, again: expect.any(Number) });
    const back = await rpcInFront(ground.anvil.rpcUrl, async ({ method, params }, honest) => {
      if (method !== "eth_getBlockByNumber" || params[0] !== "latest") return undefined;
      const block = (await honest()) as { number: string };
      return { result: { ...block, number: `0x${(Number(block.number) - 5).toString(16)}`, timestamp: "0xffffffff" } };
    });
    const end = new Date(0xffffffff * 1000);
    expect(await lookAt(db, chainAt(back.url), purchase, end)).toEqual({ state: "pending", doubt: "contradicted" });
  });

  it("is not needed for one that did end unused: it is given back, whatever our clock says not before its end", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    const before = await ground.now();
    await ground.passEnd(purchase);
    const chain = chainAt(ground.anvil.rpcUrl);
    expect(await walk(db, chain, before)).toMatchObject({ released: 0, pending: 1, contradicted: [] });
    expect(await walk(db, chain)).toMatchObject({ released: 1, pending: 0 });
    expect(await readPurchase(db, purchase.id)).toMatchObject({ state: "released", reason: "authorization_expired" });
  });
});

describe("T89: a seller that says it was paid, in a transaction that never was", () => {
  const invented = { success: true, transaction: `0x${"cd".repeat(32)}` };

  it("holds the caps until the buyer's own RPC has shown for a quarter of an hour that it ended unused", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await noteClaim(db, purchase.payment, invented);
    await ground.passEnd(purchase);
    const end = (await ground.now()).getTime();
    const after = (minutes: number): Promise<unknown> =>
      walk(db, chainAt(ground.anvil.rpcUrl), new Date(end + minutes * 60_000));
    for (const minutes of [0, 14]) expect(await after(minutes)).toMatchObject({ released: 0, contradicted: [NETWORK] });
    expect(await counted(db)).toBe("10000");
    expect(await after(15)).toMatchObject({ released: 1, contradicted: [] });
    expect(await counted(db)).toBe("0");
  });

  it("holds them anew from a look on that did not show it", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await noteClaim(db, purchase.payment, invented);
    const before = await ground.now();
    await ground.passEnd(purchase);
    const end = (await ground.now()).getTime();
    const chain = chainAt(ground.anvil.rpcUrl);
    expect(await walk(db, chain, new Date(end))).toMatchObject({ released: 0 });
    // By a clock that says it has not ended yet.
    expect(await walk(db, chain, before)).toMatchObject({ released: 0 });
    expect(await walk(db, chain, new Date(end + 16 * 60_000))).toMatchObject({ released: 0, contradicted: [NETWORK] });
    expect(await walk(db, chain, new Date(end + 31 * 60_000))).toMatchObject({ released: 1 });
  });
});

describe("T39: a second RPC", () => {
  it("has to agree that an authorization ended unused", async () => {
    const db = await freshDatabase();
    const [used, ended] = [await ground.bought(db), await ground.bought(db)];
    await ground.redeem(used);
    await ground.passEnd(ended);
    const liar = await rpcInFront(ground.anvil.rpcUrl, unused);
    const summary = await walk(db, chainAt(liar.url, ground.anvil.rpcUrl));
    expect(summary).toMatchObject({ settled: 0, released: 1, pending: 1, contradicted: [NETWORK] });
    expect(await readPurchase(db, used.id)).toMatchObject({ state: "sent" });
    expect(await readPurchase(db, ended.id)).toMatchObject({ state: "released" });
  });

  it("outweighs a seller that says it was paid", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await noteClaim(db, purchase.payment, { success: true, transaction: `0x${"cd".repeat(32)}` });
    await ground.passEnd(purchase);
    const honest = await rpcInFront(ground.anvil.rpcUrl, () => undefined);
    expect(await walk(db, chainAt(honest.url))).toMatchObject({ released: 0, contradicted: [NETWORK] });
    expect(await walk(db, chainAt(honest.url, ground.anvil.rpcUrl))).toMatchObject({ released: 1, contradicted: [] });
  });

  it("has to agree that a payment settled, and to be reached", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await ground.redeem(purchase);
    const behind = await rpcInFront(ground.anvil.rpcUrl, (call) =>
      call.method === "eth_getTransactionReceipt" ? { result: null } : unused(call),
    );
    const settled = async (witness: string) => walk(db, chainAt(ground.anvil.rpcUrl, witness));
    expect(await settled(behind.url)).toMatchObject({ settled: 0, pending: 1 });
    expect(await settled("http://127.0.0.1:1")).toMatchObject({ settled: 0, pending: 1, unreachable: [NETWORK] });
    const other = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      method === "eth_chainId" ? { result: "0x1" } : undefined,
    );
    expect(await settled(other.url)).toMatchObject({ settled: 0, pending: 1, unreachable: [NETWORK] });
    await ground.passEnd(purchase);
    expect(await settled(behind.url)).toMatchObject({ settled: 0, pending: 1, contradicted: [NETWORK] });
    const honest = await rpcInFront(ground.anvil.rpcUrl, () => undefined);
    expect(await settled(honest.url)).toMatchObject({ settled: 1, contradicted: [] });
  });
});

describe("T40: a token that takes more than was authorized", () => {
  it("is an error: counted at all that it took, told by its own code, and no settlement that passes", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await ground.chain.call("setSurcharge", ["7"]);
    const transaction = await ground.redeem(purchase);
    await ground.chain.call("setSurcharge", ["0"]);
    const chain = chainAt(ground.anvil.rpcUrl);
    const seen = await lookAt(db, chain, purchase);
    expect(seen).toMatchObject({ state: "settled", transaction, amount: "10007", fault: "token_moved_more" });
    expect(await walk(db, chain)).toMatchObject({ settled: 1, overcharged: [purchase.idempotencyKey] });
    expect(await readPurchase(db, purchase.id)).toMatchObject({
      state: "settled",
      settledAmount: "10007",
      reason: "token_moved_more",
    });
    expect(await counted(db)).toBe("10007");

    if (seen.state !== "settled") throw new Error(seen.state);
    const core = receiptCore("surcharge");
    const sentAt = new Date(purchase.createdAt).toISOString();
    const receipt = { core: { ...core, payment: purchase.payment, request: { ...core.request, sentAt } } };
    const later = [{ at: sentAt, evidence: seen.evidence }];
    expect(paidAmount({ ...receipt, later, appraisals: [] } as never)).toEqual({
      state: "settled",
      amount: "10007",
      atMost: false,
    });
    const judged = judgeSettlement({ ...receipt, later } as never, { clockSkewSeconds: 60 } as never, () => true);
    expect(judged).toMatchObject({ status: "fail", code: "token_moved_more" });
  });

  it("is not what a batch is that settles several payments of one wallet", async () => {
    const db = await freshDatabase();
    const purchase = await ground.bought(db);
    await ground.redeem(purchase);
    const rpc = await rpcInFront(ground.anvil.rpcUrl, async ({ method }, honest) => {
      if (method !== "eth_getTransactionReceipt") return undefined;
      const receipt = (await honest()) as { logs: { topics: string[]; data: string; logIndex: string }[] };
      const others = receipt.logs.map((log) => ({
        ...log,
        topics: log.topics.map((topic) => (topic === purchase.payment.nonce ? USED : topic)),
        data: log.data === "0x" ? log.data : `0x${(9000).toString(16).padStart(64, "0")}`,
        logIndex: `0x${(Number(log.logIndex) + receipt.logs.length).toString(16)}`,
      }));
      return { result: { ...receipt, logs: [...receipt.logs, ...others] } };
    });
    expect(await lookAt(db, chainAt(rpc.url), purchase)).toMatchObject({
      state: "settled",
      amount: "10000",
      fault: null,
    });
  });
});
