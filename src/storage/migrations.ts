import { sql, type Kysely } from "kysely";
import { Proof402Error } from "../errors.ts";
import { CLAIMS_OF_ACTIONS } from "./claim-migration.ts";
import { isOnPostgres } from "./dialect.ts";
import { bringOwn, hasOwn, inPostgres, makeSchema } from "./postgres-schema.ts";
import { logEarlierRows, logEarlierShares } from "./log-earlier-rows.ts";
import type { Tables } from "./tables.ts";
import { VOUCHER_INDEX } from "./voucher-index.ts";
import { makeWhole, type Step } from "./whole-schema.ts";
import { inLine, type Survives } from "./write-line.ts";

/** The assurance that a receipt's newest appraisal reached, as its index has it. A row that is no JSON any more reached none. */
export const REACHED = `iif(json_valid(json), json_extract(json, '$.appraisals[#-1].assurance'), null)`;

/** One entry per schema version, applied in order. Never edited once released. */
const migrations: readonly (readonly Step[])[] = [
  [
    `create table meta (key text primary key, value text not null) strict`,
    `create table purchases (
      id text primary key, idempotency_key text not null, attempt integer not null,
      args_digest text not null, state text not null,
      seller_id text not null, model text not null, network text not null, asset text not null,
      amount text not null, settled_amount text, payer text not null, pay_to text not null,
      nonce text not null unique, valid_after integer not null, valid_before integer not null,
      authorization_hash text not null, offer text not null, accepted text not null, request text not null,
      receipt_id text, "transaction" text, reason text,
      created_at integer not null, updated_at integer not null,
      unique (idempotency_key, attempt)) strict`,
    `create index purchases_spend on purchases (network, asset, created_at)`,
    `create index purchases_recent on purchases (created_at)`,
    `create index purchases_open on purchases (created_at) where state not in ('settled', 'released')`,
    `create unique index purchases_receipt on purchases (receipt_id) where receipt_id is not null`,
    `create table spend (network text not null, asset text not null, span integer not null, start integer not null,
      used text not null, primary key (network, asset, span, start)) strict, without rowid`,
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
    `create table receipt_claims (receipt_id text not null, purpose text not null, at integer not null,
      primary key (receipt_id, purpose)) strict`,
  ],
  [`create table call_leases (idempotency_key text primary key, owner text not null, until integer not null) strict`],
  [
    `alter table purchases add column scheme text not null default 'exact'`,
    `alter table purchases add column method text not null default 'eip3009'`,
    `alter table purchases add column facilitator text`,
    `alter table purchases add column channel_id text`,
    `alter table purchases add column voucher text`,
    `create index purchases_channel on purchases (channel_id) where channel_id is not null`,
    `create table channels (id text primary key, seller_id text not null, network text not null, asset text not null,
      payer text not null, receiver text not null, terms text not null, deposit text not null, charged text not null,
      state text not null, opened_at integer not null) strict`,
  ],
  [
    `alter table jobs add column payload text not null default '{}'`,
    // A lease alone says who works on a job.
    `update jobs set state = 'waiting' where state = 'running'`,
    `create index jobs_open on jobs (run_at) where state <> 'done'`,
    `create index jobs_subject on jobs (subject)`,
  ],
  [`alter table seller_holds add column released_at integer`],
  [
    `alter table receipts add column payment_nonce text not null default ''`,
    `update receipts set payment_nonce = coalesce(json_extract(json, '$.core.payment.nonce'), '') where json_valid(json)`,
    `create index receipts_payment on receipts (payment_nonce)`,
    `alter table receipt_claims add column purchase text not null default ''`,
    `alter table receipt_claims add column state text not null default 'claimed'`,
    `alter table receipt_claims add column arguments text`,
    `alter table receipt_claims add column arguments_sha256 text`,
    `alter table receipt_claims add column outcome text`,
    `alter table receipt_claims add column ended_at integer`,
    `update receipt_claims set purchase = receipt_id`,
    // Of claims that copies of one purchase got, the first stands for it.
    `update receipt_claims set purchase = (select payment_nonce from receipts where id = receipt_id)
      where rowid in (select min(c.rowid) from receipt_claims c join receipts r on r.id = c.receipt_id
        where r.payment_nonce <> '' group by r.payment_nonce, c.purpose)`,
    `create unique index receipt_claims_once on receipt_claims (purchase, purpose)`,
  ],
  [
    `alter table purchases add column answered_at integer`,
    `update purchases set answered_at = updated_at where receipt_id is not null`,
    `create table calls (idempotency_key text primary key, payer text not null, args_digest text not null,
      opened_at integer not null, told_at integer) strict`,
    `create index calls_open on calls (payer, args_digest) where told_at is null`,
    // Callers of an older program had their answers; what is out without one stays open.
    `insert into calls select idempotency_key, max(payer), max(args_digest), min(created_at),
      case when max(receipt_id is not null) then max(updated_at) end from purchases group by idempotency_key`,
    `alter table jobs add column owner text not null default ''`,
  ],
  [
    `create table sightings (authorization_hash text primary key, "transaction" text, claimed integer not null,
      spent integer not null, ended_since integer) strict`,
    `create table chain_heads (network text primary key, number integer not null, time integer not null) strict`,
  ],
  [
    `create table owner_transactions (hash text primary key, kind text not null, wish text not null, network text not null,
      account text not null, nonce integer not null, raw text not null, max_cost text not null, state text not null,
      gas_used text, cost text, created_at integer not null, decided_at integer) strict`,
    `create index owner_transactions_open on owner_transactions (network, account) where state = 'undecided'`,
    `alter table channels add column counted text not null default '0'`,
    `update channels set counted = charged`,
  ],
  [
    `alter table receipt_claims add column unlogged integer not null default 0`,
    `alter table seller_holds add column unlogged integer not null default 0`,
    `alter table jobs add column unlogged integer not null default 0`,
    // Of what is there already the log says nothing.
    `update receipt_claims set unlogged = 1`,
    `update seller_holds set unlogged = 1`,
    `update jobs set unlogged = 1 where state = 'done'`,
  ],
  [
    `alter table purchases add column salt text`,
    `alter table purchases add column signature text`,
    `alter table purchases add column listed_price text`,
  ],
  [`alter table attestations add column started_at integer`],
  [
    logEarlierRows,
    `alter table receipt_claims drop column unlogged`,
    `alter table seller_holds drop column unlogged`,
    `alter table jobs drop column unlogged`,
  ],
  [
    `alter table channels add column put_in text`,
    `update channels set put_in = deposit where state in ('open', 'closing')`,
  ],
  [
    `alter table owner_transactions add column subject text not null default ''`,
    `alter table owner_transactions add column told_at integer`,
    `alter table channels add column wished text`,
    // What an earlier program saw decided, its commands told.
    `update owner_transactions set told_at = decided_at where state <> 'undecided'`,
    `update channels set wished = deposit where state = 'opening'`,
  ],
  [
    // Lists are read from these alone; the rows with the receipts themselves are large.
    `create index receipts_listed on receipts (created_at desc, id, seller_id, model, verdict)`,
    `create index receipts_of_seller on receipts (seller_id, created_at desc, id)`,
    `create index receipts_of_model on receipts (model, created_at desc, id)`,
    `create index receipts_of_verdict on receipts (verdict, created_at desc, id)`,
    `drop index receipts_recent`,
  ],
  [
    `create table approvals (id text primary key, digest text not null, idempotency_key text not null, seller_id text not null,
      model text not null, pay_to text not null, network text not null, asset text not null, amount text not null,
      state text not null, asked_at integer not null, ends_at integer not null) strict`,
    `create index approvals_digest on approvals (digest)`,
  ],
  [`create table questions (place text primary key, question text not null) strict`],
  [
    `alter table approvals add column alike text not null default ''`,
    `alter table questions add column asked_at integer not null default 0`,
    `update questions set asked_at = unixepoch() * 1000`,
  ],
  [
    `alter table purchases add column share text`,
    `alter table purchases add column reported text`,
    `alter table purchases add column part text`,
    `create table shared_authorizations (nonce text primary key, seller_id text not null, payer text not null,
      target text not null, offer_hash text not null, certificate text, shown_by text not null, token text,
      most_calls integer not null, idle_ms integer not null, until integer not null, used_at integer not null,
      open integer not null) strict`,
    `create index shared_authorizations_open on shared_authorizations (seller_id, target) where open = 1`,
  ],
  [
    `create table decisions (id text primary key, seq integer not null unique, at integer not null, purpose text not null,
      json text not null) strict`,
    `create index decisions_recent on decisions (at, seq)`,
    `create index decisions_of_purpose on decisions (purpose, at, seq)`,
  ],
  [logEarlierShares],
  CLAIMS_OF_ACTIONS,
  [`create index receipt_claims_purchase on receipt_claims (purchase)`],
  [
    `alter table receipt_claims add column late_state text`,
    `alter table receipt_claims add column late_outcome text`,
    `alter table receipt_claims add column late_at integer`,
  ],
  [`create index receipts_of_assurance on receipts (${REACHED}, created_at desc, id)`],
  [`alter table purchases add column client text`],
  [
    `alter table approvals add column input text not null default ''`,
    `alter table approvals add column input_length integer not null default 0`,
  ],
  [`create index log_imports on log (receipt_id) where kind = 'import'`],
  // What the log says of one receipt: an audit reads it, and keeps nothing of a million others meanwhile.
  [`create index log_of_subject on log (receipt_id, seq)`],
  [`alter table approvals add column besides text not null default ''`],
  [`create index receipt_claims_of_purpose on receipt_claims (purpose, at desc, receipt_id)`],
  [
    // Earlier rows stay as they are until they change: their JSON is the whole receipt.
    `alter table receipts add column packed blob`,
    `create table contents (hash text primary key, packed blob not null) strict`,
  ],
  [VOUCHER_INDEX],
  [`create index purchases_released on purchases (created_at) where state = 'released'`],
];

