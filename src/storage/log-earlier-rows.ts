import { sql, type Kysely } from "kysely";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { appendToLog, type LogEnd } from "./log-chain.ts";
import type { Tables } from "./tables.ts";

type Row = Record<string, string | number | null>;

/**
 * Records in the log the rows that were written before it recorded such: claims, holds, ended jobs, and the purchases
 * with a receipt. An audit then misses no row, and takes none for an earlier one. The forms are those of this
 * migration's day, and stay. A row about a receipt outside the log gets no entry, so the audit finds it.
 */
export async function logEarlierRows(tx: Kysely<Tables>): Promise<void> {
  const at = Date.now();
  let last: LogEnd | undefined;
  const append = async (kind: string, receiptId: string, value: unknown): Promise<void> => {
    last = await appendToLog(tx, { kind, receiptId, digest: toHex(canonicalSha256(value)), at }, last);
  };
  const isLogged = sql.raw(`in (select receipt_id from log where kind in ('receipt', 'import'))`);
  const claims = await sql<Row>`select receipt_id, purpose, at, purchase, state, arguments, arguments_sha256, outcome,
    ended_at from receipt_claims where unlogged = 1 and receipt_id ${isLogged} order by rowid`.execute(tx);
  for (const row of claims.rows) {
    const begun = { ...row, state: "invoking", outcome: null, ended_at: null };
    for (const state of row["ended_at"] === null ? [row] : [begun, row])
      await append("claim", String(row["receipt_id"]), state);
  }
  const holds = await sql<Row>`select seller_id, receipt_id, reason, at, released_at from seller_holds
    where unlogged = 1 order by rowid`.execute(tx);
  for (const row of holds.rows) await append("hold", String(row["seller_id"]), row);
  const jobs = await sql<Row>`select kind, subject, last_error as absent from jobs
    where unlogged = 1 and state = 'done' and subject ${isLogged} order by id`.execute(tx);
  for (const row of jobs.rows) await append("job", String(row["subject"]), row);
  const purchases = await sql<Row>`select id, receipt_id, idempotency_key, attempt, seller_id, model, network, asset,
    amount, payer, pay_to, nonce from purchases where receipt_id is not null order by created_at, id`.execute(tx);
  for (const row of purchases.rows) await append("purchase", String(row["id"]), row);
}

/** Records the told costs and parts of calls on shared authorizations that were noted before the log recorded such. */
export async function logEarlierShares(tx: Kysely<Tables>): Promise<void> {
  const at = Date.now();
  let last: LogEnd | undefined;
  const calls = await sql<Row>`select id, share, reported, part from purchases
    where reported is not null or part is not null order by created_at, id`.execute(tx);
  for (const row of calls.rows)
    last = await appendToLog(
      tx,
      { kind: "share", receiptId: String(row["id"]), digest: toHex(canonicalSha256(row)), at },
      last,
    );
}
