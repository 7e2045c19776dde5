import { sql, type Kysely } from "kysely";
import type { Tables } from "./tables.ts";

/** One entry per schema version, applied in order. Never edited once released. */
const migrations: readonly (readonly string[])[] = [
  [
    `create table meta (key text primary key, value text not null) strict`,
    `create table purchases (
      idempotency_key text primary key, args_digest text not null, state text not null,
      seller_id text not null, model text not null, network text not null, asset text not null,
      amount text not null, settled_amount text, payer text not null, pay_to text not null,
      nonce text not null unique, valid_after integer not null, valid_before integer not null,
      authorization_hash text not null, offer text not null, request text not null,
      receipt_id text, "transaction" text, reason text,
      created_at integer not null, updated_at integer not null) strict`,
    `create index purchases_spend on purchases (network, asset, created_at)`,
    `create index purchases_open on purchases (state) where state not in ('settled', 'released')`,
    `create table receipts (id text primary key, json text not null, seller_id text not null, model text not null,
      verdict text not null, created_at integer not null) strict`,
    `create index receipts_recent on receipts (created_at)`,
    `create table log (seq integer primary key autoincrement, kind text not null, receipt_id text not null,
      digest text not null, at integer not null, prev text not null, hash text not null unique) strict`,
    `create table jobs (id integer primary key autoincrement, kind text not null, subject text not null, state text not null,
      run_at integer not null, leased_until integer not null, attempts integer not null, deadline integer not null,
      last_error text, unique (kind, subject)) strict`,
    `create table attestations (seller_id text primary key, evidence text not null, key_id text not null, fetched_at integer not null) strict`,
    `create table seller_holds (seller_id text primary key, receipt_id text not null, reason text not null, at integer not null) strict`,
  ],
];

/** Brings a database to the current schema, atomically and once, whoever of several processes comes first. */
export async function migrate(db: Kysely<Tables>): Promise<void> {
  await immediate(db, async (tx) => {
    const { rows } = await sql<{ user_version: number }>`pragma user_version`.execute(tx);
    const version = rows[0]?.user_version ?? 0;
    if (version > migrations.length) throw new Error(`database schema ${version} is newer than this program (${migrations.length})`);
    for (const statement of migrations.slice(version).flat()) await sql.raw(statement).execute(tx);
    await sql.raw(`pragma user_version = ${migrations.length}`).execute(tx);
  });
}

/** Runs `work` in a `BEGIN IMMEDIATE` transaction: the write lock is taken first, so what it reads stays true until it commits. */
export async function immediate<T>(db: Kysely<Tables>, work: (tx: Kysely<Tables>) => Promise<T>): Promise<T> {
  return db.connection().execute(async (connection) => {
    await sql`begin immediate`.execute(connection);
    try {
      const result = await work(connection);
      await sql`commit`.execute(connection);
      return result;
    } catch (error) {
      await sql`rollback`.execute(connection);
      throw error;
    }
  });
}
