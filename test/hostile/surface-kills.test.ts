import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { half } from "../support/campaign.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { endCall, STEPS, type End } from "./ends.ts";

const PRICE = 10_000n;

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** One payment, one receipt, and the answer. */
const ONCE = {
  receipts: 1,
  counted: 1,
  used: 1,
  left: PRICE,
  audited: true,
  answer: expect.objectContaining({ class: expect.anything() }),
};

/** Moments drawn anew in each run; `npm run test:campaign` draws two hundred. */
const random = (): number => Math.floor(Math.random() * 400);

describe("T33: a call whose process is killed, or that is cancelled", () => {
  test.concurrent.each(["cli", "mcp"] as const)(
    "at each step over the %s and made again is paid once and answered",
    async (surface) => {
      const ends: End[] = [
        // In a test run each surface is killed at every fourth step, the other one at those between.
        ...half(half(STEPS), surface === "cli" ? 0 : 1).map((at) => ({ surface, how: "kill" as const, at })),
        ...half(["reserved", "paid", "answered"] as const, surface === "cli" ? 0 : 1).map((at) => ({
          surface,
          how: "cancel" as const,
          at,
        })),
        { surface, how: "kill", at: random() },
        { surface, how: "cancel", at: random() },
      ];
      for (const end of ends) expect({ end, ...(await endCall(market, end)) }).toEqual({ end, ...ONCE });
    },
  );
});
