import { beforeEach, expect, it, onTestFinished } from "vitest";
import { keysOf, noteTold, openKey, reopen, type CallNames } from "../../src/buyer/calls.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import { markAnswered, markSent, markSigned, release } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { PAYER, reservation } from "../payment/fixtures.ts";

const DIGEST = "aa".repeat(32);
const OTHER = "bb".repeat(32);
const MINUTES_10 = 600_000;
let db: Db;
let now: Date;
let ctx: BuyerContext;
beforeEach(async () => {
  db = await openDatabase(":memory:");
  now = new Date(1.7e12);
  ctx = { db, clock: () => now } as BuyerContext;
  const opened = db;
  onTestFinished(() => opened.destroy());
});

const names = (changes: Partial<CallNames> = {}): CallNames => ({
  own: undefined,
  surface: undefined,
  payer: PAYER,
  argsDigest: DIGEST,
  ...changes,
});
const open = (changes: Partial<CallNames> = {}): Promise<string> => openKey(ctx, names(changes)).then(({ key }) => key);
const tell = (key: string): Promise<void> => noteTold(ctx, key, () => true);
/** Opens a call under its own key, a millisecond after what went before. */
async function call(own: string, changes: Partial<CallNames> = {}): Promise<string> {
  now = new Date(now.getTime() + 1);
  return open({ own, ...changes });
}
type End =
  | "reserved"
  | "signed"
  | "sent"
  | "served"
  | "served and released"
  | "failed"
  | "failed and released"
  | "released";
/** One attempt at a call, brought to an end. */
async function attempt(key: string, number: number, end: End): Promise<void> {
  const result = await reserve(db, reservation({ key, attempt: number, now }));
  if (result.kind !== "reserved") throw new Error(result.kind);
  const { id } = result.purchase;
  if (end === "reserved") return;
  await markSigned(db, id, { now });
  if (end === "signed") return;
  await markSent(db, id, { now });
  if (end.startsWith("served") || end.startsWith("failed"))
    await markAnswered(db, id, { receiptId: id, served: end.startsWith("served"), now });
  if (end.endsWith("released")) await release(db, id, { reason: "expired", unusable: true, now });
}

it("a call is known by its own key, else by its surface's name, else by what it asks for", async () => {
  expect(await call("own-key", { surface: "surface-key" })).toBe("own-key");
  expect(await open()).toBe("own-key");
  expect(await open({ surface: "surface-key" })).toBe("own-key");
  expect(await open({ surface: "surface-2", argsDigest: OTHER })).toBe("surface-2");
  // Known by its name, a call takes up no other that it equals.
  await call("own-key-2", { argsDigest: OTHER });
  expect(await open({ surface: "surface-2", argsDigest: OTHER })).toBe("surface-2");
  expect(await open({ payer: `0x${"0e".repeat(20)}` })).toMatch(/^call-[0-9a-f-]{36}$/);
});

it("says of a key whether it was drawn just now, and so can stand in no other database", async () => {
  const opened = (changes: Partial<CallNames>) => openKey(ctx, names(changes));
  const drawn = await opened({});
  expect(drawn.drawn).toBe(true);
  // Taken up again, it is an earlier call's.
  expect(await opened({})).toEqual({ key: drawn.key, drawn: false });
  expect(await opened({ own: "own-key", argsDigest: OTHER })).toEqual({ key: "own-key", drawn: false });
  await tell("own-key");
  expect(await opened({ surface: "surface-key", argsDigest: OTHER })).toEqual({ key: "surface-key", drawn: false });
});

it.each(["reserved", "signed", "sent", "failed", "served", "served and released"] as const)(
  "an equal call that never reserved anything hides none that was %s, however much newer it is",
  async (end) => {
    await call("with-money");
    await attempt("with-money", 1, end);
    await call("empty-1");
    await call("given-up");
    await attempt("given-up", 1, "released");
    await call("empty-2");
    expect(await open()).toBe("with-money");
    await tell("with-money");
    expect(await open()).toBe("empty-2");
  },
);

it.each(["reserved", "signed"] as const)(
  "an equal call that %s and sent nothing hides none with money out, nor does a surface's name of it",
  async (end) => {
    await call("with-money");
    await attempt("with-money", 1, "sent");
    await call("kept-back");
    await attempt("kept-back", 1, end);
    expect(await open()).toBe("with-money");
    expect(await open({ surface: "kept-back" })).toBe("with-money");
    await tell("with-money");
    expect(await open()).toBe("kept-back");
  },
);

it("a surface's name that reserved nothing hides no equal call with money out, and one that did stays itself", async () => {
  await open({ surface: "surface-key", argsDigest: OTHER });
  await call("with-money");
  await attempt("with-money", 1, "sent");
  expect(await open({ surface: "surface-key" })).toBe("with-money");
  await call("surface-2", { own: "surface-2" });
  await attempt("surface-2", 1, "sent");
  await attempt("with-money", 2, "sent");
  expect(await open({ surface: "surface-2" })).toBe("surface-2");
});

