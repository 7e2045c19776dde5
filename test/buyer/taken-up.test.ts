import { expect, it } from "vitest";
import { POLICY } from "../support/money-ledger.ts";
import type { Told } from "../support/money-world.ts";
import { inOneWorld, KEY } from "../support/one-world.ts";
import type { Reply } from "../support/simulated-market.ts";

// A call is made again under its key: what it finds in the journal, and what the chain shows by then.

const { world, buy, sent, rows } = inOneWorld();

const reply = (answers: Reply["answers"], settles: Reply["settles"] = "never"): Reply => ({
  answers,
  settles,
  deep: true,
});
const CUT = "cut";
/** Makes the call with these replies; a line that breaks is tried once more. */
async function firstCall(answers: Reply["answers"], settles: Reply["settles"] = "never"): Promise<Told> {
  world().scene.replies = answers === CUT ? [reply(CUT, settles), reply(CUT, settles)] : [reply(answers, settles)];
  const told = await buy();
  world().scene.replies = [];
  sent.length = 0;
  return told;
}
const errorOf = (told: Told) => {
  if (told.kind !== "error") throw new Error(`expected an error and got ${told.kind}`);
  const { code, money, message, next, details, idempotencyKey } = told.error;
  return { code, money, message, next, details, key: idempotencyKey };
};
const states = async () => (await rows()).map(({ state, reason }) => [state, reason]);
const headerOf = (attempt: number) => world().ledger.entries[attempt - 1]?.header;
/** Lets the life of the first authorization pass, and a block be mined after it. */
function outlive(): void {
  world().advance(200, "both");
  world().chain.mine();
}
it("hands over the answer that is there, and sends nothing", async () => {
  const first = await firstCall("ok", "before");
  const again = await buy();
  expect(again).toMatchObject({ kind: "result", paidNow: false, stored: true });
  expect([again].map((one) => one.kind === "result" && one.receiptId)).toEqual(
    [first].map((one) => one.kind === "result" && one.receiptId),
  );
  outlive();
  expect(await buy()).toMatchObject({ kind: "result", paidNow: false });
  expect(sent).toEqual([]);
});

it("sends the very same authorization again where no answer came, and says that an earlier call paid", async () => {
  expect(errorOf(await firstCall(CUT))).toMatchObject({ money: "may-move", key: KEY });
  expect(await buy()).toMatchObject({ kind: "result", paidNow: false, stored: true });
  expect(sent.map(({ header }) => header)).toEqual([headerOf(1)]);
  expect(await states()).toEqual([["answered", null]]);
});

it("pays again only once the chain shows that the first authorization can move nothing any more", async () => {
  await firstCall(CUT);
  world().advance(115, "both");
  expect(errorOf(await buy())).toMatchObject({ code: "payment_in_doubt", money: "may-move" });
  outlive();
  expect(await buy()).toMatchObject({ kind: "result", paidNow: true });
  expect(sent.map(({ header }) => header)).toEqual([headerOf(2)]);
  expect(await states()).toEqual([
    ["released", "authorization_expired"],
    ["answered", null],
  ]);
});

it("asks for what the chain shows to be paid, after the end of its authorization, too", async () => {
  await firstCall(CUT, "before");
  outlive();
  expect(await buy()).toMatchObject({ kind: "result", paidNow: false });
  expect(sent.map(({ header }) => header)).toEqual([headerOf(1)]);
  expect(await states()).toEqual([["settled", null]]);
});

it("asks for the one of two payments that the chain shows to be paid", async () => {
  await buy({ idempotencyKey: "an-earlier-call", input: { x: [1] } });
  world().scene.replies = [reply("new_offer"), reply(CUT), reply(CUT)];
  await buy({ seller: "cheap" });
  const [, first] = world().ledger.entries;
  if (first === undefined) throw new Error("it was paid");
  sent.length = 0;
  world().chain.redeem(first.authorization);
  world().chain.mine();
  expect(await buy({ seller: "cheap" })).toMatchObject({ kind: "result", paidNow: false });
  expect(sent.map(({ header }) => header)).toEqual([first.header]);
});

it("gives up what was only reserved, and pays in its place", async () => {
  const caller = new AbortController();
  const stopped = await buy(
    {},
    { signal: caller.signal, onProgress: ({ step }) => step === "reserved" && caller.abort() },
  );
  expect(errorOf(stopped)).toMatchObject({ code: "aborted", money: "not-moved" });
  expect(await buy()).toMatchObject({ kind: "result", paidNow: true });
  expect(await states()).toEqual([["answered", null]]);
});

it("asks once more about a seller's failure while its payment can bring an answer, and replaces the failure", async () => {
  expect(errorOf(await firstCall("server_error"))).toMatchObject({ code: "seller_error", money: "may-move" });
  expect(await buy()).toMatchObject({ kind: "result", paidNow: false });
  expect(sent.map(({ header }) => header)).toEqual([headerOf(1)]);
});

it("asks about the failure of a seller that was paid, however long ago", async () => {
  await firstCall("server_error", "before");
  outlive();
  await world().reconcile();
  expect(await states()).toEqual([["settled", null]]);
  expect(await buy()).toMatchObject({ kind: "result" });
  expect(sent).toHaveLength(1);
});

it.each([
  ["server_error", "seller_error"],
  ["client_error", "seller_refused"],
] as const)("tells a %s again and sends nothing, once its payment can bring no answer", async (answers, code) => {
  await firstCall(answers);
  world().advance(115, "both");
  const late = errorOf(await buy());
  expect(late).toMatchObject({ code, money: "may-move", key: KEY });
  expect(late.next).toContain("This payment can bring no answer any more, and the chain does not show yet");
  expect(late.next).not.toContain("new idempotency key");
  outlive();
  const over = errorOf(await buy());
  expect(over).toMatchObject({ code, money: "not-moved" });
  expect(over.next).toContain("This payment can move no money any more.");
  expect(await states()).toEqual([["released", "authorization_expired"]]);
  expect(sent).toEqual([]);
});

