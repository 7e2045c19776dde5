import { describe, expect, it } from "vitest";
import { z } from "zod";
import { utf8 } from "../../src/evidence/bytes.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { packReceipt } from "../../src/receipts/packed.ts";
import { createReceipt, parseReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt } from "../../src/receipts/schema.ts";
import {
  addReceipt,
  appendAppraisal,
  appendLater,
  importReceipt,
  listReceipts,
  readReceipt,
} from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore, settlement } from "../support/receipt-core.ts";
import { database, fill, temporaryFile, time } from "./stores.ts";

const receipt = createReceipt(receiptCore());

describe("storing receipts", () => {
  it("a receipt gets its place in the log and is read back as it is, also after the file was closed", async () => {
    const path = temporaryFile();
    const db = await database(path);
    const stored = await immediate(db, (tx) => addReceipt(tx, receipt, appraisal(), time(1)));
    expect(stored).toEqual({
      ...receipt,
      appraisals: [appraisal()],
      log: { seq: 1, prev: "0".repeat(64), hash: stored.log?.hash },
    });
    expect(await readReceipt(await database(path), receipt.id)).toEqual(stored);
    expect(await readReceipt(db, createReceipt(receiptCore("two")).id)).toBeNull();
  });

  it("the place names the entry that links to the one before", async () => {
    const db = await database();
    const { imported, plain } = await fill(db);
    const log = await db.selectFrom("log").selectAll().orderBy("seq").execute();
    expect(log.map(({ kind }) => kind)).toEqual([
      "receipt",
      "appraisal",
      "import",
      "later",
      "later",
      "appraisal",
      "appraisal",
      "receipt",
      "appraisal",
    ]);
    expect(imported.log).toEqual({ seq: 3, prev: log[1]?.hash, hash: log[2]?.hash });
    expect(plain.log).toEqual({ seq: 8, prev: log[6]?.hash, hash: log[7]?.hash });
  });

  it("the newest come first, as many as wanted", async () => {
    const db = await database();
    const { bought, imported, plain } = await fill(db);
    expect(await listReceipts(db, { limit: 10 })).toEqual([plain, imported, bought]);
    expect(await listReceipts(db, { limit: 2 })).toEqual([plain, imported]);
    expect(await listReceipts(db, { limit: 0 })).toEqual([]);
    expect(await listReceipts(db, { limit: -1 })).toEqual([]);
  });

  it("the same receipt is stored once, and one that already has a story is not new", async () => {
    const db = await database();
    await immediate(db, (tx) => addReceipt(tx, receipt, appraisal(), time(1)));
    await expect(immediate(db, (tx) => addReceipt(tx, receipt, appraisal(), time(2)))).rejects.toMatchObject({
      code: "receipt_exists",
    });
    const told = { ...createReceipt(receiptCore("two")), appraisals: [appraisal()] };
    await expect(immediate(db, (tx) => addReceipt(tx, told, appraisal(), time(2)))).rejects.toThrow(/append/);
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 2, receipts: 1 });
  });

  it("work that fails after an append leaves nothing behind", async () => {
    const db = await database();
    const before = await fill(db);
    const audit = await auditLog(db);
    const work = immediate(db, async (tx) => {
      await addReceipt(tx, createReceipt(receiptCore("four")), appraisal(), time(9));
      await appendLater(tx, before.bought.id, settlement("third"), time(9));
      await appendAppraisal(tx, before.bought.id, appraisal({ verdict: "failed" }));
      throw new Error("the power went out");
    });
    await expect(work).rejects.toThrow("the power went out");
    expect(await auditLog(db)).toEqual(audit);
    expect(await readReceipt(db, before.bought.id)).toEqual(before.bought);
  });

  it("T73: a row that is not the receipt it is named as is said to be damaged, not returned", async () => {
    const db = await database();
    const { bought, plain } = await fill(db);
    const another = await db
      .selectFrom("receipts")
      .select(["json", "packed"])
      .where("id", "=", plain.id)
      .executeTakeFirstOrThrow();
    const json = JSON.stringify(plain);
    for (const wrong of ["", "{}", "[".repeat(100_000), json.slice(1), json.replace("{", '{"version":1,')])
      for (const change of [{ json: wrong }, { json: wrong, packed: null }, { packed: utf8(wrong) }]) {
        await db.updateTable("receipts").set(change).where("id", "=", bought.id).execute();
        await expect(readReceipt(db, bought.id)).rejects.toMatchObject({ code: "receipt_store_damaged" });
        await expect(listReceipts(db, { limit: 9 })).rejects.toMatchObject({ code: "receipt_store_damaged" });
      }
    const cells: [string, (receipt: Receipt) => void][] = [
      ["another seller", ({ core }) => (core.seller.origin = "https://bank.example")],
      ["another time", ({ core }) => (core.response.receivedAt = time(3000).toISOString())],
      ["another price", ({ core }) => (core.offer.decimals = 0)],
      ["another body", ({ core }) => (core.response.body = "e30=")],
    ];
    for (const [what, change] of cells) {
      const edited = structuredClone(bought);
      change(edited);
      const { contents: _none, ...packed } = packReceipt(edited);
      for (const columns of [packed, { json: JSON.stringify(edited), packed: null }]) {
        await db.updateTable("receipts").set(columns).where("id", "=", bought.id).execute();
        await expect(readReceipt(db, bought.id), what).rejects.toMatchObject({ code: "receipt_store_damaged" });
      }
    }
    await db.updateTable("receipts").set(another).where("id", "=", bought.id).execute();
    await expect(readReceipt(db, bought.id), "another receipt's row").rejects.toMatchObject({
      code: "receipt_store_damaged",
    });
  });
});

