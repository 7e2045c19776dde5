import { sql } from "kysely";
import { openRecords, type NodeRecords } from "./records.ts";

/** An answer as it goes out, time and again. */
export type KeptAnswer = { headers: Record<string, string>; body: string };

/** What a payment was taken for. */
export type PaidCall = {
  /** SHA-256 over the request and the payer's signature, hex. */
  request: string;
  /** When it was taken, ms. */
  at: number;
  /** Answered but not known to be paid; or paid, and then it is published. */
  state: "working" | "answered" | "paid";
  /** The requirements that the payment meets, JSON. */
  terms: string;
  /** Null without one, and after its time to be kept. */
  answer: KeptAnswer | null;
};

/** This node's asks for one payment's settlement, known to each process on the file. */
export type Asks = {
  /**
   * An ask that may have had the payment made, in the named transaction, or in any if `transaction` is null. Null if none
   * may have.
   */
  read(): Promise<{ isUnderWay: boolean; transaction: string | null } | null>;
  /** Notes an ask that ends within so many ms, or is lost. False where one is noted already. */
  begin(milliseconds: number): Promise<boolean>;
  /** Notes that the ask ended, and may have had the payment made in this transaction, or in any. */
  end(transaction: string | null): Promise<void>;
  /** Notes that no ask had the payment made. */
  forget(): Promise<void>;
};

/** The calls that payments were taken for, by the payment's key: one payment, one call. */
export type PaidCalls = {
  find(key: string): Promise<PaidCall | null>;
  /** False where the payment was taken for a call already, by another process that is. */
  take(key: string, call: Pick<PaidCall, "request" | "terms">): Promise<boolean>;
  /** Takes a call over that a process left behind in the middle. False where another was quicker. */
  retake(key: string, at: number): Promise<boolean>;
  keep(key: string, state: "answered" | "paid", answer: KeptAnswer): Promise<void>;
  /** The payment may be used for another call, where it is not paid. */
  release(key: string): Promise<void>;
  asksOf(key: string): Asks;
  /** Payments taken after this are all known here, ms. */
  since(): Promise<number>;
  close(): Promise<void>;
};

type Tables = {
  calls: { key: string; request: string; at: number; state: string; terms: string; answer: string | null };
  asks: { key: string; until: number; tx: string | null };
  meta: { name: string; value: number };
};

const KEEP_SECONDS = 86_400;
/** Characters of all answers; the oldest go first, and that they were paid for stays known. */
const MAX_CHARACTERS = 64_000_000;
const MAX_CALLS = 200_000;
const PRUNE_EVERY = 64;
/** A payment may settle that much later than it was taken. */
const SETTLING_MS = 900_000;

/** Opens the file, or a database in memory. Throws what the driver or the file system throws where it cannot be had. */
export async function openPaidCalls(
  { database: path = ":memory:", keepSeconds = KEEP_SECONDS }: NodeRecords,
  clock: () => number = () => Date.now(),
): Promise<PaidCalls> {
  const db = await openRecords<Tables>(path, [
    `create table if not exists calls (key text primary key, request text not null, at integer not null,
      state text not null, terms text not null, answer text) strict, without rowid`,
    "create index if not exists calls_at on calls (at)",
    "create table if not exists asks (key text primary key, until integer not null, tx text) strict, without rowid",
    "create table if not exists meta (name text primary key, value integer not null) strict",
    `insert or ignore into meta values ('since', ${clock()})`,
  ]);
  let taken = 0;

  /** Says first that something is forgotten, and forgets it then. */
  const prune = async (): Promise<void> => {
    const old = sql`at < ${clock() - keepSeconds * 1000}
      or key in (select key from calls order by at desc limit -1 offset ${MAX_CALLS})`;
    await sql`update meta set value = max(value, (select coalesce(max(at), 0) from calls where ${old}) + ${SETTLING_MS})
      where name = 'since' and exists (select 1 from calls where ${old})`.execute(db);
    await sql`delete from calls where ${old}`.execute(db);
    await sql`delete from asks where key not in (select key from calls)`.execute(db);
    await sql`update calls set answer = null where key in (select key from (select key,
      sum(length(answer)) over (order by at desc, key) as so_far from calls where answer is not null)
      where so_far > ${MAX_CHARACTERS})`.execute(db);
  };

  return {
    async find(key) {
      const row = await db.selectFrom("calls").selectAll().where("key", "=", key).executeTakeFirst();
      if (row === undefined) return null;
      const { state, answer } = row;
      // The file is the node's own: it reads what it wrote.
      return {
        ...row,
        state: state as PaidCall["state"],
        answer: answer === null ? null : (JSON.parse(answer) as KeptAnswer),
      };
    },
    async take(key, { request, terms }) {
      if (taken % PRUNE_EVERY === 0) await prune();
      taken += 1;
      const row = { key, request, terms, at: clock(), state: "working", answer: null };
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("calls")
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      return numInsertedOrUpdatedRows === 1n;
    },
    async retake(key, at) {
      const { numUpdatedRows } = await db
        .updateTable("calls")
        .set({ at: clock() })
        .where("key", "=", key)
        .where("state", "=", "working")
        .where("at", "=", at)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },
    async keep(key, state, answer) {
      await db
        .updateTable("calls")
        .set({ state, answer: JSON.stringify(answer) })
        .where("key", "=", key)
        .execute();
    },
    async release(key) {
      await db.deleteFrom("calls").where("key", "=", key).where("state", "!=", "paid").execute();
    },
    asksOf: (key) => ({
      async read() {
        const row = await db.selectFrom("asks").select(["until", "tx"]).where("key", "=", key).executeTakeFirst();
        return row === undefined ? null : { isUnderWay: clock() < row.until, transaction: row.tx };
      },
      async begin(milliseconds) {
        const { numInsertedOrUpdatedRows } = await db
          .insertInto("asks")
          .values({ key, until: clock() + milliseconds, tx: null })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst();
        return numInsertedOrUpdatedRows === 1n;
      },
      async end(tx) {
        await db.replaceInto("asks").values({ key, until: 0, tx }).execute();
      },
      async forget() {
        await db.deleteFrom("asks").where("key", "=", key).execute();
      },
    }),
    async since() {
      const { value } = await db
        .selectFrom("meta")
        .select("value")
        .where("name", "=", "since")
        .executeTakeFirstOrThrow();
      return value;
    },
    close: () => db.destroy(),
  };
}