/**
 * Brings a database to the current schema, atomically and once, even with several processes at it. Throws Proof402Error
 * `database_too_new` for a file written by a newer program. A lower `to` is for tests: the schema of an earlier program.
 */
export async function migrate(db: Kysely<Tables>, to: number = migrations.length): Promise<void> {
  // Looked at first without the write lock, so that opening a current file does not queue behind other processes.
  if ((await schemaVersion(db)) === to) return bringWhatLacks(db, to);
  await immediate(db, async (tx) => {
    const version = await schemaVersion(tx);
    if (version > migrations.length) {
      throw new Proof402Error(
        "database_too_new",
        `The database has schema ${version}; this program knows up to ${migrations.length}.`,
        { next: "Update proof402, or configure another database file." },
      );
    }
    if (isOnPostgres(tx) && version === 0) await makeSchema(tx, migrations.slice(0, to).flat());
    else if (version === 0 && to === migrations.length) await makeWhole(tx, migrations.flat());
    else
      for (const step of migrations.slice(version, to).flat())
        await (typeof step === "string" ? sql.raw(isOnPostgres(tx) ? inPostgres(step) : step).execute(tx) : step(tx));
    // A trigger is on a table that a migration may have made.
    if (isOnPostgres(tx) && to === migrations.length && !(await hasOwn(tx))) await bringOwn(tx);
    await setVersion(tx, to);
  });
}

