import { describe, expect, it } from "vitest";
import {
  journalSecret,
  markAnswered,
  markSent,
  markSettled,
  markSigned,
  openPurchases,
  readLatestAttempt,
  readPurchase,
  readPurchaseByReceipt,
  recentPurchases,
  release,
} from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import type { PurchaseRecord, Transition } from "../../src/payment/types.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { PURCHASE_STATES, type PurchaseState } from "../../src/storage/tables.ts";
import { accept, policyWith, requirement, reservation, usdc } from "./fixtures.ts";

const now = new Date();
const TRANSACTION = `0x${"01".repeat(32)}`;

async function reserved(db: Db, changes: Parameters<typeof reservation>[0] = {}): Promise<PurchaseRecord> {
  const result = await reserve(db, reservation({ now, ...changes }));
  if (result.kind !== "reserved") throw new Error(JSON.stringify(result, (_key, value: unknown) => String(value)));
  return result.purchase;
}

/** A purchase brought to a state by the transitions that lead there. */
async function inState(db: Db, state: PurchaseState): Promise<PurchaseRecord> {
  const purchase = await reserved(db);
  const { id } = purchase;
  const steps: Record<PurchaseState, (() => Promise<Transition>)[]> = {
    reserved: [],
    signed: [() => markSigned(db, id, { now })],
    sent: [() => markSigned(db, id, { now }), () => markSent(db, id, { now })],
    answered: [
      () => markSigned(db, id, { now }),
      () => markSent(db, id, { now }),
      () => markAnswered(db, id, { receiptId: `r-${id}`, now }),
    ],
    settled: [
      () => markSigned(db, id, { now }),
      () => markSettled(db, id, { transaction: TRANSACTION, amount: "20000", now }),
    ],
    released: [() => release(db, id, { reason: "test", now })],
  };
  for (const step of steps[state]) expect((await step()).ok).toBe(true);
  const brought = await readPurchase(db, id);
  if (brought?.state !== state) throw new Error(`not brought to ${state}`);
  return brought;
}

describe("transitions", () => {
  const moves: Record<string, (db: Db, id: string) => Promise<Transition>> = {
    signed: (db, id) => markSigned(db, id, { now }),
    sent: (db, id) => markSent(db, id, { now }),
    answered: (db, id) => markAnswered(db, id, { receiptId: "another", now }),
    settled: (db, id) => markSettled(db, id, { transaction: `0x${"02".repeat(32)}`, amount: "20000", now }),
    released: (db, id) => release(db, id, { reason: "test", now }),
    "released, shown unusable": (db, id) => release(db, id, { reason: "test", unusable: true, now }),
  };
  // For each move: the state it leads to from each state, or null where it is refused.
  const table: Record<string, Record<PurchaseState, PurchaseState | null>> = {
    // An answer that never came is asked for again with the authorization that was used up.
    signed: { reserved: "signed", signed: "signed", sent: "sent", answered: null, settled: "settled", released: null },
    sent: { reserved: null, signed: "sent", sent: "sent", answered: null, settled: "settled", released: null },
    answered: {
      reserved: null,
      signed: null,
      sent: "answered",
      answered: null,
      settled: "settled",
      released: "released",
    },
    settled: {
      reserved: "settled",
      signed: "settled",
      sent: "settled",
      answered: "settled",
      settled: null,
      released: "settled",
    },
    released: { reserved: "released", signed: null, sent: null, answered: null, settled: null, released: "released" },
    "released, shown unusable": {
      reserved: "released",
      signed: "released",
      sent: "released",
      answered: "released",
      settled: null,
      released: "released",
    },
  };

  for (const [name, row] of Object.entries(table)) {
    it.each([...PURCHASE_STATES])(`${name}: from %s exactly as the rules say`, async (from) => {
      const db = await openDatabase(":memory:");
      const before = await inState(db, from);
      const result = await moves[name]?.(db, before.id);
      const after = await readPurchase(db, before.id);
      const expected = row[from];
      expect(result).toMatchObject(
        expected === null ? { ok: false, code: "illegal_transition", state: from } : { ok: true, state: expected },
      );
      expect(after).toMatchObject(expected === null ? before : { id: before.id, state: expected });
      await db.destroy();
    });
  }

  it("of a purchase that is not there are refused", async () => {
    const db = await openDatabase(":memory:");
    for (const move of Object.values(moves))
      expect(await move(db, "nothing")).toEqual({ ok: false, code: "unknown_purchase", state: null });
    await db.destroy();
  });

  it("sign and send nothing again once the answer is there, also where it was settled", async () => {
    const db = await openDatabase(":memory:");
    const { id } = await inState(db, "settled");
    await markAnswered(db, id, { receiptId: "r1", now });
    expect(await markSigned(db, id, { now })).toMatchObject({ ok: false, code: "illegal_transition" });
    expect(await markSent(db, id, { now })).toMatchObject({ ok: false, code: "illegal_transition" });
    await db.destroy();
  });

  it("keep an answer that comes after the chain has decided, and only one receipt per attempt", async () => {
    const db = await openDatabase(":memory:");
    const purchase = await inState(db, "settled");
    expect(await markAnswered(db, purchase.id, { receiptId: "r1", now })).toMatchObject({ ok: true, state: "settled" });
    expect(await markAnswered(db, purchase.id, { receiptId: "r1", now })).toMatchObject({ ok: true, changed: false });
    expect(await markAnswered(db, purchase.id, { receiptId: "r2", now })).toMatchObject({ ok: false });
    expect((await readPurchaseByReceipt(db, "r1"))?.id).toBe(purchase.id);
    await db.destroy();
  });

  it("inside a caller's transaction are undone with it", async () => {
    const db = await openDatabase(":memory:");
    const purchase = await inState(db, "sent");
    const failed = immediate(db, async (tx) => {
      await markAnswered(tx, purchase.id, { receiptId: "r", now });
      await markSettled(tx, purchase.id, { transaction: TRANSACTION, amount: "1", now });
      throw new Error("storing failed");
    });
    await expect(failed).rejects.toThrow("storing failed");
    expect(await readPurchase(db, purchase.id)).toEqual(purchase);
    await db.destroy();
  });
});

