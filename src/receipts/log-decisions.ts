import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import { broken, type Broken } from "./audit-codes.ts";
import { loggedDecision, type Decision } from "./decision-schema.ts";
import { readDecisionText } from "./decisions.ts";
import { digestOf } from "./log-digest.ts";
import { newestOf, firstGone } from "./log-of-subjects.ts";

/** Rows read at a time, so that memory stays bounded. */
const ROWS_PER_PAGE = 500;

/** Names a decision unlike its log entry, without one, or gone; null if there is none. Up to entry `to` the log has `count`. */
export async function compareDecisions(tx: Db, { to, count }: { to: number; count: number }): Promise<Broken | null> {
  let compared = 0;
  for (let after: string | null = ""; after !== null;) {
    const rows: { id: string; seq: number; at: number; purpose: string; json: string }[] = await tx
      .selectFrom("decisions")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(ROWS_PER_PAGE)
      .execute();
    const ids = rows.map(({ id }) => id);
    const logged = await newestOf(tx, "decision", ids, to);
    for (const { id, seq, at, purpose, json } of rows) {
      const entry = logged.get(id);
      if (entry === undefined) return broken(null, id, "decision_not_logged", "A stored decision has no log entry.");
      const decision = readDecisionText(json, id);
      const isLogged = decision !== null && digestOf(loggedDecision(decision)) === entry.digest;
      if (!isLogged) return broken(entry.seq, id, "decision_altered", "A stored decision is not what was logged.");
      const early = await earlyReceipt(tx, decision, seq);
      if (seq !== entry.seq || at !== entry.at || Date.parse(decision.at) !== entry.at || purpose !== decision.purpose)
        return broken(entry.seq, id, "decision_altered", "A stored decision is not at its place in the log.");
      if (early !== null)
        return broken(entry.seq, id, "decision_before_receipt", `A decision stands before its receipt ${early}.`);
      compared += 1;
    }
    after = rows.at(-1)?.id ?? null;
  }
  if (compared === count) return null;
  const gone = await firstGone(tx, ["decision"], "decisions", to);
  return gone === null
    ? null
    : broken(gone.seq, gone.id, "decision_missing", "The log records a decision that is not stored any more.");
}

/** The first receipt of a decision that was stored or came after it, or is not stored at all; or null. */
async function earlyReceipt(tx: Db, { receipts, at }: Decision, seq: number): Promise<string | null> {
  for (const { id } of receipts) {
    const row = await tx
      .selectFrom("receipts")
      .select([
        sql<number>`cast(json_extract(json, '$.log.seq') as integer)`.as("seq"),
        sql<string>`json_extract(json, '$.core.response.receivedAt')`.as("came"),
      ])
      .where("id", "=", id)
      .executeTakeFirst();
    if (row === undefined || row.seq >= seq || Date.parse(row.came) > Date.parse(at)) return id;
  }
  return null;
}
