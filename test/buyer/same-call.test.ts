import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuyResult, Buyer, BuyRequest } from "../../src/buyer/types.ts";
import { FUNDS, isPayment, openWorld, PRICE, type Attack, type Trick, type World } from "../hostile/world.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { buyWith } from "../support/buy.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const CALL: BuyRequest = { model: "eth-risk", input: ETH_FEATURES };

/** A call without a key of its own. */
async function buy(buyer: Buyer, more: Partial<BuyRequest> = {}, signal?: AbortSignal): Promise<BuyResult> {
  const result = await buyWith(buyer, { ...CALL, ...more }, signal === undefined ? {} : { signal });
  return result;
}

/** An honest seller on a bad line: it serves and settles, and the first answer to each payment never arrives. */
function lossy(): Trick {
  const lost = new Set<string>();
  return async (request, honest) => {
    const answer = await honest();
    const payment = request.headers["payment-signature"];
    if (payment === undefined || lost.has(payment)) return answer;
    lost.add(payment);
    return new Response(null, { status: 302, headers: { location: "/elsewhere" } });
  };
}

/** A call that the caller gives up once its payment is on its way; `answer` lets the seller answer. */
async function givenUp(more: Partial<BuyRequest> = {}) {
  let answer = (): void => undefined;
  const held = new Promise<void>((resolve) => (answer = resolve));
  const attack = await world.attack(async (request, honest) => {
    const response = await honest();
    if (isPayment(request)) await held;
    return response;
  });
  const abort = new AbortController();
  const call = failure(buy(attack.buyer, more, abort.signal));
  await eventually(() => expect(attack.payments()).toHaveLength(1));
  abort.abort();
  return { attack, error: await call, answer };
}
const journalOf = (attack: Attack) =>
  attack.using((db) => db.selectFrom("purchases").select(["state", "receipt_id"]).execute());

