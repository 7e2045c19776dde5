import { sql, type RawBuilder } from "kysely";
import type { Db } from "../storage/database.ts";

/** The most names of a kind that are looked at, and the newest ids and claims. Nothing that is looked at grows with the receipts. */
const MOST = 10_000;
/** Letters of a text that is looked for within ids. A shorter one stands in some id by chance. */
const PART_OF_ID = /^[a-z2-7]{6,52}$/;
/** Past every letter of an id. */
const LAST = "~";

/**
 * What a text stands for among stored receipts: conditions that an index answers each, and receipts by their ids. `walked` is
 * the same as one condition, for a reader who passes each receipt anyway.
 */
export type Words = { arms: RawBuilder<boolean>[]; ids: string[]; walked: RawBuilder<boolean> };

/** Letters A to Z in lower case, as SQLite's `lower` does it: beyond ASCII a letter is found as it is written. */
const lowered = (text: string): string => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());

/**
 * Reads a text: in the name of a seller or a model, or across both; at the beginning of an id, or in one of the newest
 * 10,000; in the purpose of an action, of its newest 10,000.
 */
export async function wordsOf(db: Db, text: string): Promise<Words> {
  const sought = lowered(text);
  const has = (name: string): boolean => lowered(name).includes(sought);
  const [sellers, models] = [await names(db, "receipts", "seller_id"), await names(db, "receipts", "model")];
  const both = sought.includes(" ")
    ? sellers
        .flatMap((seller) => models.map((model) => ({ seller, model })))
        .filter(({ seller, model }) => !has(seller) && !has(model) && has(`${seller} ${model}`))
    : [];
  const from = beginning(sought);
  const range = from === null ? [] : [sql<boolean>`(id >= ${from} and id < ${`${from}${LAST}`})`];
  const ids = [...new Set([...(await idsWith(db, sought)), ...(await idsOfPurposes(db, has))])].slice(0, MOST);
  return {
    arms: [
      ...sellers.filter(has).map((seller) => sql<boolean>`seller_id = ${seller}`),
      ...models.filter(has).map((model) => sql<boolean>`model = ${model}`),
      ...both.map(({ seller, model }) => sql<boolean>`(seller_id = ${seller} and model = ${model})`),
      ...range,
    ],
    ids,
    walked: sql<boolean>`(${sql.join(
      [
        sql`instr(lower(seller_id || ' ' || model), ${sought}) > 0`,
        ...range,
        ...(ids.length === 0 ? [] : [sql`id in (${sql.join(ids)})`]),
      ],
      sql` or `,
    )})`,
  };
}

/** The beginning of ids that a text is, or null. Each id begins with `p402_`, and each letter of that stands for all. */
function beginning(sought: string): string | null {
  if ("p402_".startsWith(sought)) return "p402_";
  if (sought.startsWith("p402_")) return sought;
  return PART_OF_ID.test(sought) ? `p402_${sought}` : null;
}

/** The different names in a column, each found by one look at its index. */
async function names(db: Db, table: "receipts" | "receipt_claims", column: string): Promise<string[]> {
  const [from, name] = [sql.table(table), sql.ref(column)];
  const { rows } = await sql<{ name: string }>`with recursive names(name) as (
    select min(${name}) from ${from} union all
    select (select min(${name}) from ${from} where ${name} > names.name) from names where names.name is not null)
    select name from names where name is not null limit ${sql.lit(MOST)}`.execute(db);
  return rows.map((row) => row.name);
}

/** The newest receipts whose ids have a text in their middle. */
async function idsWith(db: Db, sought: string): Promise<string[]> {
  if (!PART_OF_ID.test(sought)) return [];
  const newest = db.selectFrom("receipts").select("id").orderBy("created_at", "desc").orderBy("id").limit(MOST);
  const rows = await db
    .selectFrom(newest.as("newest"))
    .select("id")
    .where(sql<boolean>`instr(id, ${sought}) > 0`)
    .execute();
  return rows.map(({ id }) => id);
}

/** The receipts of actions whose purpose has a text: of each purpose the newest ones. */
async function idsOfPurposes(db: Db, has: (purpose: string) => boolean): Promise<string[]> {
  const ids: string[] = [];
  for (const purpose of (await names(db, "receipt_claims", "purpose")).filter(has)) {
    const rows = await db
      .selectFrom("receipt_claims")
      .select("receipt_id")
      .where("purpose", "=", purpose)
      .orderBy("at", "desc")
      .limit(MOST - ids.length)
      .execute();
    ids.push(...rows.map((row) => row.receipt_id));
    if (ids.length >= MOST) break;
  }
  return ids;
}
