import { beforeEach, expect, it, onTestFinished } from "vitest";
import type { BuyerContext } from "../../src/buyer/context.ts";
import { moneyOf, withMoney } from "../../src/buyer/money.ts";
import { Proof402Error } from "../../src/errors.ts";
import { markSent, markSigned, readAttempts } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import type { PurchaseState } from "../../src/storage/tables.ts";
import { reservation } from "../payment/fixtures.ts";

const KEY = "a-key-of-its-own";
let db: Db;
beforeEach(async () => {
  db = await openDatabase(":memory:");
  onTestFinished(() => db.destroy());
});
const told = (key: string | null, thrown: unknown) =>
  withMoney({ db } as BuyerContext, key === null ? [] : [key], thrown);
const failure = (next: string) => new Proof402Error("http_timeout", "It took too long.", { next, details: { at: 1 } });

async function sent(): Promise<void> {
  const now = new Date();
  await reserve(db, reservation({ key: KEY, now }));
  for (const { id } of await readAttempts(db, KEY)) {
    await markSigned(db, id, { now });
    await markSent(db, id, { now });
  }
}

it("says of a call that nothing is at stake for what its error says, and names no key", async () => {
  const thrown = failure("Choose another seller.");
  await reserve(db, reservation({ key: KEY }));
  for (const key of [null, KEY]) {
    const { code, message, next, money, idempotencyKey, details } = await told(key, thrown);
    expect({ code, message, next, money, idempotencyKey, details }).toEqual({
      code: "http_timeout",
      message: "It took too long.",
      next: "Choose another seller.",
      money: "not-moved",
      idempotencyKey: undefined,
      details: { at: 1 },
    });
  }
});

it("names the key of an error that is about the call where nothing is at stake, as a question to a person is", async () => {
  const question = { next: "Ask a person.", idempotencyKey: "the-key-asked-about" };
  expect(await told(KEY, new Proof402Error("approval_pending", "A person is asked.", question))).toMatchObject({
    money: "not-moved",
    idempotencyKey: "the-key-asked-about",
  });
});

it("advises the same key where money is at stake, unless the error is of a call that has paid", async () => {
  await sent();
  const advised = await told(KEY, failure("Choose another seller."));
  expect(advised).toMatchObject({ money: "may-move", idempotencyKey: KEY });
  expect(advised.next).toMatch(/^Call again with the same idempotency key/);
  const knowing = new Proof402Error("payment_in_doubt", "The chain does not say.", { next: "Ask again in a minute." });
  expect((await told(KEY, knowing)).next).toBe("Ask again in a minute.");
});

it("names of several keys the one whose money is worst off", async () => {
  await sent();
  for (const keys of [
    ["untouched-key", KEY],
    [KEY, "untouched-key"],
    ["untouched-key", KEY, "untouched-too"],
  ]) {
    const error = await withMoney({ db } as BuyerContext, keys, failure("Try later."));
    expect(error).toMatchObject({ money: "may-move", idempotencyKey: KEY });
    // An error that says no more than the journal names no other key.
    const doubt = new Proof402Error("payment_in_doubt", "Who knows?", { next: "Wait.", money: "may-move" });
    expect(await withMoney({ db } as BuyerContext, keys, doubt)).toMatchObject({ idempotencyKey: KEY });
  }
});

it.each([
  [[], "not-moved"],
  [["reserved"], "not-moved"],
  [["released", "reserved"], "not-moved"],
  [["signed"], "may-move"],
  [["sent", "released"], "may-move"],
  [["answered"], "may-move"],
  [["settled"], "moved"],
  [["sent", "settled", "released"], "moved"],
] as [PurchaseState[], string][])("of a call with attempts that are %j says of its money: %s", (states, money) => {
  expect(moneyOf(states.map((state) => ({ state })))).toBe(money);
});

it("says that money may move where the journal cannot be read", async () => {
  const closed = await openDatabase(":memory:");
  await closed.destroy();
  const error = await withMoney({ db: closed } as BuyerContext, [KEY], failure("Try later."));
  expect(error).toMatchObject({ money: "may-move", idempotencyKey: KEY });
});

it("says that money may move where neither a key nor the calls that it equals are known", async () => {
  const error = await withMoney({ db } as BuyerContext, null, failure("Try later."));
  expect(error).toMatchObject({ money: "may-move", idempotencyKey: undefined });
});

it("believes an error that names more than the journal knows of, and never less", async () => {
  const shown = (money: "moved" | "not-moved") =>
    new Proof402Error("paid_elsewhere", "Paid by another database.", { next: "Look there.", money });
  expect(await told(KEY, shown("moved"))).toMatchObject({ money: "moved", idempotencyKey: KEY, next: "Look there." });
  await sent();
  expect(await told(KEY, shown("moved"))).toMatchObject({ money: "moved" });
  expect(await told(KEY, shown("not-moved"))).toMatchObject({ money: "may-move" });
});

it("keeps of an error that is not its own the class alone, and what caused it", async () => {
  const cause = new TypeError("secret text");
  expect(await told(null, cause)).toMatchObject({
    code: "internal_error",
    message: "An unexpected TypeError stopped the call.",
    cause,
  });
  expect((await told(null, "secret text")).message).toBe("An unexpected error stopped the call.");
});
