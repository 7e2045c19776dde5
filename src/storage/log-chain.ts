import type { Kysely } from "kysely";
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
  await tx.insertInto("log").values({ seq, kind, receipt_id: receiptId, digest, at, prev, hash }).execute();
  return { seq, prev, hash, at };
}

/** The newest entry. */
export const endOfLog = (tx: Kysely<Tables>): Promise<LogEnd | undefined> =>
  tx.selectFrom("log").select(["seq", "hash", "at"]).orderBy("seq", "desc").limit(1).executeTakeFirst();
