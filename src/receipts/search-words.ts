import { sql, type RawBuilder, type SelectQueryBuilder } from "kysely";
import type { Db } from "../storage/database.ts";
import type { Tables } from "../storage/tables.ts";

/** The most names of a kind that are looked at, and the newest ids and claims. Nothing that is looked at grows with the receipts. */
const MOST = 10_000;
/** Letters of a text that is looked for within ids. A shorter one stands in some id by chance. */
const PART_OF_ID = /^[a-z2-7]{6,52}$/;
/** Past every letter of an id. */
const LAST = "~";

/**
 * A text's meaning among stored receipts: conditions with an index each, and receipts by their ids. `isPartial`: a
 * bound left something out, so that more receipts may fit.
 */
export type Words = { arms: RawBuilder<boolean>[]; ids: string[]; isPartial: boolean };
/** Receipts that other filters let through. */
type Filtered = SelectQueryBuilder<Tables, "receipts", object>;

/** Letters A to Z in lower case, as SQLite's `lower` does it: beyond ASCII a letter is found as it is written. */
const lowered = (text: string): string => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());

/**
 * Makes one condition of a text for readers of every receipt. Leaves nothing out, neither ids nor purposes.
 */
export function eachWith(text: string): RawBuilder<boolean> {
  const sought = lowered(text);
  return sql<boolean>`(instr(lower(seller_id || ' ' || model || ' ' || id), ${sought}) > 0 or id in
    (select receipt_id from receipt_claims where instr(lower(purpose), ${sought}) > 0))`;
}

/**
 * Reads a text: in the name of a seller or a model, or across both; at the beginning of an id, or in one of the newest
 * 10,000 that `filtered` lets through; in the purpose of an action, of its newest 10,000.
 */
export async function wordsOf(db: Db, text: string, filtered: Filtered): Promise<Words> {
  const sought = lowered(text);
  const has = (name: string): boolean => lowered(name).includes(sought);
  const [sellers, models] = [await names(db, "receipts", "seller_id"), await names(db, "receipts", "model")];
  const range = beginning(sought);
  const arms = [
    ...sellers.filter(has).map((seller) => sql<boolean>`seller_id = ${seller}`),
    ...models.filter(has).map((model) => sql<boolean>`model = ${model}`),
    ...acrossBoth(sought, sellers, models),
    ...(range === null ? [] : [sql<boolean>`(id >= ${range} and id < ${`${range}${LAST}`})`]),
  ];
  const parts = await idsWith(sought, filtered);
  const purposes = await idsOfPurposes(db, has);
  const ids = [...new Set([...parts.ids, ...purposes.ids])];
  const isPartial = [parts, purposes].some((one) => one.isPartial) || sellers.length === MOST || models.length === MOST;
  return { arms: arms.slice(0, MOST), ids, isPartial: isPartial || arms.length > MOST };
}

/** Finds a text that spans the end of a seller's name and the beginning of a model's. */
function acrossBoth(sought: string, sellers: readonly string[], models: readonly string[]): RawBuilder<boolean>[] {
  const found: RawBuilder<boolean>[] = [];
  for (let at = sought.indexOf(" "); at !== -1; at = sought.indexOf(" ", at + 1)) {
    const [left, right] = [sought.slice(0, at), sought.slice(at + 1)];
    const before = sellers.filter((seller) => lowered(seller).endsWith(left));
    const behind = models.filter((model) => lowered(model).startsWith(right));
    if (before.length === 0 || behind.length === 0) continue;
    if (left === "") found.push(...behind.map((model) => sql<boolean>`model = ${model}`));
    else if (right === "") found.push(...before.map((seller) => sql<boolean>`seller_id = ${seller}`));
    else
      for (const seller of before)
        for (const model of behind) {
          found.push(sql<boolean>`(seller_id = ${seller} and model = ${model})`);
          if (found.length > MOST) return found;
        }
  }
  return found;
}

/** The beginning of ids that a text is, or null. Each id begins with `p402_`, and each letter of that stands for all. */
function beginning(sought: string): string | null {
  if ("p402_".startsWith(sought)) return "p402_";
  const [, rest] = /^(?:(?:p?4)?0?2?)?_([a-z2-7]{0,52})$/.exec(sought) ?? [];
  if (rest !== undefined) return `p402_${rest}`;
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

type Ids = { ids: string[]; isPartial: boolean };

/** The newest of the filtered receipts whose ids have a text in their middle. */
async function idsWith(sought: string, filtered: Filtered): Promise<Ids> {
  if (!PART_OF_ID.test(sought)) return { ids: [], isPartial: false };
  const ordered = filtered.select("id").orderBy("created_at", "desc").orderBy("id");
  const newest = await ordered.limit(MOST).execute();
  const isPartial = (await ordered.offset(MOST).limit(1).execute()).length > 0;
  return { ids: newest.flatMap(({ id }) => (id.includes(sought) ? [id] : [])), isPartial };
}

/** The receipts of actions whose purpose has a text: of each purpose the newest ones. */
async function idsOfPurposes(db: Db, has: (purpose: string) => boolean): Promise<Ids> {
  const ids: string[] = [];
  const purposes = await names(db, "receipt_claims", "purpose");
  for (const purpose of purposes.filter(has)) {
    const rows = await db
      .selectFrom("receipt_claims")
      .select("receipt_id")
      .where("purpose", "=", purpose)
      .orderBy("at", "desc")
      .limit(MOST + 1 - ids.length)
      .execute();
    ids.push(...rows.map((row) => row.receipt_id));
    if (ids.length > MOST) return { ids: ids.slice(0, MOST), isPartial: true };
  }
  return { ids, isPartial: purposes.length === MOST };
}
