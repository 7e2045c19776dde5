import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { APPROVAL_SECONDS, giveWord, listApprovals } from "../../src/buyer/approvals.ts";
import { approve, needsWord } from "../../src/buyer/approve.ts";
import { aborted, type Call } from "../../src/buyer/call.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import type { OwnersWord } from "../../src/buyer/owners-word.ts";
import type { Provider } from "../../src/market/types.ts";
import type { ApprovalDecision, ApprovalRequest } from "../../src/buyer/types.ts";
import type { Candidate } from "../../src/market/choose.ts";
import { markSigned } from "../../src/payment/journal.ts";
import { offerHashOf } from "../../src/payment/offers.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { accept, reservation, usdc } from "../payment/fixtures.ts";

/** Of sellers that publish nothing. */
const providerOf = (): Provider => ({}) as Provider;

const KEY = "a-key-of-its-own";
const now = new Date(1.7e12);
const REQUEST = { model: "m", input: { features: [0.5] } };
const { offer } = accept();
const candidate = { seller: { id: "seller" }, model: { name: "m" } } as Candidate;
let db: Db;
let asked: ApprovalRequest[];
beforeEach(async () => {
  db = await openDatabase(":memory:");
  asked = [];
  const opened = db;
  onTestFinished(() => opened.destroy());
});

type Question = {
  approveAbove?: string;
  says?: ApprovalDecision | "nothing";
  /** What happens while the person is asked. */
  meanwhile?: () => void;
  attempt?: number;
  own?: string;
  onWord?: boolean;
  argsDigest?: string;
  caller?: AbortController;
};
/** Asks about the offer of 20000, in a call that has a caller and a person. */
function ask({
  approveAbove,
  says = "approved",
  attempt = 1,
  argsDigest = "aa",
  caller,
  meanwhile,
  ...rest
}: Question) {
  const { signal } = caller ?? new AbortController();
  const person = (request: ApprovalRequest): Promise<ApprovalDecision> => {
    asked.push(request);
    meanwhile?.();
    return says === "nothing" ? new Promise(() => undefined) : Promise.resolve(says);
  };
  const requireCaller = (): void => {
    if (signal.aborted) throw aborted();
  };
  const call = { key: KEY, argsDigest, request: REQUEST, options: { approve: person }, asking: signal, requireCaller };
  const asset = { ...usdc, ...(approveAbove === undefined ? {} : { approveAbove }) };
  return approve(
    { db, clock: () => now, providerOf } as unknown as BuyerContext,
    call as unknown as Call,
    { candidate, quote: { offer, asset } },
    { attempt, ...rest },
  );
}
/** Reserves and signs the same offer as an attempt of the call. */
async function signed(attempt = 1): Promise<string> {
  const result = await reserve(db, reservation({ key: KEY, attempt, now }));
  if (result.kind !== "reserved") throw new Error(result.kind);
  await markSigned(db, result.purchase.id, { now });
  return result.purchase.id;
}

it("asks a person about what is above the owner's threshold, and about nothing where the owner set none", async () => {
  for (const approveAbove of [undefined, "20000", "19999", "0"]) {
    const question = approveAbove === undefined ? {} : { approveAbove };
    await ask(question);
    expect(
      await needsWord({ db } as BuyerContext, { key: KEY } as Call, { offer, asset: { ...usdc, ...question } }),
    ).toBe(approveAbove === "19999" || approveAbove === "0");
  }
  expect(asked).toHaveLength(2);
  await ask({ onWord: true });
  expect(asked).toHaveLength(3);
});

it("counts what earlier payments of the call may still cost, and says so, but not the payment itself", async () => {
  const id = await signed();
  await ask({ approveAbove: "20000", own: id });
  await ask({ approveAbove: "40000", attempt: 2 });
  expect(asked).toEqual([]);
  await ask({ approveAbove: "39999", attempt: 2 });
  await ask({ approveAbove: "19999", own: id });
  expect(asked).toMatchObject([
    { amount: "40000", money: "may-move", idempotencyKey: KEY, sellerId: "seller", model: "m", payTo: offer.payTo },
    { amount: "20000", money: "may-move" },
  ]);
  const message = `Pay 0.02 USDC ($0.02) on ${offer.network} to ${offer.payTo} (seller) for one inference of m?`;
  expect(asked.map((one) => one.message)).toEqual([
    `${message} An earlier payment for the same call may still take 0.02 USDC ($0.02): 0.04 USDC ($0.04) in all.`,
    message,
  ]);
  await expect(ask({ approveAbove: "39999", attempt: 2, says: "leave" })).rejects.toMatchObject({
    code: "approval_required",
  });
  expect(await listApprovals(db, now.getTime())).toMatchObject([
    { besides: expect.stringMatching(/^An earlier payment for the same call may still take 0\.02 USDC/) },
  ]);
});

