import { afterAll, beforeAll, expect, test } from "vitest";
import { toHex0x, uint256 } from "../../src/evidence/bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC } from "../../src/evidence/eip3009.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** The receipt with a settlement that never happened, as someone would write it into the file. */
function withInventedSettlement(receipt: Receipt): Receipt {
  const { payment } = receipt.core;
  const log = (topics: string[], data: string, logIndex: number) => ({
    address: payment.asset,
    topics,
    data,
    logIndex,
  });
  const payer = toHex0x(addressWord(payment.payer));
  const evidence = {
    kind: "settlement.x402" as const,
    network: payment.network,
    outcome: "settled" as const,
    transaction: `0x${"11".repeat(32)}`,
    blockNumber: "9",
    blockHash: `0x${"22".repeat(32)}`,
    blockTime: Math.floor(Date.now() / 1000),
    logs: [
      log([AUTHORIZATION_USED_TOPIC, payer, payment.nonce], "0x", 0),
      log([TRANSFER_TOPIC, payer, toHex0x(addressWord(payment.payTo))], toHex0x(uint256(BigInt(payment.amount))), 1),
    ],
  };
  return { ...receipt, later: [{ at: new Date().toISOString(), evidence }] };
}

test("importing a file of a stored receipt changes nothing of what this buyer saw itself", async () => {
  const buyer = await market.buyer((config) => {
    // No chain answers, so the purchase stays pending.
    for (const network of config.networks) network.rpcUrl = "http://127.0.0.1:9";
  });
  const bought = await buyer.buy({
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    idempotencyKey: crypto.randomUUID(),
  });
  expect(bought.appraisal.verdict).toBe("pending");
  const imported = await buyer.importReceipt(withInventedSettlement(bought.receipt));
  expect(imported).toEqual(await buyer.getReceipt(bought.receipt.id));
  expect(newestAppraisal(imported).verdict).toBe("pending");
  expect(imported.later).toEqual([]);
  expect((await buyer.audit()).ok).toBe(true);
});

test("importing a receipt from elsewhere keeps it under this buyer's own judgement", async () => {
  const maker = await market.buyer();
  const bought = await maker.buy({
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    wait: "verified",
    idempotencyKey: crypto.randomUUID(),
  });
  const stricter = await market.buyer((config) => (config.verification.simulatedRoots = []));
  const imported = await stricter.importReceipt(bought.receipt);
  expect(imported.appraisals).toHaveLength(1);
  expect(newestAppraisal(imported).verdict).toBe("failed");
  expect((await stricter.audit()).ok).toBe(true);
});

test.each<[string, (core: ReceiptCore) => void]>([
  ["the time of receipt", (core) => (core.response.receivedAt = new Date().toISOString())],
  ["the time of the request", (core) => (core.request.sentAt = core.response.receivedAt)],
  ["the origin", (core) => (core.seller.origin = "https://bank.example")],
  ["the amount", (core) => (core.payment.amount = "1")],
  ["the payer", (core) => (core.payment.payer = `0x${"12".repeat(20)}`)],
  ["the asset", (core) => (core.payment.asset = `0x${"34".repeat(20)}`)],
  ["the network", (core) => (core.payment.network = "eip155:8453")],
  ["the evidence", (core) => core.evidence.splice(0)],
])("T61: a second receipt of one purchase is refused, with another value of %s", async (_name, change) => {
  const maker = await market.buyer();
  const bought = await maker.buy({
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    idempotencyKey: crypto.randomUUID(),
  });
  const core = structuredClone(bought.receipt.core);
  change(core);
  const copy = createReceipt(core);
  // The purchase's own buyer, and one that has the file.
  const stranger = await market.buyer();
  await stranger.importReceipt(bought.receipt);
  for (const buyer of [maker, stranger]) {
    await expect(buyer.importReceipt(copy)).rejects.toMatchObject({
      code: "purchase_known",
      details: { receiptId: bought.receipt.id },
    });
    expect(await buyer.listReceipts()).toHaveLength(1);
    expect((await buyer.audit()).ok).toBe(true);
  }
});

test("T98: a newer file of a stored receipt brings its contradictions, and none is dropped for want of room", async () => {
  const maker = await market.buyer();
  const bought = await maker.buy({
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    idempotencyKey: crypto.randomUUID(),
  });
  const at = new Date().toISOString();
  const contradiction = { kind: "contradiction" as const, layer: "response" as const, code: "found_since" };
  const newer = { ...bought.receipt, later: [{ at, evidence: contradiction }] };
  const stranger = await market.buyer();
  expect(newestAppraisal(await stranger.importReceipt(bought.receipt)).verdict).not.toBe("failed");
  expect(newestAppraisal(await stranger.importReceipt(newer)).verdict).toBe("failed");
  expect((await stranger.importReceipt(bought.receipt)).later.map(({ evidence }) => evidence)).toContainEqual(
    contradiction,
  );
  expect((await stranger.audit()).ok).toBe(true);
  const notes = Array.from({ length: 64 }, (_, n) => ({ at, evidence: { kind: "x.note", n } }));
  const failed = { ...newestAppraisal(bought.receipt), verdict: "failed" as const };
  const full = { ...bought.receipt, later: notes, appraisals: [failed] };
  await expect((await market.buyer()).importReceipt(full)).rejects.toMatchObject({ code: "receipt_full" });
});
