import fc from "fast-check";
import { sql } from "kysely";
import { beforeEach, describe, expect, it } from "vitest";
import { toHex, utf8 } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { addDecision } from "../../src/receipts/decisions.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { packReceipt } from "../../src/receipts/packed.ts";
import { createReceipt, redactReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { addReceipt, appendAppraisal, importReceipt, readReceipt } from "../../src/receipts/store.ts";
import type { Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, decisionContent, hashed, receiptCore } from "../support/receipt-core.ts";
import { leaves, otherThan, replaceAt } from "./json-edits.ts";
import { database, fill, time } from "./stores.ts";

let db: Db;
let receipts: { bought: Receipt; imported: Receipt; plain: Receipt };
beforeEach(async () => {
  db = await database();
  receipts = await fill(db);
});

const codeOf = async (): Promise<string> => {
  const result = await auditLog(db);
  return result.ok ? "ok" : result.code;
};
const run = (statement: string): Promise<unknown> => sql.raw(statement).execute(db);

/** Audits what a change would make of the database, and takes it back. */
async function whatIf(change: (tx: Db) => Promise<unknown>): Promise<Awaited<ReturnType<typeof auditLog>>> {
  const takenBack = new Error("taken back");
  const results: Awaited<ReturnType<typeof auditLog>>[] = [];
  await expect(
    immediate(db, async (tx) => {
      await change(tx);
      results.push(await auditLog(tx));
      throw takenBack;
    }),
  ).rejects.toBe(takenBack);
  return results[0]!;
}

/** Stores a value as an earlier program stored a receipt, or in the stored form of now. */
const setJson = (tx: Db, receipt: Receipt, value: unknown, form: "plain" | "packed" = "plain"): Promise<unknown> => {
  const { json, packed } =
    form === "plain" ? { json: JSON.stringify(value), packed: null } : packReceipt(value as Receipt);
  return tx.updateTable("receipts").set({ json, packed }).where("id", "=", receipt.id).execute();
};

describe("a log that is whole", () => {
  it("is said to be, with its length and head", async () => {
    const log = await db.selectFrom("log").selectAll().orderBy("seq").execute();
    expect(await auditLog(db)).toEqual({
      ok: true,
      entries: 9,
      receipts: 3,
      pruned: 0,
      decisions: 0,
      contradicted: [],
      head: log.at(-1)?.hash,
    });
    expect(await auditLog(await database())).toEqual({
      ok: true,
      entries: 0,
      receipts: 0,
      pruned: 0,
      decisions: 0,
      contradicted: [],
      head: "0".repeat(64),
    });
  });

  it("every entry is the canonical hash of what it says, and every digest that of what was appended", async () => {
    const log = await db.selectFrom("log").selectAll().orderBy("seq").execute();
    const { bought, imported, plain } = receipts;
    const sha = (value: unknown): string => toHex(canonicalSha256(value));
    expect(log.map(({ digest }) => digest)).toEqual(
      [
        { id: bought.id, later: [] },
        bought.appraisals[0],
        { id: imported.id, later: imported.later },
        bought.later[0],
        bought.later[1],
        bought.appraisals[1],
        imported.appraisals[0],
        { id: plain.id, later: [] },
        plain.appraisals[0],
      ].map(sha),
    );
    for (const { seq, kind, receipt_id: receiptId, digest, at, prev, hash } of log) {
      expect(hash).toBe(sha({ seq, kind, receiptId, digest, at, prev }));
    }
  });

  it.each([{ request: true }, { response: true }, { request: true, response: true }])(
    "T73: names a stored receipt that bodies were taken out of: %j",
    async (parts) => {
      await setJson(db, receipts.bought, redactReceipt(receipts.bought, parts));
      expect(await auditLog(db)).toMatchObject({
        code: "receipt_altered",
        receiptId: receipts.bought.id,
        message: expect.stringContaining("bodies") as string,
      });
    },
  );

  it("knows which bodies an imported receipt lacked, and which it was given", async () => {
    const whole = createReceipt(receiptCore("four"));
    const { id } = whole;
    const importing = (file: Receipt) => immediate(db, (tx) => importReceipt(tx, file, time(20)));
    await importing(redactReceipt(whole, { request: true, response: true }));
    expect(await codeOf()).toBe("ok");
    await importing(redactReceipt(whole, { request: true }));
    expect(await codeOf()).toBe("ok");
    const { receipt } = await importing(whole);
    expect(receipt.core).toEqual(whole.core);
    expect(await codeOf()).toBe("ok");
    for (const parts of [{ request: true }, { response: true }]) {
      const result = await whatIf((tx) => setJson(tx, receipt, redactReceipt(receipt, parts)));
      expect(result).toMatchObject({ code: "receipt_altered", receiptId: id });
    }
  });

  it("is walked page by page", async () => {
    await immediate(db, async (tx) => {
      for (let i = 0; i < 60; i += 1) {
        const receipt = createReceipt(receiptCore(`more ${i}`));
        await addReceipt(tx, receipt, appraisal(), time(i));
        await appendAppraisal(tx, receipt.id, appraisal());
      }
      for (let i = 0; i < 2000; i += 1) await addDecision(tx, decisionContent(receipts.plain.id, time(i), String(i)));
    });
    // More than a page of entries, of receipts and of decisions.
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 9 + 60 * 3 + 2000, receipts: 63, decisions: 2000 });
    await run("update receipts set seller_id = 'other' where id = (select max(id) from receipts)");
    expect(await codeOf()).toBe("receipt_altered");
  });
});

