import type { Db } from "../storage/database.ts";
import { digestOf, SETS_OF_BODIES } from "./log-digest.ts";

/** The pruned parts of an exchange, and when. */
export type Pruned = { at: Date; parts: readonly string[] };

/** The newest pruning of a receipt by the log; null if its bodies were given again or never pruned. */
export async function prunedOf(db: Db, id: string): Promise<Pruned | null> {
  const entry = await db
    .selectFrom("log")
    .select(["kind", "digest", "at"])
    .where("receipt_id", "=", id)
    .where("kind", "in", ["prune", "bodies"])
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
  const parts = SETS_OF_BODIES.find((set) => digestOf(set) === entry?.digest);
  return entry?.kind === "prune" && parts !== undefined ? { at: new Date(entry.at), parts } : null;
}