it("names each authorization by a digest of its own: of the call, what it asks, the attempt and the offer", async () => {
  const question = { approveAbove: "0" };
  await ask(question);
  await ask(question);
  await ask({ ...question, attempt: 2 });
  await ask({ ...question, argsDigest: "bb" });
  const digests = asked.map(({ digest }) => digest);
  expect(digests[0]).toBe(digests[1]);
  expect(new Set(digests).size).toBe(3);
});

it.each([
  ["ask_later", { code: "approval_pending", idempotencyKey: KEY }],
  ["cancelled", { code: "approval_cancelled", idempotencyKey: KEY }],
  ["declined", { code: "approval_declined", idempotencyKey: undefined }],
] as const)("ends the call where a person's word is %s", async (says, error) => {
  await expect(ask({ approveAbove: "0", says })).rejects.toMatchObject(error);
});

it("says of a declined payment what another one signed before it may still cost", async () => {
  const advice = "Do not try this purchase again unless the person asks for it.";
  await expect(ask({ approveAbove: "0", says: "declined" })).rejects.toMatchObject({ next: advice });
  await signed();
  await expect(ask({ approveAbove: "0", says: "declined", attempt: 2 })).rejects.toMatchObject({
    next: `${advice} The payment signed for it before counts until it is used or expires; \`spending\` shows it.`,
  });
});

it("hands the question over with the error where the answer comes later", async () => {
  await expect(ask({ approveAbove: "0", says: "ask_later" })).rejects.toMatchObject({
    details: { question: { amount: "20000", idempotencyKey: KEY } },
  });
});

it("ends the call where no person can be asked, with the threshold, if there is one", async () => {
  const call = {
    key: KEY,
    argsDigest: "aa",
    request: REQUEST,
    options: {},
    requireCaller: () => undefined,
  } as unknown as Call;
  for (const [approveAbove, asset] of [
    ["0", { ...usdc, approveAbove: "0" }],
    [null, usdc],
  ] as const)
    await expect(
      approve(
        { db, clock: () => now, providerOf } as unknown as BuyerContext,
        call,
        { candidate, quote: { offer, asset } },
        { attempt: 1, onWord: true },
      ),
    ).rejects.toMatchObject({ code: "approval_required", details: { amount: "20000", approveAbove } });
});

it("waits for no person once the caller leaves, and asks none for a caller that has left", async () => {
  const [sooner, later] = [new AbortController(), new AbortController()];
  const waiting = { approveAbove: "0", says: "nothing" } as const;
  const left = { code: "aborted" };
  await expect(ask({ ...waiting, caller: sooner, meanwhile: () => sooner.abort() })).rejects.toMatchObject(left);
  const leave = (): void => void setImmediate(() => later.abort());
  await expect(ask({ ...waiting, caller: later, meanwhile: leave })).rejects.toMatchObject(left);
  await expect(ask({ approveAbove: "0", caller: later })).rejects.toMatchObject(left);
  expect(asked).toHaveLength(2);
});

