import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failure } from "../http/servers.ts";
import {
  isCatalog,
  isPayment,
  isPurchase,
  listAt,
  openWorld,
  PRICE,
  quoteWith,
  unpaid,
  type Required,
  type Trick,
  type World,
} from "./world.ts";
import { eventually } from "../support/eventually.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const said = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64");
const dearer = ({ accepts }: Required): void => void Object.assign(accepts[0] ?? {}, { amount: "11000" });

/** Settles the first payment for real and answers it with a 402 all the same; `again` is what it does with it afterwards. */
const settling =
  (seller: { honest: boolean }, payment: (transaction: string) => object | null): Trick =>
  async (request, honest) => {
    if (seller.honest || !isPayment(request)) return isCatalog(request) ? listAt(honest, "11000") : honest();
    seller.honest = true;
    const answer = await honest();
    const settled = JSON.parse(Buffer.from(answer.headers.get("payment-response") ?? "", "base64").toString()) as {
      transaction: string;
    };
    const refused = await quoteWith(unpaid(world, request), dearer);
    const word = payment(settled.transaction);
    if (word !== null) refused.headers.set("payment-response", said(word));
    return refused;
  };

describe("T31: a 402 to a payment that settled is not paid a second time", () => {
  test.each<[string, (transaction: string) => object | null]>([
    [
      "pending, with its transaction",
      (transaction) => ({ success: false, errorReason: "settlement_pending", transaction, network: "eip155:31337" }),
    ],
    ["failed", () => ({ success: false, errorReason: "settlement_failed", transaction: "", network: "eip155:31337" })],
    ["nothing at all", () => null],
  ])("when the seller says %s, the price known or not: the same payment brings the answer", async (_name, word) => {
    for (const known of [false, true]) {
      const seller = { honest: true };
      const attack = await world.attack(settling(seller, word));
      if (known) await attack.buy();
      seller.honest = false;
      const result = await attack.buy();
      expect(result).toMatchObject({ stored: true });
      expect(attack.payments()).toHaveLength(known ? 2 : 1);
      expect(await attack.plunder()).toBe((known ? 2n : 1n) * PRICE);
    }
  });

  test("two turned down, one of them redeemed, the other run out: no third is made for the key", async () => {
    const seller = { greedy: false, asked: 10_000 };
    const attack = await world.attack((request, honest) => {
      if (isCatalog(request)) return listAt(honest, "100000");
      if (!seller.greedy || !isPurchase(request)) return honest();
      seller.asked += 1000;
      return quoteWith(
        unpaid(world, request),
        ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: String(seller.asked) }),
      );
    });
    await attack.buy();
    seller.greedy = true;
    const idempotencyKey = crypto.randomUUID();
    expect(await failure(attack.buy({ idempotencyKey, seller: "honest" }))).toMatchObject({
      code: "payment_rejected",
      money: "may-move",
    });
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual(["10000", "10000", "11000"]);
    // The thief redeems all; the journal is told that the second ran out, which is the worst it could be told.
    await attack.plunder();
    await attack.using((db) =>
      db
        .updateTable("purchases")
        .set({ state: "released" })
        .where("idempotency_key", "=", idempotencyKey)
        .where("attempt", "=", 2)
        .execute(),
    );
    await eventually(async () => {
      await attack.buyer.reconcile();
      const states = (await attack.buyer.spending()).recent.filter((one) => one.idempotencyKey === idempotencyKey);
      expect(states.map(({ state }) => state).toSorted()).toEqual(["released", "settled"]);
    });
    seller.greedy = false;
    // Honest again, it serves what was paid; nothing else is signed.
    const last = await attack.buy({ idempotencyKey, seller: "honest" }).catch((error: unknown) => error);
    expect(last).not.toMatchObject({ money: "not-moved" });
    expect(attack.payments()).toHaveLength(3);
  });
});
