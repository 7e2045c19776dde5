import { afterAll, beforeAll, expect, test } from "vitest";
import type { PublishedBatch } from "../../src/evidence/inclusion.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { infront } from "../support/infront.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
const ends: (() => Promise<void>)[] = [];
beforeAll(async () => {
  market = await openMarket();
});
afterAll(async () => {
  await market.stop();
  for (const end of ends) await end();
});

/** The honest node behind one that answers some paths itself. */
async function infrontOfIt(answer: (path: string) => Promise<Response | null>): Promise<(config: Config) => void> {
  const served = await infront(market.devnet.sellers.honest.origin, answer);
  ends.push(served.stop);
  return (config) => {
    config.sellers = config.sellers.filter(({ id }) => id === "honest");
    config.sellers[0]!.origin = served.origin;
  };
}

async function buy(buyer: Buyer, idempotencyKey: string): Promise<Receipt> {
  const result = await buyWith(buyer, {
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    wait: "verified",
    idempotencyKey,
  });
  return result.receipt;
}
const inclusionOf = async (buyer: Buyer, id: string) => newestAppraisal(await buyer.getReceipt(id)).layers.inclusion;

test("a purchase's inclusion lands in its receipt by itself, once, and its verdict stays verified", async () => {
  const buyer = await market.buyer();
  const { id } = await buy(buyer, "included-by-itself");
  await eventually(async () => expect(await inclusionOf(buyer, id)).toMatchObject({ status: "pass" }));
  const receipt = await buyer.getReceipt(id);
  expect(newestAppraisal(receipt).verdict).toBe("verified");
  expect(receipt.later.filter(({ evidence }) => evidence.kind === "inclusion.merkle")).toHaveLength(1);
});

test("a seller that leaves the answer out of its batch fails the receipt and is put on hold", async () => {
  const { origin } = market.devnet.sellers.honest;
  const change = await infrontOfIt(async (path) => {
    if (!path.startsWith("/v1/batches/")) return null;
    const batch = (await (await fetch(`${origin}${path}`)).json()) as PublishedBatch;
    const values = batch.values.map(({ treeIndex, value: [tee, input, _output, ...rest] }) => ({
      treeIndex,
      value: [tee, input, `0x${"5e".repeat(32)}`, ...rest],
    }));
    return Response.json({ ...batch, values });
  });
  const buyer = await market.buyer(change);
  const { id } = await buy(buyer, "left-out-of-it");
  await eventually(async () =>
    expect(await inclusionOf(buyer, id)).toMatchObject({ status: "fail", code: "leaf_changed" }),
  );
  expect(newestAppraisal(await buyer.getReceipt(id)).verdict).toBe("failed");
  await expect(buy(buyer, "not-from-that-one")).rejects.toMatchObject({ code: expect.any(String) as string });
});

test("an inclusion that does not come in time is skipped, and condemns nobody", async () => {
  const change = await infrontOfIt((path) =>
    Promise.resolve(path.startsWith("/v1/inclusions/") ? Response.json({ state: "pending" }, { status: 202 }) : null),
  );
  const buyer = await market.buyer((config) => {
    change(config);
    config.verification.inclusionSeconds = 1;
  });
  const { id } = await buy(buyer, "never-anchored");
  await eventually(async () =>
    expect(await inclusionOf(buyer, id)).toMatchObject({ status: "skip", code: "inclusion_not_seen" }),
  );
  expect(newestAppraisal(await buyer.getReceipt(id)).verdict).toBe("verified");
});
