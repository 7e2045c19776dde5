import { CompiledQuery, type Kysely } from "kysely";
import { GENESIS, hashEntry, type LogEntry } from "../evidence/log-chain.ts";
import type { Tables } from "./tables.ts";

/** An entry's place in the log. */
export type LogPlace = { seq: number; prev: string; hash: string };
/** The newest entry, and its time. */
export type LogEnd = Pick<LogPlace, "seq" | "hash"> & { at: number };

/**
 * Appends an entry inside the caller's immediate transaction, so that number and predecessor are true across processes.
 * `after` is the newest entry, if the caller has just appended it. An entry is never older than the one before it: a clock
 * that was put back gives it the time of that one, which the result tells.
 */
export async function appendToLog(
  tx: Kysely<Tables>,
  { kind, receiptId, digest, at: now }: Pick<LogEntry, "kind" | "receiptId" | "digest" | "at">,
  after?: LogEnd,
): Promise<LogPlace & LogEnd> {
  const last = after ?? (await endOfLog(tx));
  const at = Math.max(now, last?.at ?? now);
  const entry = { seq: (last?.seq ?? 0) + 1, kind, receiptId, digest, at, prev: last?.hash ?? GENESIS };
  const { seq, prev } = entry;
  const hash = hashEntry(entry);
  await tx.executeQuery(CompiledQuery.raw(ADDED, [seq, kind, receiptId, digest, at, prev, hash]));
  return { seq, prev, hash, at };
}

// Written out, for every durable write of the library runs both, and building such a query takes longer than running it.
const ADDED = "insert into log (seq, kind, receipt_id, digest, at, prev, hash) values (?, ?, ?, ?, ?, ?, ?)";
const NEWEST = CompiledQuery.raw("select seq, hash, at from log order by seq desc limit 1");

/** The newest entry. */
export async function endOfLog(tx: Kysely<Tables>): Promise<LogEnd | undefined> {
  const { rows } = await tx.executeQuery<LogEnd>(NEWEST);
  return rows[0];
}
