/**
 * Gives each claim an id, and a purchase room for several: of a kind of action, and for an action again that surely did not
 * happen. Rows from before keep their content, so the log's entries about them still hold.
 */
export const CLAIMS_OF_ACTIONS: readonly string[] = [
  `drop index receipt_claims_once`,
  `alter table receipt_claims rename to earlier_claims`,
  `create table receipt_claims (id text primary key default ('claim_' || lower(hex(randomblob(10)))), receipt_id text not null, purpose text not null, at integer not null,
    purchase text not null default '', state text not null default 'claimed', arguments text, arguments_sha256 text,
    outcome text, ended_at integer, place text not null default '', kind text, most integer, tool text, requirement text,
    idempotency_key text, owner text, begun_at integer, decided_at integer, decided_by text, note text) strict`,
  `insert into receipt_claims (receipt_id, purpose, at, purchase, state, arguments, arguments_sha256, outcome, ended_at)
    select receipt_id, purpose, at, purchase, state, arguments, arguments_sha256,
      outcome, ended_at from earlier_claims order by rowid`,
  `drop table earlier_claims`,
  `create unique index receipt_claims_once on receipt_claims (purchase, purpose, place) where state <> 'failed'`,
  `create index receipt_claims_receipt on receipt_claims (receipt_id)`,
  `create index receipt_claims_open on receipt_claims (at) where state in ('claimed', 'invoking', 'undecided')`,
  `create table guard_requirements (sha256 text primary key, json text not null) strict`,
  `create table guard_stops (id integer primary key autoincrement, reason text not null, at integer not null,
    ended_at integer) strict`,
];