describe("one key, one payment", () => {
  it("gives back what was written, requirement and request included", async () => {
    const db = await openDatabase(":memory:");
    const written = requirement({ note: { deep: [1, "x", null] } });
    const { offer, accepted } = accept(written);
    const request = reservation({ now, offer, accepted });
    const result = await reserve(db, request);
    const purchase = result.kind === "reserved" ? result.purchase : null;
    expect(await readLatestAttempt(db, request.idempotencyKey)).toEqual(purchase);
    expect(purchase).toMatchObject({
      offer,
      accepted: written,
      payment: request.payment,
      request: request.request,
      state: "reserved",
    });
    await db.destroy();
  });

  it("a second reservation under the key is told of the first and reserves nothing", async () => {
    const db = await openDatabase(":memory:");
    const purchase = await reserved(db, { key: "call-0001" });
    const again = await reserve(db, reservation({ key: "call-0001", now }));
    expect(again).toEqual({ kind: "existing", purchase });
    const other = await reserve(db, reservation({ key: "call-0001", argsDigest: "bb".repeat(32), now }));
    expect(other).toEqual({ kind: "conflict" });
    expect(await recentPurchases(db, 10)).toHaveLength(1);
    await db.destroy();
  });

  it.each([
    ["reserved", "existing"],
    ["signed", "existing"],
    ["sent", "reserved"],
    ["answered", "existing"],
    ["settled", "existing"],
    ["released", "reserved"],
  ] as const)("after an attempt that is %s, a further one is %s", async (state, kind) => {
    const db = await openDatabase(":memory:");
    const { idempotencyKey: key } = await inState(db, state);
    const next = await reserve(db, reservation({ key, attempt: 2, now }));
    expect(next.kind).toBe(kind);
    await db.destroy();
  });

  it("has at most one turned-down authorization alive beside the new one, and both count", async () => {
    const db = await openDatabase(":memory:");
    const { idempotencyKey: key } = await inState(db, "sent");
    const second = await reserved(db, { key, attempt: 2 });
    await markSigned(db, second.id, { now });
    await markSent(db, second.id, { now });
    expect((await reserve(db, reservation({ key, attempt: 3, now }))).kind).toBe("existing");
    const tight = policyWith([{ ...usdc, total: "59999" }]);
    expect(await reserve(db, reservation({ policy: tight, now }))).toMatchObject({
      kind: "refused",
      refusal: { remaining: "19999" },
    });
    expect(await openPurchases(db)).toHaveLength(2);
    await db.destroy();
  });

  it("knows no attempt out of order", async () => {
    const db = await openDatabase(":memory:");
    await expect(reserve(db, reservation({ attempt: 2, now }))).rejects.toMatchObject({ code: "payment_mismatch" });
    const { idempotencyKey: key } = await inState(db, "released");
    expect((await reserve(db, reservation({ key, attempt: 3, now }))).kind).toBe("existing");
    expect((await reserve(db, reservation({ key, attempt: 1, now }))).kind).toBe("existing");
    await db.destroy();
  });

  it("reserves only what is planned for the offer, in an asset of the policy, for a life the policy allows", async () => {
    const db = await openDatabase(":memory:");
    const good = reservation({ now });
    const wrong = { ...good, payment: { ...good.payment, amount: "19999" } };
    await expect(reserve(db, wrong)).rejects.toMatchObject({ code: "payment_mismatch" });
    const stranger = { ...good, policy: policyWith([{ ...usdc, network: "eip155:1" }]) };
    expect(await reserve(db, stranger)).toMatchObject({ kind: "refused", refusal: { code: "asset_not_allowed" } });
    const long = { ...good, payment: { ...good.payment, validBefore: good.payment.validBefore + 3600 } };
    expect(await reserve(db, long)).toMatchObject({ kind: "refused", refusal: { code: "authorization_too_long" } });
    const late = { ...good, now: new Date(now.getTime() + 55_000) };
    expect(await reserve(db, late)).toMatchObject({ kind: "refused", refusal: { code: "authorization_too_short" } });
    expect(await reserve(db, reservation({ now, maxAmount: 19_999n }))).toMatchObject({
      kind: "refused",
      refusal: { code: "over_call_limit" },
    });
    expect(await recentPurchases(db, 10)).toEqual([]);
    await db.destroy();
  });

  it("derives nonces from a secret that is made once per file", async () => {
    const db = await openDatabase(":memory:");
    const [one, two] = await Promise.all([journalSecret(db), journalSecret(db)]);
    expect(one).toMatch(/^[0-9a-f]{64}$/);
    expect(two).toBe(one);
    const other = await openDatabase(":memory:");
    expect(await journalSecret(other)).not.toBe(one);
    await Promise.all([db.destroy(), other.destroy()]);
  });
});
