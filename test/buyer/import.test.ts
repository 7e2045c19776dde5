import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import fc from "fast-check";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { toHex0x, uint256 } from "../../src/evidence/bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC } from "../../src/evidence/eip3009.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { paidAmount } from "../../src/receipts/paid.ts";
import { createReceipt, redactReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import { importReceipt } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { cases } from "../support/campaign.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** A receipt that this buyer buys. */
async function buyFrom(buyer: Buyer, wait: "answer" | "verified" = "answer"): Promise<Receipt> {
  const key = crypto.randomUUID();
  const call = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: key };
  const bought = await buyWith(buyer, { ...call, ...(wait === "verified" ? { wait } : {}) });
  return bought.receipt;
}

/** What a receipt says, whatever order it was told in. */
const told = ({ core, later }: Receipt): unknown => ({
  core,
  later: later.map(({ evidence }) => JSON.stringify(canonicalSha256(evidence))).toSorted(),
});

/** The receipt with a settlement that never happened, as someone would write it into the file. */
function withInventedSettlement(receipt: Receipt, transaction = `0x${"11".repeat(32)}`): Receipt {
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
    transaction,
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

test("T98: of an own purchase no file counts: it makes the receipt neither settled nor failed", async () => {
  const buyer = await market.buyer((config) => {
    // No chain answers, so the purchase stays pending.
    for (const network of config.networks) network.rpcUrl = "http://127.0.0.1:9";
  });
  const receipt = await buyFrom(buyer);
  const { appraisals, later } = await buyer.getReceipt(receipt.id);
  expect([appraisals.at(-1)?.verdict, later]).toEqual(["pending", []]);
  const at = new Date().toISOString();
  const words: Evidence[] = [
    { kind: "contradiction", layer: "response", code: "invented" },
    { kind: "disputed", of: "settlement.x402" },
    { kind: "x.note", text: "anything" },
  ];
  const failed = { ...appraisals[0]!, verdict: "failed" as const };
  for (const file of [
    withInventedSettlement(receipt),
    { ...receipt, later: words.map((evidence) => ({ at, evidence })) },
    { ...receipt, appraisals: [failed] },
  ]) {
    const imported = await buyer.importReceipt(file);
    expect(imported).toEqual(await buyer.getReceipt(receipt.id));
    expect([newestAppraisal(imported).verdict, imported.later]).toEqual(["pending", []]);
  }
  expect((await buyer.audit()).ok).toBe(true);
});

test("importing a receipt from elsewhere keeps it under this buyer's own judgement", async () => {
  const maker = await market.buyer();
  const bought = await buyWith(maker, {
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

test("an imported receipt is judged at the assurance that its buyer's policy wants now", async () => {
  const { receipt } = await buyWith(await market.buyer(), {
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    wait: "verified",
    idempotencyKey: crypto.randomUUID(),
  });
  const database = join(market.directory, "raised.db");
  const under = (assurance: "signed" | "proven") =>
    market.buyer((config) =>
      Object.assign(config, { database, verification: { ...config.verification, assurance, reportedSuffices: true } }),
    );
  const before = await under("signed");
  expect(newestAppraisal(await before.importReceipt(receipt))).toMatchObject({ verdict: "verified", wanted: "signed" });
  await before.close();
  const raised = await under("proven");
  const stored = await raised.getReceipt(receipt.id);
  for (const one of [stored, receipt])
    expect(await raised.verify(one)).toMatchObject({ verdict: "unverified", wanted: "proven" });
  expect(newestAppraisal(await raised.importReceipt(receipt))).toMatchObject({
    verdict: "unverified",
    wanted: "proven",
  });
});

test("T98: a file of an own purchase that leaves out a body is judged with the stored one", async () => {
  const buyer = await market.buyer();
  const receipt = await buyFrom(buyer, "verified");
  const { outputs } = JSON.parse(Buffer.from(receipt.core.response.body ?? "", "base64").toString()) as {
    outputs: { data: number[] }[];
  };
  const [first, ...rest] = outputs;
  if (first === undefined) throw new Error("the seller answered");
  const otherwise: Evidence = {
    kind: "replay.onnx",
    modelSha256: market.devnet.config.sellers.find(({ id }) => id === "honest")?.reference.models["eth-risk"] ?? "",
    runtime: { name: "onnxruntime-node", version: "1" },
    outputs: [{ ...first, data: first.data.map((value) => value + 0.5) }, ...rest] as never,
  };
  const file = { ...receipt, later: [...receipt.later, { at: receipt.core.response.receivedAt, evidence: otherwise }] };
  for (const one of [
    file,
    redactReceipt(file, { response: true }),
    redactReceipt(file, { request: true, response: true }),
  ])
    for (const assurance of [undefined, "signed"] as const)
      expect((await buyer.verify(one, assurance === undefined ? {} : { assurance })).layers.computation).toMatchObject({
        status: "fail",
        code: "replay_mismatch",
      });
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
])("T61: another receipt of one purchase, with another value of %s", async (_name, change) => {
  const maker = await market.buyer();
  const receipt = await buyFrom(maker);
  const core = structuredClone(receipt.core);
  change(core);
  const copy = createReceipt(core);
  // The purchase's own buyer knows which one is true.
  await expect(maker.importReceipt(copy)).rejects.toMatchObject({
    code: "purchase_known",
    details: { receiptId: receipt.id },
  });
  expect(await maker.listReceipts()).toHaveLength(1);
  expect((await maker.verify(copy)).notProven.join()).toContain(`this buyer's own is ${receipt.id}`);
  // One that has files only keeps both, whichever came first, names the other with each, and acts on one of them.
  for (const files of [
    [receipt, copy],
    [copy, receipt],
  ]) {
    const stranger = await market.buyer();
    for (const file of files) await stranger.importReceipt(file);
    expect((await stranger.listReceipts()).map(({ id }) => id).toSorted()).toEqual([copy.id, receipt.id].toSorted());
    const names = (one: Receipt, other: Receipt) =>
      stranger.verify(one).then(({ notProven }) => expect(notProven.join()).toMatch(`name it, too (${other.id})`));
    await names(receipt, copy);
    await names(copy, receipt);
    expect(newestAppraisal(await stranger.getReceipt(receipt.id)).verdict).not.toBe("failed");
    expect(await stranger.claimReceipt(files[0]!.id, "guard")).toBe(true);
    expect(await stranger.claimReceipt(files[1]!.id, "guard")).toBe(false);
    expect((await stranger.audit()).ok).toBe(true);
  }
});

test("T98: a verdict of this buyer's own is no word of the file's maker: a pin that was missing is added", async () => {
  const receipt = await buyFrom(await market.buyer(), "verified");
  const file = { ...receipt, appraisals: [] };
  const right = market.config();
  const wrong = {
    ...right,
    sellers: right.sellers.map((one) => ({ ...one, payTo: [`0x${"0a".repeat(20)}` as const] })),
  };
  const before = await openBuyer({ config: wrong, wallet: null });
  const { appraisals } = await before.importReceipt(file);
  expect(appraisals.map(({ verdict }) => verdict)).toEqual(["failed"]);
  await before.close();
  const after = await openBuyer({ config: right, wallet: null });
  onTestFinished(() => after.close());
  const stored = await after.getReceipt(receipt.id);
  expect(stored.appraisals.map(({ verdict }) => verdict)).toEqual(["failed"]);
  const [own, ofFile] = [await after.verify(stored), await after.verify(file)];
  expect(own.verdict).not.toBe("failed");
  expect([own.verdict, own.layers]).toEqual([ofFile.verdict, ofFile.layers]);
});

test("T61: an own receipt is named beside junk that was there before it was bought", async () => {
  let file = "";
  const maker = await market.buyer(({ database }) => (file = database));
  const receipt = await buyFrom(maker);
  const junk = createReceipt({ ...receipt.core, evidence: [] });
  const db = await openDatabase(file);
  await immediate(db, (tx) => importReceipt(tx, junk, new Date()));
  await db.destroy();
  expect((await maker.verify(receipt)).notProven.join()).toContain(`(${junk.id}): this one is this buyer's own`);
  expect((await maker.verify(junk)).layers.payment).toMatchObject({ status: "fail", code: "purchase_differs" });
});

test("T98: a newer file of a stored receipt brings its contradictions, and none is dropped for want of room", async () => {
  const maker = await market.buyer();
  const bought = await buyWith(maker, {
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

test("T98: a file from before settlement is completed by one from after it, and an invented one makes nothing of it", async () => {
  const maker = await market.buyer();
  const { id } = await buyFrom(maker, "verified");
  const after = await maker.getReceipt(id);
  const before = { ...after, later: [] };
  const stranger = await market.buyer();
  const settlementOf = async (file: Receipt) => newestAppraisal(await stranger.importReceipt(file)).layers.settlement;
  expect(await settlementOf(before)).toMatchObject({ status: "pending", code: "awaiting_settlement" });
  expect(await settlementOf(after)).toMatchObject({ status: "reported" });
  expect(await settlementOf(before)).toMatchObject({ status: "reported" });
  expect(await settlementOf(withInventedSettlement(after))).toMatchObject({ status: "pending", code: "disputed" });
  expect(paidAmount(await stranger.getReceipt(id)).state).toBe("authorized");
  // One more than there is room for is refused and not dropped, and there is room for what says more.
  const invented = (n: number) => stranger.importReceipt(withInventedSettlement(after, `0x${"0".repeat(63)}${n}`));
  for (const n of [1, 2]) await invented(n);
  for (const n of [3, 4, 5])
    await expect(invented(n)).rejects.toMatchObject({
      code: "receipt_full",
      message: expect.stringContaining("4 pieces of the kind settlement.x402"),
      next: expect.stringContaining("Verify the file as it is"),
    });
  const contradiction = { kind: "contradiction" as const, layer: "settlement" as const, code: "found_since" };
  const newer = { ...after, later: [...after.later, { at: new Date().toISOString(), evidence: contradiction }] };
  expect(await settlementOf(newer)).toMatchObject({ status: "fail", code: "found_since" });
  expect((await stranger.audit()).ok).toBe(true);
});

test("T98: the files of one receipt come to the same, whichever are imported in whatever order", async () => {
  const maker = await market.buyer();
  const after = await maker.getReceipt((await buyFrom(maker, "verified")).id);
  const at = new Date().toISOString();
  const withLater = (...evidence: Evidence[]): Receipt => ({
    ...after,
    later: [...after.later, ...evidence.map((one) => ({ at, evidence: one }))],
  });
  const contradictions = ["a_first", "z_last"].map((code): Evidence => ({
    kind: "contradiction",
    layer: "response",
    code,
  }));
  const modelSha256 = "ab".repeat(32);
  const replay: Evidence = {
    kind: "replay.onnx",
    modelSha256,
    runtime: { name: "onnxruntime-node", version: "1" },
    outputs: [{ name: "y", datatype: "FP32", shape: [1], data: [1] }],
  };
  const invented = withInventedSettlement(after);
  const versions: Receipt[] = [
    { ...after, later: [] },
    after,
    invented,
    { ...after, later: [...after.later, ...invented.later] },
    withLater({ kind: "disputed", of: "settlement.x402" }),
    withLater(replay),
    ...contradictions.map((one) => withLater(one)),
    { ...after, appraisals: [{ ...newestAppraisal(after), verdict: "failed" }] },
    redactReceipt({ ...after, later: [] }, { request: true, response: true }),
  ];
  const stored = async (files: readonly Receipt[]) => {
    const stranger = await market.buyer();
    try {
      for (const file of files) await stranger.importReceipt(file);
      const receipt = await stranger.getReceipt(after.id);
      const { layers, verdict } = newestAppraisal(receipt);
      expect(verdict).not.toBe("verified");
      expect((await stranger.audit()).ok).toBe(true);
      return { ...(told(receipt) as object), layers, verdict };
    } finally {
      await stranger.close();
    }
  };
  const orders = fc
    .subarray(versions, { minLength: 2, maxLength: 5 })
    .chain((files) => fc.tuple(fc.shuffledSubarray(files, { minLength: files.length }), fc.constant(files)));
  await fc.assert(
    fc.asyncProperty(orders, async ([one, other]) => {
      expect(await stored(one)).toEqual(await stored(other));
    }),
    { numRuns: cases(10, 250, 15) },
  );
});