describe("what comes later", () => {
  it("is appended in order, and the newest verdict is the receipt's", async () => {
    const db = await database();
    const { bought } = await fill(db);
    expect(bought.later.map(({ at }) => at)).toEqual([time(3).toISOString(), time(4).toISOString()]);
    expect(bought.appraisals.map(({ verdict }) => verdict)).toEqual(["pending", "verified"]);
    const row = await db.selectFrom("receipts").select("verdict").where("id", "=", bought.id).executeTakeFirstOrThrow();
    expect(row.verdict).toBe("verified");
  });

  it("the same evidence is appended once, whenever and in whatever order of keys it comes again", async () => {
    const db = await database();
    const { bought } = await fill(db);
    const again = Object.fromEntries(Object.entries(settlement("first")).toReversed()) as Evidence;
    expect(await immediate(db, (tx) => appendLater(tx, bought.id, again, time(50)))).toEqual(bought);
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 9 });
    const other = await immediate(db, (tx) => appendLater(tx, bought.id, settlement("third"), time(50)));
    expect(other.later).toHaveLength(3);
  });

  it("nothing is appended to a receipt that is not there", async () => {
    const db = await database();
    await expect(immediate(db, (tx) => appendLater(tx, receipt.id, settlement(), time(1)))).rejects.toMatchObject({
      code: "receipt_not_found",
    });
    await expect(immediate(db, (tx) => appendAppraisal(tx, receipt.id, appraisal()))).rejects.toMatchObject({
      code: "receipt_not_found",
    });
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 0 });
  });

  it("nothing malformed is stored", async () => {
    const db = await database();
    const { plain } = await fill(db);
    const evidence = { ...settlement(), blockTime: -1 } as Evidence;
    await expect(immediate(db, (tx) => appendLater(tx, plain.id, evidence, time(9)))).rejects.toThrow(z.ZodError);
    const unsaid = { ...appraisal(), verdict: "fine" } as unknown as ReturnType<typeof appraisal>;
    await expect(immediate(db, (tx) => appendAppraisal(tx, plain.id, unsaid))).rejects.toThrow(z.ZodError);
    expect(await readReceipt(db, plain.id)).toEqual(plain);
  });
});

