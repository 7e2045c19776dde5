import { beforeEach, describe, expect, it } from "vitest";
import { pendingApproval } from "../../src/buyer/pending-approval.ts";
import type { ApprovalRequest } from "../../src/buyer/types.ts";
import { readSighting } from "../../src/payment/sightings.ts";
import { readAttempts } from "../../src/payment/journal.ts";
import type { Call } from "../support/simulated-chain.ts";
import { asksForUse } from "../support/simulated-chain.ts";
import { POLICY } from "../support/money-ledger.ts";
import type { Told } from "../support/money-world.ts";
import { inOneWorld, KEY } from "../support/one-world.ts";
import type { Reply } from "../support/simulated-market.ts";

// A seller answers 402 to a paid request. What that means for the money only the chain tells.

const { world, buy, sent, rows } = inOneWorld();
const NEXT =
  "The signed amount stays reserved until the authorization is used or expires; `spending` shows it. Call again with the same key to offer the same payment again, or choose another seller under a new key.";

const reply = (answers: Reply["answers"], settles: Reply["settles"] = "never", deep = true): Reply => ({
  answers,
  settles,
  deep,
});
const answering = (...replies: Reply[]): void => void (world().scene.replies = replies);
const errorOf = (told: Told) => {
  if (told.kind !== "error") throw new Error(`expected an error and got ${told.kind}`);
  const { code, money, message, next, details, idempotencyKey } = told.error;
  return { code, money, message, next, details, key: idempotencyKey };
};
/** Makes an offer of the cheap seller known: what is known can go stale. */
const quoteKnown = async (): Promise<void> => {
  expect(await buy({ idempotencyKey: "an-earlier-call", input: { x: [1] } })).toMatchObject({ kind: "result" });
  sent.length = 0;
};
/** How often a seller is chosen in a call. */
async function choices(changes: Parameters<typeof buy>[0] = {}): Promise<number> {
  let chosen = 0;
  const told = await buy(changes, { onProgress: ({ step }) => void (chosen += Number(step === "chosen")) });
  expect(told).toMatchObject({ kind: "result", paidNow: true });
  return chosen;
}
const amounts = () => sent.map(({ seller, amount }) => [seller, amount]);

it("says that the payment was turned down where the same offer is made again, and forgets that offer", async () => {
  answering(reply("same_offer"));
  const error = errorOf(await buy());
  expect(error).toMatchObject({ code: "payment_rejected", money: "may-move", key: KEY, next: NEXT });
  expect(error.message).toBe('Seller "cheap" turned the payment down (402).');
  expect(error.details).toStrictEqual({ status: 402, sellerSaysSettled: null, reason: null, x402Code: null });
  world().scene.prices.cheap.asked = 1500;
  expect(await buy({ idempotencyKey: "another-call", input: { x: [1] } })).toMatchObject({ kind: "result" });
  expect(amounts()).toEqual([
    ["cheap", 2000],
    ["cheap", 1500],
  ]);
});

it("says why by x402's code, what can be done, and whether the seller calls it settled", async () => {
  await quoteKnown();
  answering(reply("says_why"));
  const error = errorOf(await buy());
  expect(error.message).toBe(
    'Seller "cheap" turned the payment down (402). The facilitator says that the wallet holds too little of the token.',
  );
  expect(error.next).toBe(
    `The owner can look at the balance with \`proof402 wallet show\` and send the token to the wallet. ${NEXT}`,
  );
  expect(error.details).toStrictEqual({
    status: 402,
    sellerSaysSettled: false,
    reason: "seller_says_insufficient_funds",
    x402Code: "insufficient_funds",
  });
  expect(sent).toHaveLength(1);
});

it.each([true, false])("pays no other beside one turned down by the same offer, known before: %s", async (known) => {
  if (known) await quoteKnown();
  answering(reply("same_offer"));
  expect(errorOf(await buy())).toMatchObject({ code: "payment_rejected" });
  expect(sent).toHaveLength(1);
});

it("asks the seller once more for what it was paid for, and notes what it then says", async () => {
  await quoteKnown();
  const steps: string[] = [];
  answering(reply("same_offer", "before"));
  expect(await buy({}, { onProgress: ({ step }) => void steps.push(step) })).toMatchObject({
    kind: "result",
    paidNow: true,
  });
  expect(steps).toContain("answered");
  expect(sent).toHaveLength(2);
  expect(sent[1]).toEqual(sent[0]);
});

