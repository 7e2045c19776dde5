import type { ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { Buyer } from "../../src/buyer/types.ts";
import { guardTool } from "../../src/langchain/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt } from "../../src/receipts/schema.ts";
import { appendAppraisal, appendLater, requireReceipt } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { buyWith } from "../support/buy.ts";
import { half } from "../support/campaign.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { filled, filling } from "../support/full-receipt.ts";

let market: Market;
/** Two receipts of one purchase: as it was bought, and with another time in a field that nothing signs. */
let genuine: Receipt;
let copy: Receipt;
/** One that holds no evidence of the seller. */
let junk: Receipt;
beforeAll(async () => {
  market = await openMarket();
  const call = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", wait: "verified" } as const;
  const bought = await buyWith(await market.buyer(), { ...call, idempotencyKey: crypto.randomUUID() });
  genuine = { ...bought.receipt, appraisals: [] };
  const core = structuredClone(genuine.core);
  core.response.receivedAt = new Date(Date.parse(core.response.receivedAt) + 1).toISOString();
  copy = { ...createReceipt(core), later: genuine.later };
  junk = { ...createReceipt({ ...genuine.core, evidence: [] }), later: genuine.later };
});
afterAll(() => market.stop());

/** A buyer that has files only, and takes their word for the chain. */
const stranger = (): Promise<Buyer> => market.buyer((config) => (config.verification.reportedSuffices = true));

const withLater = (receipt: Receipt, evidence: Evidence): Receipt => ({
  ...receipt,
  later: [...receipt.later, { at: receipt.core.response.receivedAt, evidence }],
});
const CONTRADICTION: Evidence = { kind: "contradiction", layer: "response", code: "found_since" };

/** What a list, a file, a stored receipt and a guard say of a receipt: [verdict, code of its payment layer]. */
async function saidOf(buyer: Buyer, receipt: Receipt): Promise<unknown[]> {
  const listed = (await buyer.listReceipts()).find(({ id }) => id === receipt.id)!;
  const of = [newestAppraisal(listed), await buyer.verify(receipt), await buyer.verify(listed)];
  const said = of.map(({ verdict, layers }) => JSON.stringify([verdict, layers.payment.code, layers.payment.note]));
  expect(new Set(said)).toHaveLength(1);
  const guarded = guardTool(
    tool(() => "done", { name: "act", description: "acts", schema: z.object({}) }),
    // A claim would be the purchase's only one.
    { buyer, assurance: "attested", maxAge: 3600, allowSimulated: true, bind: () => "only asked" },
  );
  const call = { type: "tool_call" as const, id: "c", name: "act", args: { receipt_id: receipt.id } };
  const { artifact } = (await guarded.invoke(call)) as ToolMessage;
  const { code } = (artifact as { error: { code: string } }).error;
  expect(code).toBe(of[0]!.verdict === "verified" ? "receipt_not_bound" : "receipt_not_verified");
  return [of[0]!.verdict, of[0]!.layers.payment.code];
}

/** Both are unverified, and each names the other. */
async function expectContested(buyer: Buyer): Promise<void> {
  for (const [one, other] of [
    [genuine, copy],
    [copy, genuine],
  ] as const) {
    expect(await saidOf(buyer, one)).toEqual(["unverified", "purchase_contested"]);
    const { note } = newestAppraisal(await buyer.getReceipt(one.id)).layers.payment;
    expect(note).toContain(other.id);
    expect(note).toContain("Only the buyer or the seller can tell");
  }
  expect((await buyer.audit()).ok).toBe(true);
}

test.each([
  ["the genuine one first", () => [genuine, copy]],
  ["the genuine one last", () => [copy, genuine]],
  ["with junk before and between", () => [junk, genuine, junk, copy]],
])("T97: two imported receipts of one purchase that differ are unverified, %s", async (_name, files) => {
  const buyer = await stranger();
  for (const file of files()) await buyer.importReceipt(file);
  await expectContested(buyer);
  // Judged and imported again they are what they were, and nothing is appended once more.
  const counts = async () => (await buyer.listReceipts()).map(({ id, appraisals }) => [id, appraisals.length]);
  const before = await counts();
  for (const file of files()) await buyer.importReceipt(file);
  await expectContested(buyer);
  expect(await counts()).toEqual(before);
});

test("T97: two receipts of one purchase are unverified where both are imported at once, and listeners hear it", async () => {
  const buyer = await stranger();
  const heard = new Map<string, string>();
  buyer.onReceipt((receipt) => heard.set(receipt.id, newestAppraisal(receipt).verdict));
  await Promise.all([genuine, copy].map((file) => buyer.importReceipt(file)));
  await expectContested(buyer);
  await expect.poll(() => [heard.get(genuine.id), heard.get(copy.id)]).toEqual(["unverified", "unverified"]);
});

test("T97: a receipt from before settlement contests one from after it: the chain shows the same of both", async () => {
  const buyer = await stranger();
  await buyer.importReceipt({ ...genuine, later: [] });
  await buyer.importReceipt(copy);
  await expectContested(buyer);
});

test("T97: junk and a failed receipt contest nothing, whichever came first", async () => {
  const failed = withLater(copy, CONTRADICTION);
  for (const files of [
    [junk, failed, genuine],
    [genuine, junk, failed],
  ]) {
    const buyer = await stranger();
    for (const file of files) await buyer.importReceipt(file);
    expect(await saidOf(buyer, genuine)).toEqual(["verified", "ok"]);
    expect((await saidOf(buyer, junk))[0]).toBe("unverified");
    expect((await saidOf(buyer, failed))[0]).toBe("failed");
  }
});

test("T97: a receipt is contested no more once the other one is contradicted", async () => {
  const buyer = await stranger();
  for (const file of [copy, genuine]) await buyer.importReceipt(file);
  await expectContested(buyer);
  await buyer.importReceipt(withLater(copy, CONTRADICTION));
  expect(await saidOf(buyer, genuine)).toEqual(["verified", "ok"]);
  expect((await saidOf(buyer, copy))[0]).toBe("failed");
  expect((await buyer.audit()).ok).toBe(true);
});

test.each(["settlement.x402", "inclusion.merkle"] as const)(
  "T97: a dispute about %s in one of two receipts leaves the other one contested",
  async (of) => {
    const buyer = await stranger();
    await buyer.importReceipt(withLater(genuine, { kind: "disputed", of }));
    await buyer.importReceipt(copy);
    expect(await saidOf(buyer, copy)).toEqual(["unverified", "purchase_contested"]);
  },
);

test("T97: of three receipts of one purchase each names one that still holds up", async () => {
  const buyer = await stranger();
  const core = structuredClone(genuine.core);
  core.response.receivedAt = new Date(Date.parse(core.response.receivedAt) + 2).toISOString();
  const third = { ...createReceipt(core), later: genuine.later };
  for (const file of [copy, genuine, third, withLater(copy, CONTRADICTION)]) await buyer.importReceipt(file);
  for (const [one, other] of [
    [genuine, third],
    [third, genuine],
  ] as const) {
    expect(await saidOf(buyer, one)).toEqual(["unverified", "purchase_contested"]);
    expect(newestAppraisal(await buyer.getReceipt(one.id)).layers.payment.note).toContain(other.id);
  }
  await buyer.importReceipt(withLater(third, CONTRADICTION));
  expect(await saidOf(buyer, genuine)).toEqual(["verified", "ok"]);
});

test("T97: a receipt filled to the last byte keeps no other one out, and is contested and contradicted like any", async () => {
  const buyer = await stranger();
  await expect(buyer.importReceipt(filled(copy, 1))).rejects.toMatchObject({ code: "receipt_full" });
  expect(await saidOf(buyer, await buyer.importReceipt(filled(copy)))).toEqual(["verified", "ok"]);
  await buyer.importReceipt(genuine);
  await expectContested(buyer);
  await buyer.importReceipt(withLater(copy, CONTRADICTION));
  expect(await saidOf(buyer, genuine)).toEqual(["verified", "ok"]);
  expect((await saidOf(buyer, copy))[0]).toBe("failed");
  expect((await buyer.audit()).ok).toBe(true);
});

test.each(
  half([
    ["contested", () => copy, "unverified"],
    ["contradicted", () => withLater(genuine, CONTRADICTION), "failed"],
  ] as const),
)("T97: a receipt that was stored as full as could be is %s", async (_how, file, verdict) => {
  let database = "";
  const buyer = await market.buyer((config) => {
    config.verification.reportedSuffices = true;
    ({ database } = config);
  });
  const first = await buyer.importReceipt(genuine);
  const db = await openDatabase(database);
  const notes = Array.from({ length: 63 - first.later.length }, (_, n) => ({ kind: "x.note", n }));
  await immediate(db, async (tx) => {
    const at = new Date();
    for (const note of notes) await appendLater(tx, genuine.id, note, at);
    for (let n = 1; n < 256; n += 1) await appendAppraisal(tx, genuine.id, first.appraisals[0]!);
    await appendLater(tx, genuine.id, filling(await requireReceipt(tx, genuine.id)), at);
  });
  await db.destroy();
  expect(await saidOf(buyer, genuine)).toEqual(["verified", "ok"]);
  await buyer.importReceipt(file());
  expect((await saidOf(buyer, genuine))[0]).toBe(verdict);
  expect((await buyer.audit()).ok).toBe(true);
});

test("T97: no copy of an own purchase is taken before its own receipt is stored", async () => {
  let file = "";
  const buyer = await market.buyer((config) => {
    config.verification.reportedSuffices = true;
    file = config.database;
  });
  const call = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", wait: "verified" } as const;
  const { receipt } = await buyWith(buyer, { ...call, idempotencyKey: crypto.randomUUID() });
  // As it was while the answer was on its way.
  const db = await openDatabase(file);
  await db.deleteFrom("receipts").where("id", "=", receipt.id).execute();
  await db
    .updateTable("purchases")
    .set({ receipt_id: null, state: "sent" })
    .where("receipt_id", "=", receipt.id)
    .execute();
  await db.destroy();
  const core = structuredClone(receipt.core);
  core.response.receivedAt = new Date(Date.parse(core.response.receivedAt) + 1).toISOString();
  for (const one of [receipt, { ...createReceipt(core), later: receipt.later }])
    await expect(buyer.importReceipt(one)).rejects.toMatchObject({
      code: "purchase_known",
      next: expect.stringContaining("same idempotency key"),
    });
  expect(await buyer.listReceipts()).toEqual([]);
});