it("tells the refusal of a seller that was paid as it stands, however long ago", async () => {
  const first = errorOf(await firstCall("client_error", "before"));
  outlive();
  expect(errorOf(await buy())).toEqual({ ...first, money: "moved" });
  expect(await states()).toEqual([["settled", null]]);
  expect(sent).toEqual([]);
});

it("tells a seller's refusal again and sends nothing, while its payment can still move money", async () => {
  const first = errorOf(await firstCall("client_error"));
  expect(errorOf(await buy())).toEqual(first);
  expect(sent).toEqual([]);
});

it("breaks off where the journal names a receipt that is gone", async () => {
  await firstCall("ok");
  await world().db.deleteFrom("receipts").execute();
  expect(errorOf(await buy())).toMatchObject({
    code: "internal_error",
    message: "An unexpected Error stopped the call.",
    money: "may-move",
  });
  expect(sent).toEqual([]);
});

const OLD_TERMS: [string, Partial<typeof POLICY>, object][] = [
  ["the seller is gone", { sellers: ["dear"] }, { code: "seller_not_found" }],
  ["its asset is gone", { asset: false }, { code: "resend_not_allowed", details: { changed: "asset" } }],
  ["its payee is gone", { payees: false }, { code: "resend_not_allowed", details: { changed: "payTo" } }],
];
it.each(OLD_TERMS)("sends nothing again where %s", async (_what, change, error) => {
  await firstCall(CUT);
  await world().open({ ...POLICY, ...change });
  expect(errorOf(await buy())).toMatchObject({ ...error, money: "may-move", key: KEY });
  expect(sent).toEqual([]);
});

it.each(OLD_TERMS)(
  "says of what is settled that nothing was served, and why it is not asked for: %s",
  async (_what, change, error) => {
    await firstCall(CUT, "before");
    await world().reconcile();
    await world().open({ ...POLICY, ...change });
    const [entry] = world().ledger.entries;
    const transaction = world().chain.useOf(entry?.authorization.nonce ?? "");
    const told = errorOf(await buy());
    expect(told).toMatchObject({ code: "paid_not_served", money: "moved", key: KEY });
    expect(told.details).toStrictEqual({ transaction, reason: (error as { code: string }).code });
    expect(told.next).toMatch(
      /^The payment settled.+ no longer (?:allows \((?:asset|payTo)\)|configured)\. Once the owner/,
    );
    expect(told.next).not.toContain("new key");
    expect(sent).toEqual([]);
    // What is allowed again brings the answer under the same key, for the same payment.
    await world().open(POLICY);
    expect(await buy()).toMatchObject({ kind: "result", paidNow: false });
    expect(sent).toHaveLength(1);
    expect(await states()).toEqual([["settled", null]]);
  },
);

it("asks a seller only where it lists the model", async () => {
  await firstCall(CUT);
  await world().open(POLICY);
  world().scene.unlisted = true;
  expect(errorOf(await buy())).toMatchObject({ code: "seller_unreachable", money: "may-move" });
  expect(sent).toEqual([]);
  // One that listed nothing a moment ago is asked again: no other seller can serve this call.
  world().scene.unlisted = false;
  world().advance(1, "both");
  expect(await buy()).toMatchObject({ kind: "result", paidNow: false });
  expect(sent).toHaveLength(1);
});

it("leaves a break of its own, and a caller that gives up, as they are where the payment is settled", async () => {
  await firstCall(CUT, "before");
  await world().reconcile();
  const caller = new AbortController();
  const stopping = buy({}, { signal: caller.signal });
  caller.abort();
  expect(errorOf(await stopping)).toMatchObject({ code: "aborted", money: "moved" });
  world().whenPaid = () => {
    world().process.trip({ at: 1, dies: false });
    return Promise.resolve(true);
  };
  expect(errorOf(await buy())).toMatchObject({ code: "internal_error", money: "moved" });
});

/** Breaks the call after it signed and before it noted that it would send. */
async function signOnly(): Promise<void> {
  const told = await buy(
    {},
    { onProgress: ({ step }) => step === "reserved" && world().process.trip({ at: 2, dies: false }) },
  );
  world().process.trip(null);
  expect(errorOf(told)).toMatchObject({ code: "internal_error", money: "may-move" });
  expect(await states()).toEqual([["signed", null]]);
}

it("asks a person about a signed payment that was not sent, where the policy of now wants one", async () => {
  await signOnly();
  await world().open({ ...POLICY, approveAbove: 1000 });
  expect(errorOf(await buy())).toMatchObject({ code: "approval_required", money: "may-move", key: KEY });
  expect(sent).toEqual([]);
  const later = () => Promise.resolve("ask_later" as const);
  expect(await buy({}, { approve: later })).toMatchObject({
    kind: "ask",
    error: { code: "approval_pending", money: "may-move", idempotencyKey: KEY },
  });
  expect(sent).toEqual([]);
  const asked: string[] = [];
  const approve = (request: { idempotencyKey: string }) => {
    asked.push(request.idempotencyKey);
    return Promise.resolve("approved" as const);
  };
  expect(await buy({}, { approve })).toMatchObject({ kind: "result", paidNow: true });
  expect(asked).toEqual([KEY]);
});

it("asks no person about a payment that was sent before", async () => {
  await firstCall(CUT);
  await world().open({ ...POLICY, approveAbove: 1000 });
  expect(await buy()).toMatchObject({ kind: "result", paidNow: false });
});
