import { REACHED } from "../storage/migrations.ts";
import { CANDIDATES, onlyOne, shortened } from "./by-beginning.ts";
import { sql, type RawBuilder } from "kysely";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import type { Assurance, Receipt, Verdict } from "./schema.ts";
import { eachWith, wordsOf, type Words } from "./search-words.ts";
import { readReceiptRow } from "./store.ts";

/** Which stored receipts are meant. What is absent bounds nothing. */
export type ReceiptFilter = {
  seller?: string | undefined;
  model?: string | undefined;
  /** The newest appraisal's. */
  verdict?: Verdict | undefined;
  /** The one that the newest appraisal reached. */
  assurance?: Assurance | undefined;
  /** Stored at this time or later, and before this time. */
  since?: Date | undefined;
  before?: Date | undefined;
  /**
   * In the seller's or the model's name, at the beginning of the id or anywhere in one of the newest 10,000, or in the purpose of an
   * action, of its newest 10,000; of A to Z either case is found.
   */
  search?: string | undefined;
};

/** Most receipts listed at once. */
const MAX_LISTED = 1000;
/** Receipts read at once of many. */
const PAGE = 100;
/** Most matching receipts that are counted: a count of all would grow with them. */
export const MAX_COUNTED = 10_000;
/** Ids looked up at once. */
const LOOKED_UP = 500;

/**
 * The matching receipts, the newest first, and how many match: at most {@link MAX_COUNTED}, `isMore` says that there are more.
 * `isPartial`: a search looked at the newest ids or actions only, and older ones may fit.
 * Throws `receipt_store_damaged`.
 */
export async function searchReceipts(
  db: Db,
  { limit, skip = 0, ...filter }: ReceiptFilter & { limit: number; skip?: number },
): Promise<{ receipts: Receipt[]; total: number; isMore: boolean; isPartial: boolean }> {
  const found = await foundBy(db, filter);
  const places = await placesIn(db, found, { limit: Math.min(Math.max(0, Math.floor(limit)), MAX_LISTED), skip });
  const counted = await countOf(db, found);
  const receipts: Receipt[] = [];
  for (const { id } of places) receipts.push(await readReceiptRow(db, id));
  return {
    receipts,
    total: Math.min(counted, MAX_COUNTED),
    isMore: counted > MAX_COUNTED,
    isPartial: found.words?.isPartial === true,
  };
}

/** A receipt's place in the list of the newest first. */
export type Place = { created_at: number; id: string };
/** The matching receipts that follow a place, the newest first: as quick for the last page as for the first. */
export const receiptsAfter = async (
  db: Db,
  filter: ReceiptFilter,
  { after, limit }: { after: Place | null; limit: number },
): Promise<Place[]> => placesIn(db, await foundBy(db, filter), { after, limit });

/** A filter, and what its words stand for: all receipts without words. */
type Found = { filter: Bounds; words: Words | null };
type Bounds = Omit<ReceiptFilter, "search">;

async function foundBy(db: Db, { search, ...filter }: ReceiptFilter): Promise<Found> {
  return {
    filter,
    words: search === undefined || search === "" ? null : await wordsOf(db, search, bounded(db, filter)),
  };
}

/**
 * The places of one page. What a search's words stand for is read each by its own index as far as the page goes, and joined here.
 */
async function placesIn(
  db: Db,
  { filter, words }: Found,
  { after = null, skip = 0, limit }: { after?: Place | null; skip?: number; limit: number },
): Promise<Place[]> {
  const page = (condition: RawBuilder<boolean> | null, { from, most }: { from: number; most: number }) =>
    bounded(db, filter)
      .select(["id", "created_at"])
      .$if(condition !== null, (rows) => rows.where(condition ?? sql<boolean>`false`))
      .$if(after !== null, (rows) =>
        rows
          .where("created_at", "<=", after?.created_at ?? 0)
          .where((is) => is.or([is("created_at", "<", after?.created_at ?? 0), is("id", ">", after?.id ?? "")])),
      )
      .orderBy("created_at", "desc")
      .orderBy("id")
      .limit(most)
      .offset(from)
      .execute();
  const [arm = null] = words?.arms ?? [];
  if (words === null || (words.arms.length === 1 && words.ids.length === 0))
    return page(arm, { from: skip, most: limit });
  // So far behind each receipt is passed, and nothing is kept.
  if (skip > MAX_COUNTED)
    return page(
      sql<boolean>`(${sql.join([...words.arms, ...(words.ids.length === 0 ? [] : [sql`id in (${sql.join(words.ids)})`])], sql` or `)})`,
      { from: skip, most: limit },
    );
  const places = new Map<string, Place>();
  for (const one of words.arms)
    for (const place of await page(one, { from: 0, most: skip + limit })) places.set(place.id, place);
  for (const place of await placesOf(db, filter, words.ids))
    if (after === null || inOrder(after, place) < 0) places.set(place.id, place);
  return [...places.values()].toSorted(inOrder).slice(skip, skip + limit);
}