describe("a change is found and named", () => {
  it("of any cell of the log", async () => {
    const rows = await db.selectFrom("log").selectAll().orderBy("seq").execute();
    for (const row of rows) {
      for (const [column, value] of Object.entries(row)) {
        const other = column === "seq" ? 100 + Number(value) : otherThan(value);
        const result = await whatIf((tx) =>
          sql`update log set ${sql.ref(column)} = ${other} where seq = ${row.seq}`.execute(tx),
        );
        expect(result, `${column} of entry ${row.seq}`).toMatchObject({ ok: false, seq: row.seq });
      }
    }
  });

  it("of any cell of a receipt's row", async () => {
    for (const row of await db.selectFrom("receipts").selectAll().execute()) {
      for (const [column, value] of Object.entries(row)) {
        const result = await whatIf((tx) =>
          sql`update receipts set ${sql.ref(column)} = ${otherThan(value)} where id = ${row.id}`.execute(tx),
        );
        expect(result, `${column} of ${row.id}`).toMatchObject({
          ok: false,
          receiptId: column === "id" ? otherThan(row.id) : row.id,
        });
      }
    }
  });

  it.each(["plain", "packed"] as const)("of any value inside a stored receipt (%s)", async (form) => {
    const receipt = receipts.bought;
    for (const path of leaves(receipt)) {
      await setJson(db, receipt, replaceAt(receipt, path, otherThan), form);
      expect(await auditLog(db), path.join(".")).toMatchObject({
        ok: false,
        seq: 1,
        receiptId: receipt.id,
        code: "receipt_altered",
      });
    }
    await setJson(db, receipt, receipt, form);
    expect(await codeOf()).toBe("ok");
  });

  it("of any byte of a stored receipt", async () => {
    const { id } = receipts.imported;
    await setJson(db, receipts.imported, receipts.imported);
    const { json } = await db.selectFrom("receipts").select("json").where("id", "=", id).executeTakeFirstOrThrow();
    const ascii = fc.integer({ min: 1, max: 127 }).map((code) => String.fromCharCode(code));
    await fc.assert(
      fc.asyncProperty(fc.nat(json.length - 1), ascii, async (at, put) => {
        fc.pre(json[at] !== put);
        const changed = json.slice(0, at) + put + json.slice(at + 1);
        await db.updateTable("receipts").set({ json: changed }).where("id", "=", id).execute();
        expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: id });
      }),
      { numRuns: 200 },
    );
  });

  it("of any byte of a packed receipt that changes what is read of it", async () => {
    const { imported } = receipts;
    const { packed, json } = packReceipt(imported);
    await fc.assert(
      fc.asyncProperty(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = packed.with(at, (packed[at] ?? 0) ^ flip);
        await db.updateTable("receipts").set({ packed: changed, json }).where("id", "=", imported.id).execute();
        const result = await auditLog(db);
        // Bits that only fill up the last byte mean nothing.
        expect(result.ok ? await readReceipt(db, imported.id) : result.receiptId).toEqual(
          result.ok ? imported : imported.id,
        );
      }),
      { numRuns: 100 },
    );
  });

  it("of the core, the later evidence or the appraisals where the id was made anew", async () => {
    const { bought } = receipts;
    const forged = createReceipt({ ...bought.core, payment: { ...bought.core.payment, amount: "1" } });
    await db
      .updateTable("receipts")
      .set({ id: forged.id, json: JSON.stringify({ ...bought, id: forged.id, core: forged.core }), packed: null })
      .where("id", "=", bought.id)
      .execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: forged.id, code: "receipt_not_logged" });
  });

  it("of a body, which no digest covers but its own hashes", async () => {
    const { plain } = receipts;
    const response = { ...plain.core.response, body: hashed(utf8("another answer")).body };
    await setJson(db, plain, { ...plain, core: { ...plain.core, response } });
    expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: plain.id, code: "receipt_altered" });
  });
});

