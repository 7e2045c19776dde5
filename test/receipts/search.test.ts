import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import { createReceipt } from "../../src/receipts/receipt.ts";
import {
  eachReceipt,
  fullId,
  MAX_COUNTED,
  receiptsAfter,
  searchReceipts,
  shortId,
  type Place,
  type ReceiptFilter,
} from "../../src/receipts/search.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import type { Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { database, fill, time } from "./stores.ts";

/** More than are read at once. */
const MANY = 205;

async function many(db: Db): Promise<string[]> {
  const receipts = Array.from({ length: MANY }, (_, at) => createReceipt(receiptCore(`receipt ${at}`)));
  // Many within one millisecond: their order is by id.
  await immediate(db, async (tx) => {
    for (const [at, receipt] of receipts.entries())
      await addReceipt(tx, receipt, appraisal(), time(Math.floor(at / 100)));
  });
  return receipts.map(({ id }) => id);
}

describe("stored receipts", () => {
  it("are found by seller, model, verdict, time, and words", async () => {
    const db = await database();
    const { bought, imported, plain } = await fill(db);
    await db
      .insertInto("receipt_claims")
      .values({
        receipt_id: plain.id,
        purpose: "Pay_roll of May, Überweisung",
        at: 1,
        purchase: plain.core.payment.nonce,
      })
      .execute();
    const found = async (filter: ReceiptFilter): Promise<string[]> =>
      (await searchReceipts(db, { ...filter, limit: 10 })).receipts.map(({ id }) => id);
    const { id: seller } = bought.core.seller;
    expect(await found({ seller })).toEqual([plain.id, imported.id, bought.id]);
    expect(await found({ seller: "x' or 1=1 --" })).toEqual([]);
    expect(await found({ model: bought.core.request.model })).toHaveLength(3);
    expect(await found({ model: "another" })).toEqual([]);
    expect(await found({ verdict: "verified" })).toContain(bought.id);
    expect(await found({ verdict: "pending" })).not.toContain(bought.id);
    expect(await found({ since: time(2) })).toEqual([plain.id, imported.id]);
    expect(await found({ since: time(2), before: time(7) })).toEqual([imported.id]);
    expect(await found({ search: "PAY_ROLL" })).toEqual([plain.id]);
    expect(await found({ search: "überweisung" })).toEqual([]);
    expect(await found({ search: "ÜberWEISUNG" })).toEqual([plain.id]);
    // No sign of a pattern means anything.
    expect(await found({ search: "Pay%roll" })).toEqual([]);
    expect(await found({ search: seller.toUpperCase() })).toHaveLength(3);
    expect(await found({ search: imported.id.slice(8, 20) })).toEqual([imported.id]);
  });

  it("are listed page by page, each once, and read one by one in the order they came", async () => {
    const db = await database();
    const ids = await many(db);
    const pages: string[] = [];
    for (let skip = 0; skip < MANY; skip += 50) {
      const { receipts, total } = await searchReceipts(db, { limit: 50, skip });
      expect(total).toBe(MANY);
      pages.push(...receipts.map(({ id }) => id));
    }
    expect(pages.toSorted()).toEqual(ids.toSorted());
    const read: string[] = [];
    for await (const { id } of eachReceipt(db)) read.push(id);
    expect(read.toSorted()).toEqual(ids.toSorted());
    expect(read.slice(0, 100).toSorted()).toEqual(ids.slice(0, 100).toSorted());
  });

  it("are found by words as a look at each of them finds them", async () => {
    const db = await database();
    const sellers = ["honest", "Honest-2", "eth", "x y"];
    const models = ["eth-risk", "y eth", "Übung"];
    const rows = Array.from({ length: 240 }, (_, at) => ({
      id: `p402_${"abcdefgh234567".at(at % 14)}${String(at)
        .padStart(6, "a")
        .replaceAll(/[0189]/g, "b")}${"c".repeat(45)}`,
      json: "{}",
      seller_id: sellers[at % 4]!,
      model: models[at % 3]!,
      verdict: at % 5 === 0 ? "failed" : "verified",
      created_at: Math.floor(at / 7),
      payment_nonce: `0x${at}`,
    }));
    const ids = new Map(rows.map((row) => [row.id, row]));
    await db
      .insertInto("receipts")
      .values([...ids.values()])
      .execute();
    const lower = (text: string): string => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
    const placed = [...ids.values()].toSorted((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1));
    const texts = [
      "eth",
      "ETH",
      "honest",
      "t-2 eth",
      "x y y",
      "y y",
      "Übung",
      "übung",
      "none",
      "",
      "p402_a",
      "aaab22ccc",
      " ",
    ];
    for (const search of [...texts, placed[5]!.id, placed[9]!.id.slice(9, 20)])
      for (const verdict of [undefined, "failed" as const]) {
        const sought = lower(search);
        const expected = placed.filter(
          ({ id, seller_id: seller, model, verdict: own }) =>
            (verdict === undefined || own === verdict) &&
            (lower(`${seller} ${model}`).includes(sought) || (sought.length > 5 && id.includes(sought))),
        );
        const found: string[] = [];
        for (let after: Place | null = null; ;) {
          const page: Place[] = await receiptsAfter(db, { search, verdict }, { after, limit: 50 });
          found.push(...page.map(({ id }) => id));
          after = page.at(-1) ?? null;
          if (after === null) break;
        }
        expect([search, found]).toEqual([search, expected.map(({ id }) => id)]);
      }
  });

  it("are counted as far as a person counts, and then said to be more", async () => {
    const db = await database();
    const [first] = await many(db);
    const { seller_id: seller, model } = await db
      .selectFrom("receipts")
      .selectAll()
      .where("id", "=", first!)
      .executeTakeFirstOrThrow();
    await sql`insert into receipts (id, json, seller_id, model, verdict, created_at, payment_nonce)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MAX_COUNTED + 1})
      select 'p402_' || i, '{}', 'another', ${model}, '', -i, 'n' || i from n`.execute(db);
    for (const filter of [{}, { model }, { search: model }, { search: "e" }])
      expect(await searchReceipts(db, { ...filter, limit: 3 })).toMatchObject({ total: MAX_COUNTED, isMore: true });
    for (const filter of [{ seller }, { search: seller }])
      expect(await searchReceipts(db, { ...filter, limit: 3 })).toMatchObject({ total: MANY, isMore: false });
    expect((await searchReceipts(db, { limit: 3, skip: MANY - 1 - 2 })).receipts).toHaveLength(3);
    // What a bound may leave out is said, and a filter that lets fewer through leaves nothing out.
    const part = first!.slice(9, 20);
    expect(await searchReceipts(db, { search: part, limit: 3 })).toMatchObject({ isPartial: true });
    expect(await searchReceipts(db, { search: part, seller, limit: 3 })).toMatchObject({ total: 1, isPartial: false });
    await sql`insert into receipts (id, json, seller_id, model, verdict, created_at, payment_nonce)
      values ('p402_oldestofall', '{}', 'rare', 'rare', '', -99999, 'oldest')`.execute(db);
    expect(await receiptsAfter(db, { search: "destofal", seller: "rare" }, { after: null, limit: 3 })).toHaveLength(1);
  });

  it("are listed from indexes, however many there are", async () => {
    const db = await database();
    const { imported } = await fill(db);
    const asked: string[] = [];
    const recorded = db.withPlugin({
      transformQuery: ({ node }) => {
        asked.push(db.getExecutor().compileQuery(node, { queryId: "test" }).sql);
        return node;
      },
      transformResult: ({ result }) => Promise.resolve(result),
    });
    const { seller, request } = imported.core;
    const filters: ReceiptFilter[] = [{}, { seller: "s" }, { model: "m" }, { verdict: "failed" }];
    for (const filter of filters) await searchReceipts(recorded, { ...filter, limit: 20 });
    for (const search of ["none has it", seller.id, request.model, imported.id.slice(9, 20), imported.id.slice(0, 20)])
      await searchReceipts(recorded, { search, limit: 20 });
    // The pages' lists continue at a place, and know the assurance reached.
    const place = { created_at: 1, id: "p402_a" };
    for (const after of [null, place]) await receiptsAfter(recorded, {}, { after, limit: 20 });
    await receiptsAfter(recorded, { seller: "s" }, { after: place, limit: 20 });
    await receiptsAfter(recorded, { assurance: "signed" }, { after: place, limit: 20 });
    const listing = asked.filter((query) => !query.includes('json" from'));
    expect(listing.length).toBeGreaterThan(2 * filters.length + 4 + 5 * 3);
    for (const query of listing) {
      const parameters = query.split("?").length - 1;
      const bound = Array.from({ length: parameters }, () => "1");
      const plan = await sql<{ detail: string }>`explain query plan ${sql.raw(inserted(query, bound))}`.execute(db);
      const of = plan.rows.map(({ detail }) => detail).filter((one) => /\breceipt(?:s|_claims)\b/.test(one));
      const isOfAssurance = query.includes("$.appraisals");
      for (const detail of of)
        expect(detail).toMatch(
          isOfAssurance
            ? /INDEX receipts_of_assurance/
            : /USING COVERING INDEX (?:receipt(?:s|_claims)_|sqlite_autoindex_receipts_1)|SEARCH receipts USING INDEX sqlite_autoindex_receipts_1 \(id[=>]/,
        );
      expect(of.length).toBeGreaterThan(0);
      // The order comes from the index, too, but for a few receipts by their ids.
      const sorted = plan.rows.map(({ detail }) => detail).join();
      const isSorted = sorted.includes("TEMP B-TREE FOR ORDER BY");
      expect(!isSorted || sorted.includes("autoindex_receipts_1 (id>")).toBe(true);
    }
  });
});

const inserted = (query: string, bound: readonly string[]): string => {
  const left = [...bound];
  return query.replaceAll("?", () => left.shift() ?? "");
};

describe("the beginning of an id", () => {
  it("stands for the one receipt that begins with it, and an ambiguous one names the candidates", async () => {
    const db = await database();
    const ids = await many(db);
    const [first = ""] = ids;
    expect(await fullId(db, first)).toBe(first);
    expect(await fullId(db, shortId(first))).toBe(first);
    const short: unknown = await fullId(db, "p402_").catch((thrown: unknown) => thrown);
    expect(short).toMatchObject({ code: "receipt_ambiguous", next: "Give more characters of the id." });
    // Of 205 receipts two share a first letter of 32.
    const letters = ids.map((id) => id.slice(0, 6));
    const shared = letters.find((letter, at) => letters.indexOf(letter) !== at) ?? "";
    const candidates = ids.filter((id) => id.startsWith(shared)).toSorted();
    const ambiguous: unknown = await fullId(db, shared).catch((thrown: unknown) => thrown);
    expect(ambiguous).toMatchObject({ code: "receipt_ambiguous", details: { candidates: candidates.slice(0, 5) } });
    expect((ambiguous as Error).message).toContain(candidates[0]);
  });

  it.each(["", "p402", "p402_%", "p402_zzzzzzzzzzzzzzzz", "P402_A", "'"])("%j is no receipt", async (given) => {
    const db = await database();
    await fill(db);
    await expect(fullId(db, given)).rejects.toMatchObject({ code: "receipt_not_found" });
  });
});