describe("T72: nothing is written that cannot be read back:", () => {
  const outputs = (count: number): Evidence => ({
    kind: "replay.onnx",
    modelSha256: "00".repeat(32),
    runtime: { name: "onnxruntime-node", version: "1" },
    outputs: [{ name: "y", datatype: "FP32", shape: [count], data: Array.from({ length: count }, (_, at) => at / 7) }],
  });
  const ezkl = (bytes: number): Evidence => {
    const file = Buffer.alloc(bytes, 1).toString("base64");
    return { kind: "zk.ezkl", proof: file, key: file, settings: "e30=" };
  };

  it.each([
    ["more values than a file may have", [outputs(100_000)]],
    ["more values than a file may have, together", [outputs(60_000), outputs(50_000)]],
    ["more bytes than a file may have, together", [1, 2, 3].map((more) => ezkl(1_000_000 + more * 3))],
  ])("%s", async (_what, evidence) => {
    const db = await database();
    const { plain } = await fill(db);
    const append = async (): Promise<void> => {
      for (const one of evidence) await immediate(db, (tx) => appendLater(tx, plain.id, one, time(9)));
    };
    await expect(append()).rejects.toMatchObject({ code: "receipt_full" });
    const stored = (await readReceipt(db, plain.id))!;
    expect(stored.later).toHaveLength(evidence.length - 1);
    expect(parseReceipt(serializeReceipt(stored))).toEqual({ ok: true, receipt: stored });
    expect(await listReceipts(db, { limit: 9 })).toHaveLength(3);
    expect(await auditLog(db)).toMatchObject({ ok: true });
  });

  it("numbers as large as outputs have them are read back", async () => {
    const db = await database();
    const { plain } = await fill(db);
    const evidence = outputs(3) as Evidence & { outputs: { data: number[] }[] };
    evidence.outputs[0]!.data = [1e20, 2 ** 60, -(2 ** 53), 3.4e38];
    await immediate(db, (tx) => appendLater(tx, plain.id, evidence, time(9)));
    const stored = (await readReceipt(db, plain.id))!;
    expect(stored.later[0]?.evidence).toEqual(evidence);
    expect(parseReceipt(serializeReceipt(stored))).toEqual({ ok: true, receipt: stored });
  });
});

describe("receipts made elsewhere", () => {
  it("export and import keep core and later evidence, and leave its maker's appraisals and log behind", async () => {
    const { bought } = await fill(await database());
    const parsed = parseReceipt(serializeReceipt(bought));
    if (!parsed.ok) throw new Error(parsed.message);
    const here = await database();
    const { receipt: imported, added } = await immediate(here, (tx) => importReceipt(tx, parsed.receipt, time(30)));
    expect(added).toBe(true);
    expect(imported).toEqual({
      ...bought,
      appraisals: [],
      log: { seq: 1, prev: "0".repeat(64), hash: imported.log?.hash },
    });
    expect(await readReceipt(here, bought.id)).toEqual(imported);
    expect(await auditLog(here)).toMatchObject({ ok: true, entries: 1, receipts: 1 });
  });

  it("one that is here already stays as it is: nothing of the file is merged into it", async () => {
    const db = await database();
    const { bought } = await fill(db);
    const file = {
      ...redactReceipt(bought, { response: true }),
      later: [{ at: time(0).toISOString(), evidence: settlement("forged") }],
    };
    expect(await immediate(db, (tx) => importReceipt(tx, file, time(30)))).toEqual({
      receipt: bought,
      added: false,
      completed: false,
    });
    expect(await readReceipt(db, bought.id)).toEqual(bought);
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 9 });
  });

  it("one that lacks its bodies is given them by a file that has them, and nothing else of it", async () => {
    const db = await database();
    const whole = createReceipt(receiptCore("seven"));
    const bare = await immediate(db, (tx) =>
      importReceipt(tx, redactReceipt(whole, { request: true, response: true }), time(1)),
    );
    expect(bare).toMatchObject({ added: true, completed: false });
    const file = { ...whole, later: [{ at: time(0).toISOString(), evidence: settlement("forged") }] };
    const given = await immediate(db, (tx) => importReceipt(tx, file, time(2)));
    expect(given).toEqual({ added: false, completed: true, receipt: { ...bare.receipt, core: whole.core } });
    expect(await readReceipt(db, whole.id)).toEqual(given.receipt);
    const again = await immediate(db, (tx) => importReceipt(tx, whole, time(3)));
    expect(again).toEqual({ added: false, completed: false, receipt: given.receipt });
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 2 });
  });

  it("what is no receipt is not stored, whoever vouches for it", async () => {
    const db = await database();
    const other = createReceipt(receiptCore("two"));
    const wrong: [string, unknown][] = [
      ["receipt_id_mismatch", { ...receipt, id: other.id }],
      ["receipt_id_mismatch", { ...receipt, core: { ...receipt.core, response: other.core.response } }],
      [
        "receipt_body_mismatch",
        { ...receipt, core: { ...receipt.core, request: { ...receipt.core.request, body: "AAAA" } } },
      ],
      ["receipt_malformed", { ...receipt, later: [{ at: "now", evidence: settlement() }] }],
      ["receipt_version", { ...receipt, version: 2 }],
    ];
    for (const [code, value] of wrong) {
      await expect(immediate(db, (tx) => importReceipt(tx, value as Receipt, time(1)))).rejects.toMatchObject({ code });
    }
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 0, receipts: 0 });
  });
});