/** Brings a server's own tables and triggers to a current schema. A role without that right works on, and looks by the clock. */
async function bringWhatLacks(db: Kysely<Tables>, to: number): Promise<void> {
  if (!isOnPostgres(db) || to < migrations.length || (await hasOwn(db))) return;
  await immediate(db, bringOwn).catch((error: unknown) => {
    if (!Proof402Error.isInstance(error) || error.code !== "database_permissions") throw error;
  });
}

/** The schema that this program brings a database to. */
export const SCHEMA_VERSION = migrations.length;

/** The schema that a database has; 0 of an empty one. */
export async function schemaVersion(db: Kysely<Tables>): Promise<number> {
  if (!isOnPostgres(db)) {
    const { rows } = await sql<{ user_version: number }>`pragma user_version`.execute(db);
    return rows[0]?.user_version ?? 0;
  }
  const { rows } = await sql<{ there: boolean }>`select to_regclass('schema_version') is not null as there`.execute(db);
  if (rows[0]?.there !== true) return 0;
  const { rows: found } = await sql<{ version: number }>`select version from schema_version`.execute(db);
  return found[0]?.version ?? 0;
}

async function setVersion(tx: Kysely<Tables>, to: number): Promise<void> {
  if (!isOnPostgres(tx)) await sql.raw(`pragma user_version = ${to}`).execute(tx);
  else {
    await sql`delete from schema_version`.execute(tx);
    await sql`insert into schema_version values (${to})`.execute(tx);
  }
}

/** Handles inside an open transaction: work in need of one joins its caller's. */
const inTransaction = new WeakSet<Kysely<Tables>>();
export const isInTransaction = (db: Kysely<Tables>): boolean => inTransaction.has(db);

/**
 * Runs `work` in a `BEGIN IMMEDIATE` transaction: the write lock is taken first, so what it reads stays true until it
 * commits. Called with a handle that is already inside one, it joins it: all of it commits or nothing does.
 * `work` must use only the handle it is given; the database has one connection, so any other would wait forever.
 *
 * Survives power loss by default. `process` survives the death of the process only and does not wait for the disk. Use
 * it for writes made durable by the next transaction of the default kind (a log is synced in order), or for repeatable
 * ones. On PostgreSQL every commit waits for the disk: its server may end while the process lives.
 */
export async function immediate<T>(
  db: Kysely<Tables>,
  work: (tx: Kysely<Tables>) => Promise<T>,
  survives: Survives = "power loss",
): Promise<T> {
  return inTransaction.has(db) ? work(db) : inLine(db, work, { survives, inside: inTransaction });
}