describe("rows that come, go or change places", () => {
  const entry = async (seq: number): Promise<Record<string, unknown>> =>
    db.selectFrom("log").selectAll().where("seq", "=", seq).executeTakeFirstOrThrow();
  const sealed = (row: Record<string, unknown>): Record<string, unknown> => {
    const { seq, kind, receipt_id: receiptId, digest, at, prev } = row;
    return { ...row, hash: toHex(canonicalSha256({ seq, kind, receiptId, digest, at, prev })) };
  };

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("entry %i deleted leaves a gap", async (seq) => {
    await run(`delete from log where seq = ${seq}`);
    expect(await auditLog(db)).toMatchObject({ ok: false, seq, code: "log_gap" });
  });

  it("the newest entry deleted is missed, also together with what it recorded", async () => {
    await run("delete from log where seq = 9");
    expect(await codeOf()).toBe("receipt_altered");
    await db
      .updateTable("receipts")
      .set({ json: JSON.stringify({ ...receipts.plain, appraisals: [] }), packed: null, verdict: "" })
      .where("id", "=", receipts.plain.id)
      .execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 9, code: "log_truncated" });
    await run("delete from log where seq = 8");
    expect(await codeOf()).toBe("receipt_not_logged");
    await run(`delete from receipts where id = '${receipts.plain.id}'`);
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 8, code: "log_truncated" });
  });

  it("the whole log and all receipts deleted are missed", async () => {
    await run("delete from log");
    await run("delete from receipts");
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 1, code: "log_truncated" });
  });

  it("a receipt deleted is missed", async () => {
    await run(`delete from receipts where id = '${receipts.imported.id}'`);
    expect(await auditLog(db)).toMatchObject({
      ok: false,
      seq: 3,
      receiptId: receipts.imported.id,
      code: "receipt_missing",
    });
  });

  it("a receipt put in without the log is found", async () => {
    const stray = createReceipt(receiptCore("stray"));
    const values = {
      id: stray.id,
      json: JSON.stringify(stray),
      seller_id: "risk-desk",
      model: "credit-risk",
      verdict: "",
      created_at: 1,
      payment_nonce: stray.core.payment.nonce,
    };
    await db.insertInto("receipts").values(values).execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: stray.id, code: "receipt_not_logged" });
  });

  it("two entries that changed places are found", async () => {
    await run("update log set seq = 99 where seq = 4");
    await run("update log set seq = 4 where seq = 5");
    await run("update log set seq = 5 where seq = 99");
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 4, code: "log_entry_altered" });
  });

  it("an entry put in between, with a hash that fits it, breaks the chain behind it", async () => {
    const second = await entry(2);
    await run("update log set seq = seq + 1000 where seq > 1");
    await run("update log set seq = seq - 999 where seq > 1000");
    await db
      .insertInto("log")
      .values(sealed({ ...second, seq: 2, digest: "0".repeat(64) }) as never)
      .execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 3 });
  });

  it("an entry made anew with a hash that fits it is not what the next one follows", async () => {
    const changed = sealed({ ...(await entry(2)), at: 5 });
    await db
      .updateTable("log")
      .set({ at: 5, hash: String(changed["hash"]) })
      .where("seq", "=", 2)
      .execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 3, code: "log_chain" });
  });

  it.each([
    ["of an unknown kind", { kind: "note" }],
    ["that records a receipt twice", { kind: "receipt" }],
    ["that appends to no receipt", { kind: "later", receipt_id: "p402_none" }],
  ])("an entry %s at the end is found", async (_, change) => {
    const last = await entry(9);
    const appended = sealed({ ...last, seq: 10, prev: last["hash"], ...change });
    await db
      .insertInto("log")
      .values(appended as never)
      .execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, seq: 10, code: "log_entry_misplaced" });
  });

  it("an appraisal appended to the log alone, or to the receipt alone, is found", async () => {
    const last = await entry(9);
    const appended = sealed({ ...last, seq: 10, prev: last["hash"], kind: "appraisal" });
    await db
      .insertInto("log")
      .values(appended as never)
      .execute();
    expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: receipts.plain.id, code: "receipt_altered" });
    await run("delete from log where seq = 10");
    await setJson(db, receipts.bought, {
      ...receipts.bought,
      appraisals: [...receipts.bought.appraisals, appraisal({ verdict: "verified" })],
    });
    expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: receipts.bought.id, code: "receipt_altered" });
  });

  it("evidence and appraisals left out or in another order are found", async () => {
    const { bought, imported } = receipts;
    const changes: [Receipt, Partial<Receipt>][] = [
      [bought, { later: bought.later.toReversed() }],
      [bought, { later: bought.later.slice(1) }],
      [bought, { later: [...bought.later, ...bought.later] }],
      [bought, { later: [] }],
      [bought, { appraisals: bought.appraisals.toReversed() }],
      [bought, { appraisals: bought.appraisals.slice(0, 1) }],
      [imported, { later: [] }],
      [imported, { later: [...imported.later, ...bought.later] }],
      [imported, { appraisals: [] }],
      [imported, { log: null }],
      [imported, { log: bought.log }],
    ];
    for (const [receipt, change] of changes) {
      const result = await whatIf((tx) => setJson(tx, receipt, { ...receipt, ...change }));
      expect(result, JSON.stringify(Object.keys(change))).toMatchObject({
        ok: false,
        receiptId: receipt.id,
        code: "receipt_altered",
      });
    }
  });

  it("a stored text that is no receipt is found, however it is made", async () => {
    for (const json of ["", "null", "{", "[".repeat(1_000_000), '"\\ud800"', "1e999"]) {
      for (const change of [{ json, packed: null }, { json }, { packed: utf8(json) }]) {
        await db.updateTable("receipts").set(change).where("id", "=", receipts.bought.id).execute();
        expect(await auditLog(db)).toMatchObject({ ok: false, receiptId: receipts.bought.id, code: "receipt_altered" });
      }
    }
  });
});
