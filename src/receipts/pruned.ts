import type { Db } from "../storage/database.ts";
import { digestOf, SETS_OF_BODIES } from "./log-digest.ts";

/** The pruned parts of an exchange, when, and how many appraisals the receipt had before. */
export type Pruned = { at: Date; parts: readonly string[]; appraisals: number };

/** The newest pruning of a receipt by the log; null if its bodies were given again or never pruned. */
export async function prunedOf(db: Db, id: string): Promise<Pruned | null> {
  const entry = await db
    .selectFrom("log")
    .select(["seq", "kind", "digest", "at"])
    .where("receipt_id", "=", id)
    .where("kind", "in", ["prune", "bodies"])
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
  const parts = SETS_OF_BODIES.find((set) => digestOf(set) === entry?.digest);
  if (entry?.kind !== "prune" || parts === undefined) return null;
  const { appraisals } = await db
    .selectFrom("log")
    .select(({ fn }) => fn.countAll<number>().as("appraisals"))
    .where("receipt_id", "=", id)
    .where("kind", "=", "appraisal")
    .where("seq", "<", entry.seq)
    .executeTakeFirstOrThrow();
  return { at: new Date(entry.at), parts, appraisals };
}
