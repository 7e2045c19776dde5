import { sql, type Kysely } from "kysely";
import { isOnPostgres } from "./dialect.ts";
import { COMMIT_MARKS } from "./postgres-outcome.ts";
import type { Tables } from "./tables.ts";

/** A JSON document, and the place in it by SQLite's path, as far as the library writes such paths. */
const READ = String.raw`(case when strpos(doc, '\u') = 0 then doc else
  regexp_replace(doc, '(?<!\\)((?:\\\\)*)\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1\\ufffd', 'g') end)::json`;
const PLACE = String.raw`string_to_array(regexp_replace(substr(path, 3), '\[#?(-?[0-9]+)\]', '.\1', 'g'), '.')`;

/**
 * SQLite's functions, as far as the library's queries use them, so that one set of queries serves both databases. A receipt
 * holds texts of its seller: PostgreSQL reads no character U+0000 and no half of a pair out of JSON, and neither may keep a
 * paid answer from being stored, so both read as U+FFFD. An index is computed from some of these, also by the server's own
 * work without a search path, so none of them calls another.
 */
const ALIKE = [
  `create function instr(whole text, part text) returns integer language sql immutable
    as $$ select strpos(whole, part) $$`,
  `create function iif(test boolean, yes text, no text) returns text language sql immutable
    as $$ select case when test then yes else no end $$`,
  `create function json_valid(doc text) returns boolean language plpgsql immutable
    as $$ begin perform doc::json; return true; exception when others then return false; end $$`,
  `create function json_extract(doc text, path text) returns text language plpgsql immutable
    as $$ begin return ${READ} #>> ${PLACE}; exception when others then return null; end $$`,
  `create function json_each(doc text, path text) returns table (key bigint, value text) language plpgsql immutable as $$
    declare list json;
    begin
      list := ${READ} #> ${PLACE};
      if json_typeof(list) = 'array' then
        return query select place - 1, one::text from json_array_elements(list) with ordinality as each (one, place);
      end if;
    end $$`,
  `create function joined(state text, part text, separator text) returns text language sql immutable
    as $$ select case when state is null then part when part is null then state else state || separator || part end $$`,
  `create aggregate group_concat(text, text) (sfunc = joined, stype = text)`,
];

/** SQLite's table of the highest number that a row of the log ever had. */
const HIGHEST = [
  `create table sqlite_sequence (name text primary key, seq bigint not null)`,
  `insert into sqlite_sequence values ('log', 0)`,
  `create function keep_highest() returns trigger language plpgsql
    as $$ begin update sqlite_sequence set seq = greatest(seq, new.seq) where name = 'log'; return null; end $$`,
  `create trigger log_highest after insert on log for each row execute function keep_highest()`,
];

/**
 * How full the server's queue of notices may be, of 1. Any program that listens in a transaction of hours fills it (PostgreSQL,
 * NOTIFY), and a commit with a notice fails once it is full. Notices stop long before: who waits then looks by the clock.
 */
export const FULL_QUEUE = 0.01;
/** A condition of the server: its queue of notices has room. */
export const HAS_ROOM = `pg_notification_queue_usage() < ${FULL_QUEUE}`;

/**
 * Sends notices of changes to all listeners, on a channel of the tables' schema: of a receipt and of a call's lease by name, of
 * other tables by the table. They go out at the commit.
 */
const tell = (name: string, words: string): string =>
  `create or replace function ${name}() returns trigger language plpgsql as $$ begin
    if ${HAS_ROOM} then
      perform pg_notify('proof402_' || (select relnamespace from pg_class where oid = tg_relid), ${words});
    end if;
    return null; end $$`;
const of = (name: string, change: string, words: string): string[] => [
  `drop trigger if exists ${name} on ${change.split(" on ")[1] ?? ""}`,
  `create trigger ${name} after ${change} ${words}`,
];
const NOTICES = [
  tell("tell_table", "tg_table_name"),
  tell("tell_receipt", "'receipts ' || new.id"),
  tell("tell_lease", "'call_leases ' || encode(sha256(convert_to(old.idempotency_key, 'UTF8')), 'hex')"),
  ...of("receipt_told", "insert or update on receipts", "for each row execute function tell_receipt()"),
  ...of("lease_told", "delete on call_leases", "for each row execute function tell_lease()"),
  ...["log", "purchases", "approvals"].flatMap((table) =>
    of(`${table}_told`, `insert or update on ${table}`, "for each statement execute function tell_table()"),
  ),
  ...of("jobs_told", "insert on jobs", "for each statement execute function tell_table()"),
];

/** Makes a server's own tables and triggers in a database of an earlier program without them. */
export async function bringOwn(tx: Kysely<Tables>): Promise<void> {
  for (const statement of [COMMIT_MARKS, ...NOTICES]) await sql.raw(statement).execute(tx);
}

/** Whether a database has a server's own tables and triggers, as this program makes them. */
export async function hasOwn(db: Kysely<Tables>): Promise<boolean> {
  const { rows } = await sql<{ whole: boolean }>`select to_regclass('commit_marks') is not null
    and exists (select 1 from pg_trigger join pg_proc on pg_proc.oid = tgfoid
      where tgname = 'lease_told' and tgrelid = to_regclass('call_leases') and strpos(prosrc, ${HAS_ROOM}) > 0) as whole`.execute(
    db,
  );
  return rows[0]?.whole === true;
}

/** Whether a server's queue of notices has room. A file has none. */
export async function hasRoomForNotices(db: Kysely<Tables>): Promise<boolean> {
  if (!isOnPostgres(db)) return true;
  const { rows } = await sql<{ room: boolean }>`select ${sql.raw(HAS_ROOM)} as room`.execute(db);
  return rows[0]?.room === true;
}

/** Takes a statement that changes the schema. Others change rows, and a new database has none. */
const SCHEMA = /^(?:create|alter|drop) /;

/** A statement of SQLite's schema in PostgreSQL's words. Texts compare by their bytes, as in SQLite. */
export function inPostgres(statement: string): string {
  return statement
    .replaceAll(/\) strict(?:, without rowid)?$/g, ")")
    .replaceAll(/integer primary key autoincrement/g, "bigint generated by default as identity primary key")
    .replaceAll(/lower\(hex\(randomblob\(10\)\)\)/g, "substr(replace(gen_random_uuid()::text, '-', ''), 1, 20)")
    .replaceAll(/\binteger\b/g, "bigint")
    .replaceAll(/\bblob\b/g, "bytea")
    .replaceAll(/\btext\b/g, `text collate "C"`);
}

/** Makes the schema in an empty database, in the caller's transaction. */
export async function makeSchema(tx: Kysely<Tables>, steps: readonly unknown[]): Promise<void> {
  const changes = steps.flatMap((step) => (typeof step === "string" && SCHEMA.test(step) ? [inPostgres(step)] : []));
  const version = `create table schema_version (version bigint not null)`;
  for (const statement of [...ALIKE, ...changes, ...HIGHEST, COMMIT_MARKS, version])
    await sql.raw(statement).execute(tx);
}
