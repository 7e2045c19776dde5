import { deflateRawSync, inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import { fromUtf8, sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { PACK_WORDS } from "../../src/receipts/pack-words.ts";
import { packReceipt, unpackReceipt } from "../../src/receipts/packed.ts";
import { createReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt } from "../../src/receipts/schema.ts";
import { addReceipt, appendAppraisal, appendLater, listReceipts, readReceipt } from "../../src/receipts/store.ts";
import { createSimulatedEnclave, createSimulatedRoot } from "../../src/node/index.ts";
import type { Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { cases } from "../support/campaign.ts";
import { makeFixture } from "../support/fixture-receipt.ts";
import { appraisal, hashed, receiptCore } from "../support/receipt-core.ts";
import { database, fill, time } from "./stores.ts";

const opaque = (fields: object): Evidence => ({ ...fields, kind: "zk.of-tomorrow" });
/** Fields with names that mean something to JavaScript or to the stored form, and values of any length. */
const fields = fc.dictionary(
  fc.oneof(fc.constantFrom("__proto__", "constructor", "body", "document", "kept"), fc.string({ maxLength: 9 })),
  fc.oneof(
    fc.jsonValue({ stringUnit: "grapheme", maxDepth: 3 }),
    fc.nat(6000).map((length) => "A".repeat(length)),
    fc.nat(2000).map((length) => Array.from({ length }, (_one, at) => at)),
  ),
  { maxKeys: 4 },
);

const receiptOf = ([evidence, later, request, response, seed]: [
  object[],
  object[],
  number,
  number,
  number,
]): Receipt => {
  const core = receiptCore(String(seed), { evidence: evidence.map(opaque) });
  const body = (length: number) => (length < 9 ? {} : hashed(utf8("é".repeat(length))));
  return {
    ...createReceipt({
      ...core,
      request: { ...core.request, ...body(request) },
      response: { ...core.response, ...body(response) },
    }),
    later: later.map((piece) => ({ at: time(1).toISOString(), evidence: opaque(piece) })),
    appraisals: [appraisal({ verdict: "pending" }), appraisal()],
    log: { seq: 3, prev: "0".repeat(64), hash: "1".repeat(64) },
  };
};

describe("the stored form of a receipt", () => {
  it("gives the receipt again, its file byte for byte", () => {
    fc.assert(
      fc.property(
        fc.tuple(
          fc.array(fields, { maxLength: 3 }),
          fc.array(fields, { maxLength: 3 }),
          fc.nat(3000),
          fc.nat(3000),
          fc.nat(),
        ),
        (parts) => {
          const receipt = receiptOf(parts);
          const { packed, contents } = packReceipt(receipt);
          const again = unpackReceipt(packed, new Map(contents.map(({ hash, text }) => [hash, text]))) as Receipt;
          expect(JSON.stringify(again)).toBe(JSON.stringify(receipt));
          expect(fromUtf8(serializeReceipt(again))).toBe(fromUtf8(serializeReceipt(receipt)));
        },
      ),
      { numRuns: cases(60, 5000, 300) },
    );
  });

  it("is read with the words it was packed with: not one character of them changes", () => {
    expect(toHex(sha256(utf8(PACK_WORDS)))).toBe("3f3d1836eb6cfa42fd1b3953feee5bad09f156b95fa56653e04a694eb3532538");
  });

  it("has its long parts beside the row, each body under its own receipt's name", () => {
    const [one, two] = ["one", "two"].map((seed) =>
      packReceipt(
        createReceipt({
          ...receiptCore(seed, { evidence: [opaque({ proof: "B".repeat(5000) })] }),
          response: { ...receiptCore(seed).response, ...hashed(utf8("x".repeat(3000))) },
        }),
      ).contents.map(({ hash }) => hash),
    );
    expect(one).toHaveLength(2);
    expect(two).toHaveLength(2);
    expect(one?.filter((hash) => two?.includes(hash))).toHaveLength(1);
  });
});

/** Purchases under one attestation, judged twice and settled. */
async function bought(db: Db, count: number): Promise<Receipt[]> {
  const root = await createSimulatedRoot();
  const enclave = await createSimulatedEnclave({ root });
  let attested: { nonce: Uint8Array<ArrayBuffer>; document: Uint8Array<ArrayBuffer> } | undefined;
  const stored: Receipt[] = [];
  for (let index = 0; index < count; index += 1) {
    const { receipt, policy, evaluateAt } = await makeFixture({
      under: { root, enclave, ...(attested === undefined ? {} : { attested }) },
      signed: true,
    });
    const [nitro] = receipt.core.evidence;
    if (nitro?.kind !== "tee.nitro" || typeof nitro.document !== "string" || typeof nitro.nonce !== "string")
      throw new Error("no attestation");
    attested ??= {
      nonce: Uint8Array.from(Buffer.from(nitro.nonce, "hex")),
      document: Uint8Array.from(Buffer.from(nitro.document, "base64")),
    };
    const judge = (one: Receipt) => appraise({ receipt: one, policy, now: evaluateAt, evaluateAt });
    stored.push(
      await immediate(db, async (tx) => {
        const bare = { ...receipt, later: [] };
        await addReceipt(tx, bare, await judge(bare), time(index));
        for (const { evidence } of receipt.later) await appendLater(tx, receipt.id, evidence, time(index));
        return appendAppraisal(tx, receipt.id, await judge(receipt));
      }),
    );
  }
  return stored;
}

const codeOfError = (error: unknown): unknown => (error as { code?: unknown }).code;
const contentsOf = (db: Db) => db.selectFrom("contents").selectAll().orderBy("hash").execute();

describe("receipts of one attestation", () => {
  it("hold it once, and cost under 3 kB each beside it", async () => {
    const db = await database();
    const [first, ...others] = await bought(db, 6);
    const shared = await contentsOf(db);
    expect(first?.later).toHaveLength(1);
    expect(first?.appraisals).toHaveLength(2);
    const { rows } = await sql<{ id: string; bytes: number }>`select id, length(id) + length(json) + length(packed)
      + length(seller_id) + length(model) + length(verdict) + length(payment_nonce) + 8 as bytes from receipts`.execute(
      db,
    );
    expect(rows).toHaveLength(6);
    for (const { id, bytes } of rows) expect(bytes, id).toBeLessThan(3000);
    for (const receipt of others) {
      expect(JSON.stringify(receipt).length).toBeGreaterThan(13_000);
      const stored = await readReceipt(db, receipt.id);
      expect(stored === null ? "" : fromUtf8(serializeReceipt(stored))).toBe(fromUtf8(serializeReceipt(receipt)));
    }
    // The document and the key in it. The manifest is too short to be worth it.
    expect(shared).toHaveLength(2);
    expect(await auditLog(db)).toMatchObject({ ok: true, receipts: 6 });
  });

  it("T73: are neither read nor called whole if bytes of it are gone or changed", async () => {
    const db = await database();
    const [one] = await bought(db, 2);
    const whole = await contentsOf(db);
    const broken: [string, string, () => Promise<unknown>][] = [];
    for (const { hash, packed } of whole) {
      const restored = { hash, packed };
      broken.push(
        [hash, "content_missing", () => db.deleteFrom("contents").where("hash", "=", hash).execute()],
        [
          hash,
          "content_altered",
          () =>
            db
              .insertInto("contents")
              .values({ ...restored, packed: packed.with(20, (packed[20] ?? 0) ^ 1) })
              .execute(),
        ],
        [
          hash,
          "content_altered",
          () =>
            db
              .updateTable("contents")
              .set({ packed: whole.find((other) => other.hash !== hash)?.packed ?? packed })
              .where("hash", "=", hash)
              .execute(),
        ],
        [hash, "ok", () => db.updateTable("contents").set({ packed }).where("hash", "=", hash).execute()],
      );
    }
    for (const [hash, code, change] of broken) {
      await change();
      const audit = await auditLog(db);
      expect(audit.ok ? "ok" : audit.code, hash).toBe(code);
      for (const read of [() => readReceipt(db, one?.id ?? ""), () => listReceipts(db, { limit: 2 })])
        expect(await read().then(() => "ok", codeOfError)).toBe(code);
    }
  });
});

it("bytes that are damaged are made whole by the next receipt with them", async () => {
  const db = await database();
  const core = (seed: string) => receiptCore(seed, { evidence: [opaque({ proof: "D".repeat(5000) })] });
  const add = (seed: string) => immediate(db, (tx) => addReceipt(tx, createReceipt(core(seed)), appraisal(), time(1)));
  const first = await add("one");
  await db
    .updateTable("contents")
    .set({ packed: new Uint8Array(9) })
    .execute();
  expect(await auditLog(db)).toMatchObject({ ok: false, code: "content_altered" });
  await add("two");
  expect(await readReceipt(db, first.id)).toEqual(first);
  expect(await auditLog(db)).toMatchObject({ ok: true, receipts: 2 });
});

it.each([
  [["__proto__", "kept"]],
  [["core", "__proto__", "kept"]],
  [["core", "evidence", 0, "__proto__"]],
  [["core", "seller", "id"]],
  [["later", 0, "evidence", "none"]],
  [["core", "evidence", 0, "proof", 0]],
])("a row that names the place %j for its bytes is none", (place) => {
  const { packed, contents } = packReceipt(
    createReceipt(receiptCore("one", { evidence: [opaque({ proof: "E".repeat(5000) })] })),
  );
  const known = new Map(contents.map(({ hash, text }) => [hash, text]));
  expect(unpackReceipt(packed, known)).toBeDefined();
  const words = { dictionary: utf8(PACK_WORDS) };
  const [receipt] = JSON.parse(inflateRawSync(packed.subarray(35), words).toString()) as [unknown];
  const other = Buffer.concat([packed.subarray(0, 35), deflateRawSync(JSON.stringify([receipt, [place]]), words)]);
  expect(unpackReceipt(other, known)).toBeUndefined();
  expect(Object.hasOwn(Object.prototype, "kept")).toBe(false);
});

it("work that ends in the middle leaves no bytes behind", async () => {
  const db = await database();
  const core = receiptCore("one", { evidence: [opaque({ proof: "C".repeat(5000) })] });
  const work = immediate(db, async (tx) => {
    await addReceipt(tx, createReceipt(core), appraisal(), time(1));
    throw new Error("the power went out");
  });
  await expect(work).rejects.toThrow("the power went out");
  expect(await contentsOf(db)).toEqual([]);
});

it("a receipt that an earlier program stored is read as it is, and packed when it next changes", async () => {
  const db = await database();
  const { bought: receipt } = await fill(db);
  await db
    .updateTable("receipts")
    .set({ json: JSON.stringify(receipt), packed: null })
    .where("id", "=", receipt.id)
    .execute();
  expect(await readReceipt(db, receipt.id)).toEqual(receipt);
  expect(await auditLog(db)).toMatchObject({ ok: true });
  const changed = await immediate(db, (tx) => appendAppraisal(tx, receipt.id, appraisal({ verdict: "failed" })));
  const row = await db.selectFrom("receipts").selectAll().where("id", "=", receipt.id).executeTakeFirstOrThrow();
  expect(row.packed).not.toBeNull();
  expect(row.json.length).toBeLessThan(1200);
  expect(await readReceipt(db, receipt.id)).toEqual(changed);
  expect(await auditLog(db)).toMatchObject({ ok: true });
});
