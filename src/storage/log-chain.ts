import type { Kysely } from "kysely";
import { GENESIS, hashEntry, type LogEntry } from "../evidence/log-chain.ts";
import type { Tables } from "./tables.ts";

/** An entry's place in the log. */
export type LogPlace = { seq: number; prev: string; hash: string };

/**
 * Appends an entry inside the caller's immediate transaction, so that number and predecessor are true across processes.
 * `after` is the newest entry, if the caller has just appended it.
 */
export async function appendToLog(
  tx: Kysely<Tables>,
  { kind, receiptId, digest, at }: Pick<LogEntry, "kind" | "receiptId" | "digest" | "at">,
  after?: Pick<LogPlace, "seq" | "hash">,
): Promise<LogPlace> {
  const last =
    after ?? (await tx.selectFrom("log").select(["seq", "hash"]).orderBy("seq", "desc").limit(1).executeTakeFirst());
  const entry = { seq: (last?.seq ?? 0) + 1, kind, receiptId, digest, at, prev: last?.hash ?? GENESIS };
  const { seq, prev } = entry;
  const hash = hashEntry(entry);
  await tx.insertInto("log").values({ seq, kind, receipt_id: receiptId, digest, at, prev, hash }).execute();
  return { seq, prev, hash };
}
