import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import { buyWith } from "../support/buy.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { settlementsOf } from "../support/later.ts";
import { failure } from "../http/servers.ts";
import { isCatalog, isPayment, openWorld, PRICE, type Attack, type Trick, type World } from "./world.ts";

// A process stands still for longer than its lease, with its payment at the seller, and another takes its call over. The
// clock of the other one is ahead by more than a lease lasts.

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const CALL = { model: "eth-risk", input: ETH_FEATURES, idempotencyKey: "taken-over" };
const nothing = (): Response =>
  new Response(new ReadableStream({ start: (stream) => stream.error(new Error("gone")) }));
const busy = (): Response => new Response("{}", { status: 503 });

/** Answers the first payment once it is let go, and every later one at once. */
async function takenOver(first: Trick, later: Trick) {
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  let arrive = (): void => undefined;
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  let payments = 0;
  const attack = await world.attack(async (request, honest) => {
    if (!isPayment(request)) return honest();
    payments += 1;
    if (payments > 1) return later(request, honest);
    const answer = await first(request, honest);
    arrive();
    await held;
    return answer;
  });
  const slow = buyWith(attack.buyer, CALL);
  slow.catch(() => undefined);
  await arrived;
  const other = await attack.reopen(undefined, { clock: () => new Date(Date.now() + 20_000) });
  return { attack, slow, other, letGo };
}

/** What is left at the end: one payment, one receipt that counts, and the seller as it deserves. */
async function ends(attack: Attack, { receipt }: BuyResult, buyers: Buyer[]): Promise<void> {
  await eventually(async () => {
    for (const { id } of await attack.buyer.listReceipts())
      expect(settlementsOf(await attack.buyer.getReceipt(id))).toHaveLength(1);
  });
  const rows = await attack.using((db) =>
    db.selectFrom("purchases").select(["attempt", "state", "receipt_id as receipt"]).execute(),
  );
  expect(rows).toEqual([{ attempt: 1, state: "settled", receipt: receipt.id }]);
  for (const buyer of buyers) {
    expect((await buyWith(buyer, CALL)).receipt.id).toBe(receipt.id);
    expect((await buyer.sellers())[0]?.hold).toBeNull();
  }
  expect(await attack.buyer.audit()).toMatchObject({ ok: true });
  expect(attack.payments()).toHaveLength(1);
  expect(await attack.plunder().catch(() => PRICE)).toBe(PRICE);
}

describe("T20: a process whose call another took over while its payment was at the seller", () => {
  test.each<[string, Trick, string]>([
    ["failure", busy, "seller_error"],
    ["refusal", () => new Response("{}", { status: 409 }), "seller_refused"],
    ["empty answer", () => new Response(""), "seller_error"],
  ])(
    "hands over the good answer that came to it alone: it takes the place of the other's %s",
    async (_what, answer, code) => {
      const { attack, slow, other, letGo } = await takenOver((_request, honest) => honest(), answer);
      expect(await failure(buyWith(other, CALL))).toMatchObject({ code });
      letGo();
      const result = await slow;
      expect(result).toMatchObject({ paidNow: true, stored: true, receipt: { core: { response: { status: 200 } } } });
      await ends(attack, result, [attack.buyer, other]);
    },
  );

  test("hands over the other's good answer where its own is a failure", async () => {
    const { attack, slow, other, letGo } = await takenOver(busy, (_request, honest) => honest());
    const result = await buyWith(other, CALL);
    letGo();
    expect((await slow).receipt.id).toBe(result.receipt.id);
    await ends(attack, result, [attack.buyer, other]);
  });

  test.each<[string, Trick]>([
    ["turns it down", () => new Response("{}", { status: 402 })],
    ["cuts it off", () => nothing()],
  ])("hands over the other's good answer where its own seller %s", async (_what, refuse) => {
    let served = 0;
    const { attack, slow, other, letGo } = await takenOver(refuse, (request, honest) =>
      (served += 1) === 1 ? honest() : refuse(request, honest),
    );
    const result = await buyWith(other, CALL);
    await eventually(async () => expect(await other.reconcile()).toMatchObject({ pending: 0 }));
    letGo();
    const late = await slow;
    expect(late).toMatchObject({ paidNow: true, stored: true });
    expect(late.receipt.id).toBe(result.receipt.id);
    await ends(attack, result, [attack.buyer, other]);
  });

  test("is told that the other makes the call, and of no seller that has not served", async () => {
    let lost = true;
    let toldOf = (): void => undefined;
    const asking = new Promise<void>((resolve) => (toldOf = resolve));
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    let holds = false;
    const attack = await world.attack(async (request, honest) => {
      if (isCatalog(request) && holds) {
        holds = false;
        toldOf();
        await held;
      }
      if (!isPayment(request) || !lost) return honest();
      lost = false;
      await honest();
      return nothing();
    });
    expect(await failure(buyWith(attack.buyer, CALL))).toMatchObject({ code: "answer_lost" });
    await eventually(async () => expect(await attack.buyer.reconcile()).toMatchObject({ pending: 0 }));
    // A process that knows no listing yet stands still while it asks for one.
    const late = await attack.reopen();
    holds = true;
    const slow = failure(buyWith(late, CALL));
    await asking;
    const other = await attack.reopen(undefined, { clock: () => new Date(Date.now() + 20_000) });
    const result = await buyWith(other, CALL);
    letGo();
    expect(await slow).toMatchObject({ code: "call_in_progress", money: "moved", idempotencyKey: CALL.idempotencyKey });
    await ends(attack, result, [attack.buyer, late, other]);
  });
});