/** The newest first, and of one moment by the id. */
const inOrder = (a: Place, b: Place): number => b.created_at - a.created_at || (a.id < b.id ? -1 : Number(a.id > b.id));

async function placesOf(db: Db, filter: Bounds, ids: readonly string[]): Promise<Place[]> {
  const places: Place[] = [];
  for (let at = 0; at < ids.length; at += LOOKED_UP)
    places.push(
      ...(await bounded(db, filter)
        .select(["id", "created_at"])
        .where("id", "in", ids.slice(at, at + LOOKED_UP))
        .execute()),
    );
  return places;
}

/** How many match, and one more than {@link MAX_COUNTED} if there are more. */
async function countOf(db: Db, { filter, words }: Found): Promise<number> {
  const some = (condition: RawBuilder<boolean>) =>
    bounded(db, filter)
      .select("id")
      .where(condition)
      .limit(MAX_COUNTED + 1);
  const [arm = sql<boolean>`true`] = words?.arms ?? [];
  if (words === null || (words.arms.length === 1 && words.ids.length === 0)) {
    const counted = db.selectFrom(some(arm).as("some")).select(({ fn }) => fn.countAll<number>().as("total"));
    return (await counted.executeTakeFirstOrThrow()).total;
  }
  const ids = new Set((await placesOf(db, filter, words.ids)).map(({ id }) => id));
  for (const one of words.arms) {
    if (ids.size > MAX_COUNTED) break;
    for (const { id } of await some(one).execute()) ids.add(id);
  }
  return ids.size;
}

/**
 * Every matching receipt, the oldest first, few of them in memory. A search looks at all of each receipt, older ids and purposes, too. Throws `receipt_store_damaged`.
 *
 * @yields One receipt.
 */
export async function* eachReceipt(db: Db, asked: ReceiptFilter = {}): AsyncGenerator<Receipt> {
  const { search = "", ...filter } = asked;
  let after = { created_at: Number.MIN_SAFE_INTEGER, id: "" };
  for (;;) {
    const { created_at: at, id: last } = after;
    const rows = await bounded(db, filter)
      .select(["id", "created_at"])
      .$if(search !== "", (all) => all.where(eachWith(search)))
      .where(sql<boolean>`(created_at, id) > (${at}, ${last})`)
      .orderBy("created_at")
      .orderBy("id")
      .limit(PAGE)
      .execute();
    for (const { id } of rows) yield await readReceiptRow(db, id);
    const end = rows.at(-1);
    if (end === undefined) return;
    after = end;
  }
}

/** What a filter lets through, but for its words. */
function bounded(db: Db, { seller, model, verdict, assurance, since, before }: Bounds) {
  return db
    .selectFrom("receipts")
    .$if(seller !== undefined, (rows) => rows.where("seller_id", "=", seller ?? ""))
    .$if(model !== undefined, (rows) => rows.where("model", "=", model ?? ""))
    .$if(verdict !== undefined, (rows) => rows.where("verdict", "=", verdict ?? ""))
    .$if(assurance !== undefined, (rows) => rows.where(sql<boolean>`${sql.raw(REACHED)} = ${assurance ?? ""}`))
    .$if(since !== undefined, (rows) => rows.where("created_at", ">=", since?.getTime() ?? 0))
    .$if(before !== undefined, (rows) => rows.where("created_at", "<", before?.getTime() ?? 0));
}

/** An id as lists show it. */
export const shortId = (id: string): string => shortened(id, "p402_");

/** Whether a text may be an id or its beginning. */
export const isIdLike = (text: string): boolean => /^p402_[a-z2-7]{0,52}$/.test(text);

/**
 * The id that a person meant: a whole one, or the beginning of one stored receipt's. Throws Proof402Error
 * `receipt_ambiguous` naming the candidates, and `receipt_not_found`.
 */
export async function fullId(db: Db, given: string): Promise<string> {
  // Past every character of an id.
  const rows = await db
    .selectFrom("receipts")
    .select("id")
    .where("id", ">=", given)
    .where("id", "<", `${given}~`)
    .orderBy("id")
    .limit(CANDIDATES)
    .execute();
  const found = isIdLike(given) ? onlyOne(rows, { given, many: "receipts", code: "receipt_ambiguous" }) : undefined;
  if (found !== undefined) return found.id;
  throw new Proof402Error("receipt_not_found", `No receipt "${given.slice(0, 64)}" is stored here.`, {
    next: "Check the id, or import the receipt file first.",
  });
}