it("says that it was paid and served nothing where the seller refuses twice what is settled", async () => {
  answering(reply("same_offer", "before"), reply("says_settled"));
  const error = errorOf(await buy());
  const transaction = world().chain.useOf(world().ledger.entries[0]?.authorization.nonce ?? "");
  expect(error).toMatchObject({ code: "paid_not_served", money: "moved", key: KEY });
  expect(error.details).toStrictEqual({ transaction });
  expect(await rows()).toEqual([{ attempt: 1, state: "settled", reason: null }]);
  const [purchase] = await readAttempts(world().db, KEY);
  if (purchase === undefined) throw new Error("it was paid");
  expect(await readSighting(world().db, purchase.payment)).toMatchObject({ transaction, claimed: true });
});

it.each(["cut", "same_offer"] as const)("stays in doubt until a settlement is deep enough: then %s", async (then) => {
  // A line that breaks is tried once more.
  answering(reply("same_offer", "before", false), reply(then), reply(then));
  const error = errorOf(await buy());
  expect(error).toMatchObject({ code: "payment_in_doubt", money: "may-move" });
  expect(error.details).toStrictEqual({ transaction: null });
  expect(await rows()).toEqual([{ attempt: 1, state: "sent", reason: null }]);
});

it.each([
  ["says_pending", null],
  ["says_settled", `0x${"ee".repeat(32)}`],
] as const)(
  "waits for a settlement that the seller speaks of (%s), and stays in doubt where none comes",
  async (says, transaction) => {
    await quoteKnown();
    answering(reply(says));
    const error = errorOf(await buy());
    expect(error).toMatchObject({ code: "payment_in_doubt", money: "may-move", key: KEY });
    expect(error.details).toStrictEqual({ transaction });
    expect(sent).toHaveLength(1);
  },
);

it("waits while a settlement that the seller speaks of is under way, and asks once more when it is there", async () => {
  const { scene, chain, ledger } = world();
  answering(reply("says_pending"));
  let looks = 0;
  scene.chain = {
    ...chain,
    answer(call: Call) {
      if (asksForUse(call)) {
        scene.stalls = 0;
        looks += 1;
        const [entry] = ledger.entries;
        if (looks === 4 && entry !== undefined) {
          chain.redeem(entry.authorization);
          chain.mine();
        }
      }
      return chain.answer(call);
    },
  };
  expect(await buy()).toMatchObject({ kind: "result", paidNow: true });
  expect(sent).toHaveLength(2);
});

it("asks once more on the seller's word alone where the chain cannot be asked", async () => {
  world().whenPaid = () => {
    world().scene.rpcDown = true;
    return Promise.resolve(true);
  };
  answering(reply("says_settled"));
  expect(await buy()).toMatchObject({ kind: "result" });
  expect(sent).toHaveLength(2);
});

it("pays no other price while the chain cannot say that the first payment is unused", async () => {
  await quoteKnown();
  world().whenPaid = () => {
    world().scene.rpcDown = true;
    return Promise.resolve(true);
  };
  answering(reply("new_offer"));
  expect(errorOf(await buy({ seller: "cheap" }))).toMatchObject({ code: "payment_rejected", money: "may-move" });
  expect(sent).toHaveLength(1);
});

it("pays the new price of a seller named by the caller, where the known one was stale", async () => {
  await quoteKnown();
  world().scene.prices.dear = { listed: 500, asked: 500 };
  answering(reply("new_offer"));
  expect(await choices({ seller: "cheap" })).toBe(1);
  expect(amounts()).toEqual([
    ["cheap", 2000],
    ["cheap", 3000],
  ]);
  expect((await rows()).map(({ attempt, state }) => [attempt, state])).toEqual([
    [1, "sent"],
    [2, "answered"],
  ]);
});

it("goes back to the choice where the new price is dearer, and no seller was named", async () => {
  world().scene.prices.dear = { listed: 2500, asked: 2500 };
  await quoteKnown();
  answering(reply("new_offer"));
  expect(await choices()).toBe(2);
  // The new price was told to this call alone: the next one asks for it.
  world().scene.prices.cheap.asked = 1500;
  await buy({ idempotencyKey: "the-next-call", input: { x: [2] }, seller: "cheap" });
  expect(amounts()).toEqual([
    ["cheap", 2000],
    ["dear", 2500],
    ["cheap", 1500],
  ]);
});