describe("T32: a call without a key that is made again", () => {
  test("because its answer was lost takes up the open one: one payment, the answer, and the next is a new call", async () => {
    const attack = await world.attack(lossy());
    const error = await failure(buy(attack.buyer));
    expect(error).toMatchObject({ money: "may-move", idempotencyKey: expect.any(String) });
    const again = await buy(attack.buyer);
    expect(again).toMatchObject({ paidNow: false, idempotencyKey: error.idempotencyKey });
    expect(attack.payments()).toHaveLength(1);
    // That answer was told: who asks once more wants another one.
    await failure(buy(attack.buyer));
    const third = await buy(attack.buyer);
    expect(third.idempotencyKey).not.toBe(again.idempotencyKey);
    expect(attack.payments()).toHaveLength(2);
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("while the first is under way waits for the same answer", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const results = await Promise.all([buy(attack.buyer), buy(attack.buyer), buy(attack.buyer)]);
    expect(new Set(results.map(({ receipt }) => receipt.id)).size).toBe(1);
    expect(results.filter(({ paidNow }) => paidNow)).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("after it was answered is a new call", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const [first, second] = [await buy(attack.buyer), await buy(attack.buyer)];
    expect(second.paidNow && first.paidNow).toBe(true);
    expect(second.receipt.id).not.toBe(first.receipt.id);
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("by a process started later takes up the open one, by another wallet on the same database it does not", async () => {
    const attack = await world.attack(lossy());
    const error = await failure(buy(attack.buyer));
    await attack.buyer.close();
    const stranger = generatePrivateKey();
    const other = await attack.reopen(undefined, { key: stranger });
    await world.market.devnet.bank.token.mint((await other.spending()).payer as `0x${string}`, FUNDS);
    // Once the payment is seen on chain, its seller is on hold for the lost answer.
    await eventually(() => other.releaseSeller("honest"));
    const theirs = await failure(buy(other));
    expect(theirs.idempotencyKey).not.toBe(error.idempotencyKey);
    expect(attack.payments()).toHaveLength(2);
    const later = await attack.reopen();
    expect(await buy(later)).toMatchObject({ paidNow: false, idempotencyKey: error.idempotencyKey });
    expect(attack.payments()).toHaveLength(2);
    expect(await world.market.devnet.balanceOf(attack.payer)).toBe(FUNDS - PRICE);
  });

  test.each<[string, Partial<BuyRequest>]>([
    ["another input", { input: { features: [0, 0, 0, 0, 0, 0, 0, 0] } }],
    ["another bound", { maxUsd: 0.05 }],
    ["another assurance", { assurance: "signed" }],
  ])("with %s is another call", async (_name, more) => {
    const attack = await world.attack(lossy());
    const error = await failure(buy(attack.buyer));
    const other = await failure(buy(attack.buyer, more));
    expect(other.idempotencyKey).not.toBe(error.idempotencyKey);
    expect(attack.payments()).toHaveLength(2);
  });

  test("with a key of its own is the call of that key and of no other that is open", async () => {
    const attack = await world.attack(lossy());
    const error = await failure(buy(attack.buyer));
    const own = crypto.randomUUID();
    expect(await failure(buy(attack.buyer, { idempotencyKey: own }))).toMatchObject({ idempotencyKey: own });
    expect(attack.payments()).toHaveLength(2);
    // Two are open now; each later call without a key takes up one of them, and pays for none.
    const [one, other] = [await buy(attack.buyer), await buy(attack.buyer)];
    expect(new Set([one.idempotencyKey, other.idempotencyKey])).toEqual(new Set([own, error.idempotencyKey]));
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("under a surface's name for it is that call, whatever else is open", async () => {
    const attack = await world.attack(lossy());
    await failure(buy(attack.buyer, { callKey: "surface-call-1" }));
    // Another name takes up the open one; its own name still means it afterwards.
    const taken = await buy(attack.buyer, { callKey: "surface-call-2" });
    expect(taken).toMatchObject({ idempotencyKey: "surface-call-1", paidNow: false });
    expect(await buy(attack.buyer, { callKey: "surface-call-1" })).toMatchObject({ receipt: { id: taken.receipt.id } });
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("a key that names another call is refused, and says what that one's money came to", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const idempotencyKey = crypto.randomUUID();
    const { receipt } = await buy(attack.buyer, { idempotencyKey });
    await attack.buyer.getReceipt(receipt.id, { waitSeconds: 120 });
    const error = await failure(buy(attack.buyer, { idempotencyKey, maxUsd: 0.05 }));
    expect(error).toMatchObject({ code: "idempotency_conflict", money: "moved", idempotencyKey });
    expect(attack.payments()).toHaveLength(1);
  });

  test("a key with which nothing was ever signed may name another call", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const idempotencyKey = crypto.randomUUID();
    await failure(buy(attack.buyer, { idempotencyKey, maxUsd: 0.001 }));
    expect(await buy(attack.buyer, { idempotencyKey })).toMatchObject({ paidNow: true });
  });
});

describe("T33: a caller that gives up after its payment went out", () => {
  test("hears at once what it has out and under which key; the answer is stored all the same, and an equal call gets it", async () => {
    const { attack, error, answer } = await givenUp();
    expect(error).toMatchObject({ code: "aborted", money: "may-move", idempotencyKey: expect.any(String) });
    expect(error.next).toMatch(/same idempotency key/);
    answer();
    const result = await buy(attack.buyer);
    expect(result).toMatchObject({ paidNow: false, stored: true, idempotencyKey: error.idempotencyKey });
    expect(attack.seen.filter(isPayment)).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("and closes its buyer: closing waits until the receipt is stored, and every call hears what it has out", async () => {
    const { attack, answer, error } = await givenUp({ wait: "verified" });
    const { idempotencyKey = "" } = error;
    const closing = attack.buyer.close();
    // The chain may be seen to have moved it by then.
    const refused = { code: "buyer_closed", money: expect.stringMatching(/^(?:may-move|moved)$/), idempotencyKey };
    const unspent = { code: "buyer_closed", money: "not-moved", idempotencyKey: undefined };
    const told = async (): Promise<unknown[]> => [
      await failure(buy(attack.buyer)),
      await failure(buy(attack.buyer, { idempotencyKey })),
      await failure(buy(attack.buyer, { idempotencyKey: crypto.randomUUID() })),
    ];
    const asSaid = [refused, refused, unspent].map((one) => expect.objectContaining(one));
    expect(await told()).toEqual(asSaid);
    answer();
    await closing;
    expect(await told()).toEqual(asSaid);
    expect(await journalOf(attack)).toEqual([
      { state: expect.stringMatching(/^(?:answered|settled)$/), receipt_id: expect.stringMatching(/^p402_/) },
    ]);
  });

  test("and asks again much later wants an answer of that time", async () => {
    const { attack, error, answer } = await givenUp();
    answer();
    await eventually(async () => expect((await attack.buyer.listReceipts()).length).toBe(1));
    await attack.using((db) =>
      db
        .updateTable("purchases")
        .set({ answered_at: Date.now() - 11 * 60_000 })
        .execute(),
    );
    const later = await buy(attack.buyer);
    expect(later).toMatchObject({ paidNow: true });
    expect(later.idempotencyKey).not.toBe(error.idempotencyKey);
    // Its own key still has the first one's.
    const first = await buy(attack.buyer, { idempotencyKey: error.idempotencyKey ?? "" });
    expect(first).toMatchObject({ paidNow: false });
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("a wait for the verdict ends with the buyer, and says what is stored", async () => {
    // The settlement never has its confirmations, so the verdict stays pending.
    const attack = await world.attack(
      (_request, honest) => honest(),
      (config) => config.networks.forEach((network) => (network.confirmations = 1000)),
    );
    const waiting = failure(buy(attack.buyer, { wait: "verified" }));
    waiting.catch(() => undefined);
    await eventually(async () => expect((await attack.buyer.listReceipts()).length).toBe(1));
    await attack.buyer.close();
    const error = await waiting;
    expect(error.money).not.toBe("not-moved");
    expect(error.message).toMatch(/receipt p402_\w+ are stored/);
  });

  test("before a person is asked ends the call, and the person is not asked", async () => {
    const attack = await world.attack(
      (_request, honest) => honest(),
      (config) => config.payment.assets.forEach((asset) => (asset.approveAbove = "0")),
    );
    const abort = new AbortController();
    let asked = 0;
    const approve = (): Promise<"approved"> => {
      asked += 1;
      return Promise.resolve("approved");
    };
    const onProgress = ({ step }: { step: string }): void => {
      if (step === "quoted") abort.abort();
    };
    const error = await failure(buyWith(attack.buyer, CALL, { approve, onProgress, signal: abort.signal }));
    expect(error).toMatchObject({ code: "aborted", money: "not-moved" });
    expect(asked).toBe(0);
  });

  test("while a person is asked ends the call although the person never answers", async () => {
    const attack = await world.attack(
      (_request, honest) => honest(),
      (config) => config.payment.assets.forEach((asset) => (asset.approveAbove = "0")),
    );
    const abort = new AbortController();
    const approve = (): Promise<never> => {
      abort.abort();
      return new Promise(() => undefined);
    };
    const error = await failure(buyWith(attack.buyer, CALL, { approve, signal: abort.signal }));
    expect(error).toMatchObject({ code: "aborted", money: "not-moved" });
    expect(await journalOf(attack)).toEqual([]);
  });
});
