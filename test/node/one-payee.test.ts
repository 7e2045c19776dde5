import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openMarket, type Market } from "../support/devnet.ts";
import {
  isUsed,
  openSellerBehind,
  purseFor,
  requestOf,
  takenBy,
  type Answered,
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

/** A node whose payee takes other payments, too. */
async function seller(
  settle?: (honest: () => Promise<Response>) => Promise<Response>,
  payment: NonNullable<Parameters<typeof openSellerBehind>[2]>["payment"] = {},
): Promise<OwnSeller> {
  const hooks = settle === undefined ? {} : { "/settle": settle };
  const one = await openSellerBehind(market, hooks, { payment: { sharedPayee: true, ...payment } });
  open.push(one);
  return one;
}

/** Another x402 service of the payee, which has a payment settled and delivers. */
async function sellElsewhere({ header }: Purse): Promise<void> {
  const paymentPayload = JSON.parse(Buffer.from(header, "base64").toString()) as { accepted: unknown };
  const order = { x402Version: 2, paymentPayload, paymentRequirements: paymentPayload.accepted };
  const response = await fetch(`${market.devnet.facilitatorUrl}/settle`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(order),
  });
  expect(await response.json()).toMatchObject({ success: true });
}

const wordOf = ({ payment }: Answered): unknown => JSON.parse(Buffer.from(payment ?? "", "base64").toString());

async function expectRefused(purse: Purse, at: string): Promise<void> {
  const answer = await purse.post(requestOf(), at);
  expect(answer.status).toBe(402);
  expect(answer.text).not.toContain("outputs");
  expect(answer.text).toContain("not at this seller's order");
  expect(wordOf(answer)).toMatchObject({
    success: false,
    errorReason: "payment_made_elsewhere",
    transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/) as string,
  });
}

describe("T48: one payment buys once where its payee takes payments for several services", () => {
  test("brought to two nodes at once, with records of their own", async () => {
    const one = await seller();
    const two = await seller(undefined, { payTo: one.payTo });
    for (let round = 0; round < 4; round += 1) {
      const before = await takenBy(market, one);
      const purse = await purseFor(market, one.origin);
      const answers = await Promise.all([purse.post(), purse.post(requestOf(1), two.origin)]);
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 402]);
      expect(answers.filter(({ text }) => text.includes('"outputs"'))).toHaveLength(1);
      expect((await takenBy(market, one)) - before).toBe(10_000n);
    }
  });

  const SAYS: [string, (honest: () => Promise<Response>) => Promise<Response>][] = [
    ["says used", (honest) => honest()],
    [
      "names a transaction of its own, which never came to be",
      async (honest) => {
        const said = (await (await honest()).json()) as object;
        return Response.json({ ...said, success: false, transaction: `0x${"ab".repeat(32)}` });
      },
    ],
    [
      "says that it is under way, and names none",
      async (honest) => {
        const said = (await (await honest()).json()) as object;
        return Response.json({ ...said, success: false, errorReason: "settlement_pending", transaction: "" });
      },
    ],
  ];
  test.each(SAYS)("settled by another service after the node found it good: the facilitator %s", async (_how, says) => {
    const purses: Purse[] = [];
    const node = await seller(async (honest) => {
      for (const purse of purses.splice(0)) await sellElsewhere(purse);
      return says(honest);
    });
    const purse = await purseFor(market, node.origin);
    purses.push(purse);
    await expectRefused(purse, node.origin);
    await expectRefused(purse, node.origin);
    expect(await takenBy(market, node)).toBe(10_000n);
  });

  test("submitted by a stranger, who cannot be told from another service", async () => {
    const purses: Purse[] = [];
    const node = await seller(async (honest) => {
      for (const purse of purses.splice(0)) await purse.redeem();
      return honest();
    });
    const purse = await purseFor(market, node.origin);
    purses.push(purse);
    await expectRefused(purse, node.origin);
  });

  test("settled by another service between two asks, the first of which the facilitator refused", async () => {
    const purses: Purse[] = [];
    let asked = 0;
    const network = `eip155:${market.devnet.chainId}` as const;
    const node = await seller(async (honest) => {
      asked += 1;
      return asked === 1
        ? Response.json({ success: false, errorReason: "unexpected_settle_error", transaction: "", network })
        : honest();
    });
    const purse = await purseFor(market, node.origin);
    expect(wordOf(await purse.post())).toMatchObject({ errorReason: "unexpected_settle_error" });
    expect(await isUsed(market, purse)).toBe(false);
    purses.push(purse);
    await sellElsewhere(purse);
    await expectRefused(purse, node.origin);
    expect(asked).toBe(1);
  });
});
