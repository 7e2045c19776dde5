import { REACHED } from "../storage/migrations.ts";
import { CANDIDATES, onlyOne, shortened } from "./by-beginning.ts";
import { sql } from "kysely";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import type { Assurance, Receipt, Verdict } from "./schema.ts";
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
  /** In the id, the seller's or the model's name, or the purpose of an action; of A to Z either case is found. */
  search?: string | undefined;
};

/** Most receipts listed at once. */
const MAX_LISTED = 1000;
/** Receipts read at once of many. */
const PAGE = 100;

/** The matching receipts, the newest first, and how many match. Throws `receipt_store_damaged`. */
export async function searchReceipts(
  db: Db,
  { limit, skip = 0, ...filter }: ReceiptFilter & { limit: number; skip?: number },
): Promise<{ receipts: Receipt[]; total: number }> {
  const [rows, { total }] = await Promise.all([
    matching(db, filter)
      .select("id")
      .orderBy("created_at", "desc")
      .orderBy("id")
      .limit(Math.min(Math.max(0, Math.floor(limit)), MAX_LISTED))
      .offset(skip)
      .execute(),
    matching(db, filter)
      .select(({ fn }) => fn.countAll<number>().as("total"))
      .executeTakeFirstOrThrow(),
  ]);
  const receipts: Receipt[] = [];
  for (const { id } of rows) receipts.push(await readReceiptRow(db, id));
  return { receipts, total };
}

/** A receipt's place in the list of the newest first. */
export type Place = { created_at: number; id: string };
/** The matching receipts that follow a place, the newest first: as quick for the last page as for the first. */
export const receiptsAfter = (
  db: Db,
  filter: ReceiptFilter,
  { after, limit }: { after: Place | null; limit: number },
): Promise<Place[]> =>
  matching(db, filter)
    .select(["id", "created_at"])
    .$if(after !== null, (rows) =>
      rows
        .where("created_at", "<=", after?.created_at ?? 0)
        .where((is) => is.or([is("created_at", "<", after?.created_at ?? 0), is("id", ">", after?.id ?? "")])),
    )
    .orderBy("created_at", "desc")
    .orderBy("id")
    .limit(limit)
    .execute();

/**
 * Every matching receipt, the oldest first, few of them in memory. Throws `receipt_store_damaged`.
 *
 * @yields One receipt.
 */
export async function* eachReceipt(db: Db, filter: ReceiptFilter = {}): AsyncGenerator<Receipt> {
  let after = { created_at: Number.MIN_SAFE_INTEGER, id: "" };
  for (;;) {
    const { created_at: at, id: last } = after;
    const rows = await matching(db, filter)
      .select(["id", "created_at"])
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

function matching(db: Db, { seller, model, verdict, assurance, since, before, search }: ReceiptFilter) {
  return db
    .selectFrom("receipts")
    .$if(seller !== undefined, (rows) => rows.where("seller_id", "=", seller ?? ""))
    .$if(model !== undefined, (rows) => rows.where("model", "=", model ?? ""))
    .$if(verdict !== undefined, (rows) => rows.where("verdict", "=", verdict ?? ""))
    .$if(assurance !== undefined, (rows) => rows.where(sql<boolean>`${sql.raw(REACHED)} = ${assurance ?? ""}`))
    .$if(since !== undefined, (rows) => rows.where("created_at", ">=", since?.getTime() ?? 0))
    .$if(before !== undefined, (rows) => rows.where("created_at", "<", before?.getTime() ?? 0))
    .$if(search !== undefined, (rows) => {
      // As SQLite's `lower` does it: beyond ASCII a letter is found as it is written.
      const sought = (search ?? "").replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
      return rows.where(
        sql<boolean>`(instr(lower(seller_id || ' ' || model || ' ' || id), ${sought}) > 0 or id in
          (select receipt_id from receipt_claims where instr(lower(purpose), ${sought}) > 0))`,
      );
    });
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