it.each([
  ["a cheaper", 1000, 120],
  ["an equal", 2000, 100],
])("stays with a seller that makes %s offer", async (_what, asked, life) => {
  await quoteKnown();
  world().whenPaid = () => {
    Object.assign(world().scene, { life });
    world().scene.prices.cheap = { listed: 2000, asked };
    world().whenPaid = null;
    return Promise.resolve(true);
  };
  answering(reply("same_offer"));
  expect(await choices()).toBe(1);
  expect(amounts()).toEqual([
    ["cheap", 2000],
    ["cheap", asked],
  ]);
});

it("pays no price that was not known from before, nor one above what the seller lists now", async () => {
  answering(reply("new_offer"));
  expect(errorOf(await buy())).toMatchObject({ code: "payment_rejected" });
  expect(sent).toHaveLength(1);
  world().scene.prices.cheap = { listed: 2000, asked: 2000 };
  await world().open(world().policy);
  await quoteKnown();
  world().whenPaid = () => {
    world().scene.prices.cheap = { listed: 2000, asked: 3000 };
    return Promise.resolve(true);
  };
  answering(reply("same_offer"));
  expect(errorOf(await buy({ idempotencyKey: "the-next-call", seller: "cheap" }))).toMatchObject({
    code: "payment_rejected",
  });
  expect(sent).toHaveLength(1);
});

/** Asks a person for more than 2500 in all. The known price is stale, the question about the new one is put off. */
async function askedLater(changes: Parameters<typeof buy>[0] = {}): Promise<ApprovalRequest> {
  await world().open({ ...POLICY, approveAbove: 2500 });
  await quoteKnown();
  answering(reply("new_offer"));
  const told = await buy(changes, { approve: () => Promise.resolve("ask_later") });
  const question = told.kind === "ask" ? pendingApproval(told.error) : null;
  if (question === null) throw new Error("no person is asked");
  return question;
}
/** Says yes to that question and to no other. */
const yesTo =
  ({ digest }: ApprovalRequest) =>
  (asked: ApprovalRequest) =>
    Promise.resolve(asked.digest === digest ? ("approved" as const) : ("ask_later" as const));

const DECLINED_NEXT =
  "Do not try this purchase again unless the person asks for it. The payment signed for it before counts until it is used or expires; `spending` shows it.";
/** What the call comes to by a person's word, or where no person can be asked. */
const TOLD = {
  approved: { kind: "result", paidNow: true },
  declined: { kind: "error", error: { code: "approval_declined", money: "may-move", next: DECLINED_NEXT } },
  ask_later: { kind: "ask", error: { code: "approval_pending", money: "may-move" } },
  "no one": { kind: "error", error: { code: "approval_required", money: "may-move" } },
} as const;

describe("T34: a yes to another price that comes after the call", () => {
  it.each([
    ["the same seller's new price, which its caller named", { seller: "cheap" }, "cheap", 3000],
    ["another seller's price, where none was named", {}, "dear", 2600],
  ])("pays what a person said yes to after the call, once: %s", async (_what, changes, seller, amount) => {
    world().scene.prices.dear = { listed: 2600, asked: 2600 };
    const question = await askedLater(changes);
    expect(question).toMatchObject({ sellerId: seller, amount: String(2000 + amount) });
    // Another process, which knows no quote.
    await world().open(world().policy);
    answering(reply("same_offer"));
    expect(await buy(changes, { approve: yesTo(question) })).toMatchObject({ kind: "result", paidNow: true });
    expect(amounts()).toEqual([
      ["cheap", 2000],
      ["cheap", 2000],
      [seller, amount],
    ]);
    expect(await buy(changes)).toMatchObject({ kind: "result", paidNow: false });
    expect(sent).toHaveLength(3);
  });

  it("asks a person again where the price has risen since they were asked", async () => {
    const question = await askedLater({ seller: "cheap" });
    answering(reply("new_offer"));
    expect(await buy({ seller: "cheap" }, { approve: yesTo(question) })).toMatchObject({
      kind: "ask",
      error: { code: "approval_pending", money: "may-move", details: { question: { amount: "6000" } } },
    });
    expect(amounts()).toEqual([
      ["cheap", 2000],
      ["cheap", 2000],
    ]);
  });

  it.each(["approved", "declined", "ask_later", null] as const)(
    "asks about a cheaper seller's offer beside an earlier call's payment, under the threshold too: %s",
    async (said) => {
      await world().open({ ...POLICY, approveAbove: 4500 });
      world().scene.prices.dear = { listed: 2400, asked: 2400 };
      answering(reply("cut"), reply("cut"));
      await buy();
      // 3000 beside the 2000 wants a person's word. The other seller's 2400 alone would not.
      answering(reply("new_offer"));
      const asked: string[] = [];
      const approve = ({ sellerId, amount }: ApprovalRequest) => {
        asked.push(`${sellerId} ${amount}`);
        return Promise.resolve(said ?? "declined");
      };
      const told = await buy({}, said === null ? {} : { approve });
      expect(asked).toEqual(said === null ? [] : ["dear 4400"]);
      expect(told).toMatchObject(TOLD[said ?? "no one"]);
      const [first, ...others] = new Set(sent.map(({ seller, amount }) => `${seller} ${amount}`));
      expect(first).toBe("cheap 2000");
      expect(others).toEqual(said === "approved" ? ["dear 2400"] : []);
    },
  );

  it("makes no third payment beside two on a person's word", async () => {
    const question = await askedLater({ seller: "cheap" });
    const yes = { approve: () => Promise.resolve("approved" as const) };
    answering(reply("same_offer"), reply("same_offer"));
    expect(errorOf(await buy({ seller: "cheap" }, { approve: yesTo(question) }))).toMatchObject({
      code: "payment_rejected",
    });
    world().scene.prices.cheap = { listed: 500, asked: 500 };
    answering(reply("same_offer"));
    expect(errorOf(await buy({ seller: "cheap" }, yes))).toMatchObject({ code: "payment_rejected", money: "may-move" });
    expect(new Set(sent.map(({ header }) => header)).size).toBe(2);
  });
});

