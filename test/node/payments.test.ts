import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { join } from "node:path";
import { createTestClient, http } from "viem";
import { foundry } from "viem/chains";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import {
  isUsed,
  openSellerBehind,
  purseFor,
  requestOf,
  takenBy,
  type OwnSeller,
  type Purse,
} from "../support/selling.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()));
});
async function seller(
  hooks: Parameters<typeof openSellerBehind>[1] = {},
  options: Parameters<typeof openSellerBehind>[2] = {},
): Promise<OwnSeller> {
  const one = await openSellerBehind(market, hooks, options);
  open.push(one);
  return one;
}

const broken = (): Response =>
  new Response(new ReadableStream({ start: (controller) => controller.error(new Error("gone")) }));

/** The payment is answered, was made once, and brings the same answer again. */
async function expectServed(one: OwnSeller, purse: Purse): Promise<void> {
  const first = await purse.post();
  expect(first).toMatchObject({ status: 200, text: expect.stringContaining('"model_name":"eth-risk"') as string });
  expect(await purse.post()).toEqual(first);
  expect(await takenBy(market, one)).toBe(10_000n);
}

describe("an answer is served for a payment that was made", () => {
  test.each<[string, (honest: () => Promise<Response>) => Promise<Response>]>([
    ["the facilitator's connection breaks", async (honest) => (await honest(), broken())],
    [
      "the facilitator's proxy answers 502",
      async (honest) => (await honest(), new Response("bad gateway", { status: 502 })),
    ],
    ["the facilitator answers something else", async (honest) => (await honest(), Response.json({ ok: "yes" }))],
    ["the facilitator is asked twice, and says used", async (honest) => (await honest(), honest())],
    ["the facilitator never answers", async (honest) => (await honest(), new Promise<Response>(() => undefined))],
  ])("T49: though %s", async (_how, settle) => {
    const one = await seller({ "/settle": settle });
    await expectServed(one, await purseFor(market, one.origin));
  });

  test("T49: though another submits it before the facilitator does", async () => {
    const purses: Purse[] = [];
    const one = await seller({
      "/settle": async (honest) => {
        await purses[0]?.redeem();
        return honest();
      },
    });
    const purse = await purseFor(market, one.origin);
    purses.push(purse);
    await expectServed(one, purse);
  });

  test("T49: though it was made before the seller was asked, where its payee takes no other payments", async () => {
    const own = await seller({}, { payment: { ownPayee: true } });
    const first = await purseFor(market, own.origin);
    await first.redeem();
    await expectServed(own, first);
    const shared = await seller();
    const second = await purseFor(market, shared.origin);
    await second.redeem();
    expect((await second.post()).status).toBe(402);
  });

  test("T49: though its order never reached the facilitator at first", async () => {
    let lost = 1;
    const one = await seller({ "/settle": async (honest) => (lost-- > 0 ? broken() : honest()) });
    await expectServed(one, await purseFor(market, one.origin));
  });

  test("T49: later, where nothing could be found out at once", async () => {
    let reachable = false;
    const one = await seller(
      { "/settle": async (honest) => (reachable ? honest() : broken()) },
      { payment: { waitSeconds: 0 } },
    );
    const purse = await purseFor(market, one.origin);
    const pending = await purse.post();
    expect(pending.status).toBe(503);
    expect(JSON.parse(Buffer.from(pending.payment ?? "", "base64").toString())).toMatchObject({
      success: false,
      errorReason: "settlement_pending",
    });
    expect(pending.text).not.toContain("outputs");
    reachable = true;
    // The seller waits for no block: it is asked until the settlement is in one.
    await eventually(async () => expect(await purse.post()).toMatchObject({ status: 200 }));
    await expectServed(one, purse);
  });

  test("T49: by the next process on its database, where the first ended in the middle", async () => {
    const records = { database: join(market.directory, "records.db") };
    const first = await seller(
      { "/settle": async (honest) => (await honest(), new Promise<Response>(() => undefined)) },
      { records, payment: { waitSeconds: 600 } },
    );
    const purse = await purseFor(market, first.origin);
    const cut = purse.post().catch(() => null);
    await eventually(async () => expect(await isUsed(market, purse)).toBe(true));
    await Promise.all(open.splice(0).map((one) => one.stop()));
    await cut;
    const second = await seller({}, { records, payment: { payTo: first.payTo } });
    await expectServed(second, { ...purse, post: () => purse.post(requestOf(), second.origin) });
  });

  test("once so many blocks lie on it as the seller wants", async () => {
    const one = await seller({}, { payment: { confirmations: 2, waitSeconds: 0 } });
    const purse = await purseFor(market, one.origin);
    expect(await purse.post()).toMatchObject({ status: 503 });
    await eventually(async () => expect(await isUsed(market, purse)).toBe(true));
    await createTestClient({ chain: foundry, mode: "anvil", transport: http(market.devnet.rpcUrl) }).mine({
      blocks: 2,
    });
    await expectServed(one, purse);
  });

  test("again, and the same, after the authorization ran out", async () => {
    const one = await seller();
    const purse = await purseFor(market, one.origin);
    const first = await purse.post();
    expect(first.status).toBe(200);
    const chain = createTestClient({ chain: foundry, mode: "anvil", transport: http(market.devnet.rpcUrl) });
    await chain.setNextBlockTimestamp({ timestamp: purse.authorization.validBefore + 1n });
    await chain.mine({ blocks: 1 });
    expect(await purse.post()).toEqual(first);
    expect(await takenBy(market, one)).toBe(10_000n);
  });
});

describe("nothing leaves for a payment that was not made", () => {
  test("T51: because its payer takes it back after it was found good", async () => {
    const purses: Purse[] = [];
    const one = await seller(
      {
        "/settle": async (honest) => {
          await purses[0]?.cancel();
          return honest();
        },
      },
      { payment: { waitSeconds: 1 } },
    );
    const purse = await purseFor(market, one.origin);
    purses.push(purse);
    const answer = await purse.post();
    expect(await isUsed(market, purse)).toBe(true);
    expect(answer.status).toBe(402);
    expect(answer.text).not.toContain("outputs");
    expect(await takenBy(market, one)).toBe(0n);
    expect((await purse.post()).text).not.toContain("outputs");
  });

  test("T51: because its payer's money went elsewhere meanwhile", async () => {
    const purses: Purse[] = [];
    const other = await seller();
    const one = await seller({
      "/settle": async (honest) => {
        await purses[1]?.redeem();
        return honest();
      },
    });
    const purse = await purseFor(market, one.origin, { funds: 10_000n });
    purses.push(purse, await purseFor(market, other.origin, { funds: 0n, account: purse.account }));
    const answer = await purse.post();
    expect(answer.status).toBe(402);
    expect(answer.text).not.toContain("outputs");
    expect(await takenBy(market, one)).toBe(0n);
  });

  test("T51: because the facilitator refuses it, whatever it says afterwards of another's transaction", async () => {
    const transaction = (await (await purseFor(market, (await seller()).origin)).post()).payment ?? "";
    const named = JSON.parse(Buffer.from(transaction, "base64").toString()) as { transaction: string };
    const network = `eip155:${market.devnet.chainId}`;
    const one = await seller(
      {
        "/settle": () =>
          Promise.resolve(
            Response.json({ success: false, errorReason: "late", transaction: named.transaction, network }),
          ),
      },
      { payment: { waitSeconds: 0 } },
    );
    const answer = await (await purseFor(market, one.origin)).post();
    expect(answer.status).toBe(503);
    expect(answer.text).not.toContain("outputs");
  });
});
