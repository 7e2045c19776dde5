import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buyInference } from "../../src/tools/index.ts";
import { callTool } from "../../src/tools/call.ts";
import { isPayment, openWorld, PRICE, type Attack, type Trick, type World } from "../hostile/world.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { allowWrites, refuseWrites } from "../support/both-databases.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

/** Answers a payment once, as sellers without a memory do. */
function forgetful(): Trick {
  const served = new Set<string>();
  return (request, honest) => {
    const payment = request.headers["payment-signature"];
    if (payment === undefined) return honest();
    if (served.has(payment)) return new Response("{}", { status: 402 });
    served.add(payment);
    return honest();
  };
}
/** Makes the database refuse writes of one kind, and takes it back. */
const refuse = (attack: Attack, what: string): Promise<unknown> => attack.using((db) => refuseWrites(db, what));
const allow = (attack: Attack, what: string): Promise<unknown> =>
  attack.using((db) => allowWrites(db, /on (\w+)/.exec(what)?.[1] ?? ""));
const receiptsOf = (attack: Attack) => attack.using((db) => db.selectFrom("receipts").select("id").execute());

const STEPS = ["chosen", "attested", "quoted", "reserved", "paid", "answered", "checked"] as const;

describe("T33: an answer that was paid for is not lost", () => {
  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new TypeError("Invalid state: Controller is already closed");
      },
    ],
    ["rejects", () => Promise.reject(new Error("the stream is gone"))],
  ])("by a listener that %s at every step", async (_name, listener) => {
    const attack = await world.attack(forgetful());
    const steps: string[] = [];
    const result = await attack.buy(
      {},
      {
        onProgress: ({ step }) => {
          steps.push(step);
          return listener() as void;
        },
      },
    );
    expect(steps).toEqual(STEPS);
    expect(result).toMatchObject({ paidNow: true, stored: true });
    expect(await receiptsOf(attack)).toEqual([{ id: result.receipt.id }]);
  });

  test.each(["insert on receipts", "update on purchases when new.receipt_id is not null", "insert on log"])(
    "by a database that takes no %s: it is handed over with the only copy of its receipt, and its seller is not blamed",
    async (what) => {
      const attack = await world.attack((_request, honest) => honest());
      await refuse(attack, what);
      const args = { model: "eth-risk", input: ETH_FEATURES, idempotency_key: crypto.randomUUID() };
      const context = { buyer: attack.buyer, clock: () => new Date() };
      const outcome = await callTool(buyInference, context, args);
      expect(outcome).toMatchObject({ status: "ok", data: { stored: false, paidNow: true, readable: true } });
      expect(outcome.status === "ok" && outcome.text).toMatch(/could not take the receipt.*only copy/);
      expect(await receiptsOf(attack)).toEqual([]);
      await eventually(async () => {
        await attack.buyer.reconcile();
        expect((await attack.buyer.spending()).recent[0]?.state).toBe("settled");
      });
      expect((await attack.buyer.sellers()).map(({ hold }) => hold)).toEqual([null]);
      await allow(attack, what);
      const again = await attack.buy({ idempotencyKey: args.idempotency_key });
      expect(again).toMatchObject({ stored: true, paidNow: false });
      expect(await receiptsOf(attack)).toEqual([{ id: again.receipt.id }]);
      expect(await attack.plunder()).toBe(PRICE);
    },
  );

  test.each([402, 503, "nothing, as it is down,"] as const)(
    "nor is the seller blamed or paid twice that then answers %s instead of a copy",
    async (then) => {
      let handed = false;
      const attack = await world.attack((request, honest) =>
        handed && isPayment(request) ? new Response("{}", { status: Number(then) }) : honest(),
      );
      await refuse(attack, "insert on receipts");
      const idempotencyKey = crypto.randomUUID();
      expect(await attack.buy({ idempotencyKey })).toMatchObject({ stored: false });
      await allow(attack, "insert on receipts");
      handed = true;
      await eventually(async () => {
        await attack.buyer.reconcile();
        expect((await attack.buyer.spending()).recent[0]?.state).toBe("settled");
      });
      if (typeof then === "string") await attack.vanish();
      for (const _time of [1, 2])
        await expect(attack.buy({ idempotencyKey })).rejects.toMatchObject({
          code: "answer_not_kept",
          money: "moved",
          next: expect.stringContaining("The seller owes nothing.") as string,
        });
      await attack.buyer.reconcile();
      expect((await attack.buyer.sellers()).map(({ hold }) => hold)).toEqual([null]);
      expect(await attack.plunder()).toBe(PRICE);
    },
  );

  test.each(["delete on call_leases", "insert on sightings", "update on calls"])(
    "by a database that takes no %s, which only helps later calls",
    async (what) => {
      const attack = await world.attack((_request, honest) => honest());
      await refuse(attack, what);
      const result = await attack.buy();
      expect(result).toMatchObject({ stored: true, paidNow: true });
      expect(await receiptsOf(attack)).toEqual([{ id: result.receipt.id }]);
    },
  );
});

describe("T33: every answer to a payment has a receipt", () => {
  test("one with status 201 is an answer", async () => {
    const attack = await world.attack(async (request, honest) => {
      const answer = await honest();
      return isPayment(request) ? new Response(answer.body, { status: 201, headers: answer.headers }) : answer;
    });
    const result = await attack.buy();
    expect(result).toMatchObject({ readable: true, receipt: { core: { response: { status: 201 } } } });
    expect(await receiptsOf(attack)).toHaveLength(1);
  });

  test.each([400, 422])(
    "one with status %i is refused service: the receipt is named, and nobody pays again",
    async (status) => {
      const attack = await world.attack(async (request, honest) => {
        const answer = await honest();
        return isPayment(request) ? Response.json({ error: "input_too_long" }, { status }) : answer;
      });
      const idempotencyKey = crypto.randomUUID();
      const first = await failure(attack.buy({ idempotencyKey }));
      const [receipt] = await receiptsOf(attack);
      expect(first).toMatchObject({
        code: "seller_refused",
        details: { status, receiptId: receipt?.id },
        idempotencyKey,
      });
      expect(first.message).toContain(receipt?.id);
      expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({ code: "seller_refused" });
      expect(attack.seen.filter(isPayment)).toHaveLength(1);
      // It took the money and gave nothing: nothing more is bought from it.
      await eventually(async () => {
        const [seller] = await attack.buyer.sellers();
        expect(seller?.hold).toMatchObject({ reason: `paid_and_refused: it was paid and answered ${status}` });
      });
      const refused = await failure(attack.buy());
      expect(refused).toMatchObject({
        code: "seller_on_hold",
        money: "not-moved",
        details: { receipts: [receipt?.id], calls: [] },
      });
      expect(refused.message).toContain(`; receipt ${receipt?.id})`);
      expect(await attack.plunder()).toBe(PRICE);
    },
  );
});