describe("T34: where no payment may follow, no person is asked for one", () => {
  const asked: string[] = [];
  const approve = ({ message }: ApprovalRequest) => {
    asked.push(message);
    return Promise.resolve("approved" as const);
  };
  const rejected = { code: "payment_rejected", money: "may-move", key: KEY, next: NEXT };
  beforeEach(() => void asked.splice(0));

  it("after a seller's failure, which an answer to the same payment may still replace", async () => {
    await world().open({ ...POLICY, approveAbove: 2500 });
    answering(reply("server_error"));
    await buy({ seller: "cheap" });
    answering(reply("new_offer"));
    expect(errorOf(await buy({ seller: "cheap" }, { approve }))).toMatchObject(rejected);
    expect(asked).toEqual([]);
    expect(new Set(sent.map(({ header }) => header)).size).toBe(1);
  });

  it("beside two payments that sellers turned down, each for a price that was known from before", async () => {
    await world().open({ ...POLICY, approveAbove: 5000 });
    world().scene.prices.dear = { listed: 2500, asked: 2500 };
    await quoteKnown();
    await buy({ idempotencyKey: "another-earlier-call", input: { x: [2] }, seller: "dear" });
    sent.length = 0;
    answering(reply("new_offer"), reply("new_offer"));
    const error = errorOf(await buy({}, { approve }));
    expect(error).toMatchObject(rejected);
    expect(error.message).toBe('Seller "dear" turned the payment down (402).');
    expect(asked).toEqual([]);
    expect(amounts()).toEqual([
      ["cheap", 2000],
      ["dear", 2500],
    ]);
  });
});

it("names the seller that turned the payment down where a cap forbids one to another seller", async () => {
  world().scene.prices.dear = { listed: 2500, asked: 2500 };
  await quoteKnown();
  answering(reply("new_offer"));
  const error = errorOf(await buy({ maxUsd: 0.004 }));
  expect(error).toMatchObject({ code: "payment_rejected", money: "may-move", next: NEXT });
  expect(error.message).toContain('Seller "cheap" turned the payment down (402)');
  expect(amounts()).toEqual([["cheap", 2000]]);
});

it("pays no other price beside an earlier call's payment without a person's word", async () => {
  world().scene.prices.dear = { listed: 9000, asked: 9000 };
  await quoteKnown();
  answering(reply("cut"), reply("cut"));
  await buy();
  answering(reply("new_offer"));
  expect(errorOf(await buy())).toMatchObject({ code: "payment_rejected", money: "may-move" });
  expect(new Set(sent.map(({ header }) => header)).size).toBe(1);
});

it("pays a third time for no one: a seller that raises its price again is turned down", async () => {
  await quoteKnown();
  world().scene.prices.dear = { listed: 9000, asked: 9000 };
  answering(reply("new_offer"), reply("new_offer"));
  expect(errorOf(await buy())).toMatchObject({ code: "payment_rejected", money: "may-move" });
  expect(amounts()).toEqual([
    ["cheap", 2000],
    ["cheap", 3000],
  ]);
});