it("a call that was told is equal to no later one, until it is made again", async () => {
  await call("own-key");
  await tell("own-key");
  const next = await open();
  expect(next).toMatch(/^call-/);
  await tell(next);
  await call("own-key");
  expect(await open()).toBe("own-key");
  await tell("own-key");
  await reopen(ctx, "own-key");
  expect(await open()).toBe("own-key");
  await reopen(ctx, "own-key");
  await reopen(ctx, "never-made");
  expect(await open()).toBe("own-key");
});

it("an outcome counts as told once, by the caller that wanted it, and while no process makes the call", async () => {
  const toldAt = async () =>
    (await db.selectFrom("calls").select("told_at").where("idempotency_key", "=", "own-key").executeTakeFirst())
      ?.told_at;
  await call("own-key");
  await noteTold(ctx, "own-key", () => false);
  expect(await toldAt()).toBeNull();
  const until = now.getTime() + 1000;
  await db.insertInto("call_leases").values({ idempotency_key: "own-key", owner: "another", until }).execute();
  await tell("own-key");
  expect(await toldAt()).toBeNull();
  now = new Date(until);
  await tell("own-key");
  expect(await toldAt()).toBe(until);
  now = new Date(until + 1000);
  await tell("own-key");
  expect(await toldAt()).toBe(until);
});

it("names every key that a call may go by: an own key alone, else those of the open calls that it equals, too", async () => {
  for (const key of ["equal-1", "equal-2", "told-key"]) await call(key);
  await call("other-key", { argsDigest: OTHER });
  await tell("told-key");
  const keys = (changes: Partial<CallNames>) => keysOf(db, names(changes));
  expect(await keys({ own: "own-key", surface: "surface-key" })).toEqual(["own-key", "surface-key"]);
  expect(await keys({ own: "own-key" })).toEqual(["own-key"]);
  expect(await keys({ surface: "surface-key" })).toEqual(["surface-key", "equal-1", "equal-2"]);
  expect(await keys({})).toEqual(["equal-1", "equal-2"]);
});

it("gives a key to another call only where nothing was paid under it", async () => {
  await call("own-key");
  expect(await call("own-key", { argsDigest: OTHER })).toBe("own-key");
  expect(await open({ argsDigest: OTHER })).toBe("own-key");
  expect(await open()).toMatch(/^call-/);
  await call("paid-key");
  await attempt("paid-key", 1, "sent");
  await expect(call("paid-key", { argsDigest: OTHER })).rejects.toMatchObject({ code: "idempotency_conflict" });
  await expect(call("paid-key", { payer: `0x${"0e".repeat(20)}` })).rejects.toMatchObject({
    code: "wallet_changed",
    details: { payer: PAYER },
  });
  expect(await call("paid-key")).toBe("paid-key");
  // A payment from before calls were noted still binds its key.
  await db.deleteFrom("calls").execute();
  expect(await call("paid-key")).toBe("paid-key");
  expect(await open()).toBe("paid-key");
});

it("the newest of several equal calls that are open is taken up", async () => {
  for (const key of ["first-key", "second-key", "third-key"]) await call(key);
  expect(await open()).toBe("third-key");
  await tell("third-key");
  expect(await open()).toBe("second-key");
  await call("first-key");
  expect(await open()).toBe("first-key");
});

it.each([
  [["reserved"], true],
  [["signed"], true],
  [["sent"], true],
  [["released"], true],
  [["failed"], true],
  [["failed and released"], false],
  [["failed and released", "released"], false],
  [["failed and released", "sent"], true],
  [["released", "sent"], true],
] as [End[], boolean][])("a call with attempts that are %j is taken up by an equal one: %s", async (ends, isOpen) => {
  await call("own-key");
  for (const [at, end] of ends.entries()) await attempt("own-key", at + 1, end);
  now = new Date(now.getTime() + 10 * MINUTES_10);
  expect((await open()) === "own-key").toBe(isOpen);
});

it("hands an answer that its caller did not wait for to an equal call for ten minutes, to the millisecond", async () => {
  await call("own-key");
  await attempt("own-key", 1, "served");
  const answered = now.getTime();
  now = new Date(answered + MINUTES_10);
  expect(await open()).toBe("own-key");
  now = new Date(answered + MINUTES_10 + 1);
  expect(await open()).toMatch(/^call-/);
});

it("counts the ten minutes from the newest answer, where the first was lost and its payment ended unused", async () => {
  await call("own-key");
  await attempt("own-key", 1, "served and released");
  now = new Date(now.getTime() + MINUTES_10 + 1);
  await attempt("own-key", 2, "served");
  now = new Date(now.getTime() + MINUTES_10);
  expect(await open()).toBe("own-key");
  now = new Date(now.getTime() + 1);
  expect(await open()).toMatch(/^call-/);
});
