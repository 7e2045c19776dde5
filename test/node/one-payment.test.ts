import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readBatchSettlement } from "../../src/evidence/inclusion.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { purseFor, requestOf } from "../support/selling.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket({ proving: true });
});
afterAll(() => market.stop());

const COUNT = 12;

test("T48: one payment for many requests at once is worked for once, and of the others nothing is proved or anchored", async () => {
  const { devnet } = market;
  const seller = devnet.sellers.prover;
  if (seller === undefined) throw new Error("the devnet proves");
  const purse = await purseFor(market, seller.origin);
  const bodies = Array.from({ length: COUNT }, (_, n) => requestOf(n));
  const answers = await Promise.all(bodies.map((body) => purse.post(body)));
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  expect(statuses.filter((status) => status === 402)).toHaveLength(COUNT - 1);
  expect(await devnet.balanceOf(seller.payTo)).toBe(20_000n);

  const proofOf = async (body: string) => {
    const response = await fetch(`${seller.origin}/v1/proofs/${createHash("sha256").update(body).digest("hex")}`);
    return response.status === 404 ? "none" : ((await response.json()) as { state: string }).state;
  };
  const paid = bodies[statuses.indexOf(200)] ?? "";
  await eventually(async () => expect(await proofOf(paid)).toBe("proved"));
  const others = bodies.filter((body) => body !== paid);
  expect(await Promise.all(others.map(proofOf))).toEqual(others.map(() => "none"));
  // No other seller of this market has sold anything.
  const anchored = await devnet.bank.client.getLogs({ address: devnet.relay, fromBlock: 0n });
  expect(anchored.map(({ topics, data }) => readBatchSettlement({ address: "", topics, data })?.count)).toEqual([1n]);
});

test("T48: a request that cannot be paid is neither proved nor anchored", async () => {
  const { devnet } = market;
  const seller = devnet.sellers.prover;
  if (seller === undefined) throw new Error("the devnet proves");
  const poor = await purseFor(market, seller.origin, { funds: 1n });
  const body = requestOf(99);
  expect((await poor.post(body)).status).toBe(402);
  const digest = createHash("sha256").update(body).digest("hex");
  expect((await fetch(`${seller.origin}/v1/proofs/${digest}`)).status).toBe(404);
});