describe("T104: an approval given elsewhere", () => {
  const price = { ...usdc, approveAbove: "0" };
  type Asked = { key?: string; argsDigest?: string; attempt?: number; at?: Date; sold?: typeof offer; by?: Candidate };

  /** Asks in a call that can ask no person. */
  const askElsewhere = ({
    key = KEY,
    argsDigest = "aa",
    attempt = 1,
    at = now,
    sold = offer,
    by = candidate,
  }: Asked = {}) =>
    approve(
      { db, clock: () => at, providerOf } as unknown as BuyerContext,
      { key, argsDigest, request: REQUEST, options: {}, requireCaller: () => undefined } as unknown as Call,
      { candidate: by, quote: { offer: sold, asset: price } },
      { attempt },
    );
  const waitingId = async (asked: Asked = {}): Promise<string> => {
    const error: unknown = await askElsewhere(asked).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "approval_required", idempotencyKey: asked.key ?? KEY });
    return (error as { details: { approval: string } }).details.approval;
  };

  /** Asks in a call that waits for the owner's word; `then` does what happens once it does. */
  const askAndWait = (then: (id: string) => Promise<unknown> | void, signal = new AbortController().signal) => {
    const wait = async (_request: ApprovalRequest, owner: OwnersWord): Promise<ApprovalDecision> => {
      const word = await owner.ask();
      if (word.kind !== "waits") return word.kind;
      const decision = owner.wait(word.id);
      await then(word.id);
      return decision;
    };
    const call = { key: KEY, argsDigest: "aa", request: REQUEST, options: { approve: wait }, asking: signal };
    return approve(
      { db, clock: () => now, providerOf } as unknown as BuyerContext,
      { ...call, requireCaller: () => undefined } as unknown as Call,
      { candidate, quote: { offer, asset: price } },
      { attempt: 1 },
    );
  };

  it("ends a call's wait for it, by a yes, by a no, by another question and by the caller", async () => {
    const give = (word: "approved" | "declined") => (id: string) => giveWord(db, id, word, now.getTime());
    expect(await askAndWait(give("approved"))).toBe(true);
    // It was used up: the next call has its person asked again.
    await expect(askAndWait(give("declined"))).rejects.toMatchObject({ code: "approval_declined" });
    await db.deleteFrom("approvals").execute();
    const replaced = (): Promise<unknown> => db.deleteFrom("approvals").execute();
    await expect(askAndWait(replaced)).rejects.toMatchObject({ code: "approval_required", idempotencyKey: KEY });
    const caller = new AbortController();
    await expect(askAndWait(() => caller.abort(), caller.signal)).rejects.toMatchObject({ code: "aborted" });
    const [waits] = await listApprovals(db, now.getTime());
    expect(waits).toMatchObject({ state: "open", idempotency_key: KEY });
  });

  it("is left to the owner by a surface that can ask no person after all", async () => {
    const left = { code: "approval_required", details: { approval: expect.stringMatching(/^[0-9a-f]{8}$/) } };
    await expect(ask({ approveAbove: "0", says: "leave" })).rejects.toMatchObject(left);
    expect(await listApprovals(db, now.getTime())).toHaveLength(1);
  });

  it("is used by one call, once", async () => {
    const id = await waitingId();
    expect(await waitingId()).toBe(id);
    await giveWord(db, id, "approved", now.getTime());
    const uses = await Promise.allSettled([askElsewhere(), askElsewhere(), askElsewhere()]);
    expect(uses.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await waitingId()).not.toBe(id);
    await expect(giveWord(db, id, "approved", now.getTime())).rejects.toMatchObject({ code: "approval_not_waiting" });
  });

  it("serves no other input, price, payee, seller, key or attempt", async () => {
    const id = await waitingId();
    await giveWord(db, id, "approved", now.getTime());
    const other = (change: Partial<typeof offer>): Asked => ({
      sold: { ...offer, ...change, offerHash: offerHashOf({ ...withoutHash, ...change }) },
    });
    const { offerHash: _hash, ...withoutHash } = offer;
    for (const asked of [
      { argsDigest: "bb" },
      other({ amount: "20001" }),
      other({ payTo: `0x${"12".repeat(20)}` }),
      { by: { ...candidate, seller: { id: "other" } } as Candidate },
      { key: "another-key-of-its-own" },
      { attempt: 2 },
    ])
      expect(await waitingId(asked)).not.toBe(id);
    expect(await askElsewhere()).toBe(true);
  });

  it("ends by itself, waiting or given", async () => {
    const id = await waitingId();
    await giveWord(db, id, "approved", now.getTime());
    const later = new Date(now.getTime() + APPROVAL_SECONDS * 1000);
    const next = await waitingId({ at: later });
    expect(next).not.toBe(id);
    const latest = later.getTime() + APPROVAL_SECONDS * 1000;
    await expect(giveWord(db, next, "approved", latest)).rejects.toMatchObject({ code: "approval_not_waiting" });
  });

  it("is asked for once, however many calls ask the same, and a given one stays", async () => {
    const open = async (): Promise<string[]> => (await listApprovals(db, now.getTime())).map(({ id }) => id);
    const first = await waitingId();
    await giveWord(db, first, "approved", now.getTime());
    for (const key of ["another-key", "a-third-key"]) {
      const newest = await waitingId({ key });
      expect(await open()).toEqual([first, newest]);
    }
    expect(await askElsewhere()).toBe(true);
  });

  it("is never refused to the newest question, nor taken from another seller's, by calls in a loop", async () => {
    const other = await waitingId({ by: { ...candidate, seller: { id: "other" } } as Candidate });
    const ids: string[] = [];
    for (let at = 0; at < 260; at += 1)
      ids.push(await waitingId({ argsDigest: `args-${at}`, at: new Date(now.getTime() + at) }));
    const open = (await listApprovals(db, now.getTime())).map(({ id }) => id);
    expect(open).toHaveLength(256);
    expect(open).toEqual([other, ...ids.slice(-255)]);
  });

  it("may be a no", async () => {
    await giveWord(db, await waitingId(), "declined", now.getTime());
    await expect(askElsewhere()).rejects.toMatchObject({ code: "approval_declined" });
  });
});
