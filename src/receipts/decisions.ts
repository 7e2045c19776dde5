import { CANDIDATES, onlyOne, shortened } from "./by-beginning.ts";
import { Proof402Error } from "../errors.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import type { Db } from "../storage/database.ts";
import { endOfLog } from "../storage/log-chain.ts";
import {
  decisionContentSchema,
  decisionId,
  decisionSchema,
  decisionText,
  loggedDecision,
  type Decision,
  type DecisionContent,
} from "./decision-schema.ts";
import { appendEntry } from "./log-entry.ts";

/** Most decisions listed at once. */
const MAX_LISTED = 1000;

/** Which decisions are meant. What is absent bounds nothing. */
export type DecisionFilter = {
  purpose?: string | undefined;
  /** Made at this time or later, and before this time. */
  since?: Date | undefined;
  before?: Date | undefined;
};

/** An id as lists show it. */
export const shortDecisionId = (id: string): string => shortened(id, "dec_");

/**
 * Appends a decision to log and store in the caller's immediate transaction. Its time is the newest entry's if the clock was
 * put back, so that none stands before what it rests on. Throws zod's error for content outside the schema.
 */
export async function addDecision(tx: Db, content: DecisionContent): Promise<Decision> {
  const last = await endOfLog(tx);
  const time = Math.max(Date.parse(content.at), last?.at ?? 0);
  const checked = decisionContentSchema.parse({ ...content, at: new Date(time).toISOString() });
  const decision: Decision = { ...checked, id: decisionId(checked) };
  const at = new Date(decision.at);
  const { id, purpose } = decision;
  const { seq } = await appendEntry(tx, { kind: "decision", subject: id, value: loggedDecision(decision), at });
  await tx
    .insertInto("decisions")
    .values({ id, seq, at: at.getTime(), purpose, json: decisionText(decision) })
    .execute();
  return decision;
}

/** Reads a stored decision. Gives null if its text has another id. */
export function readDecisionText(text: string, id: string): Decision | null {
  const json = parseJsonText(text);
  const parsed = json.ok ? decisionSchema.safeParse(json.value) : null;
  if (parsed?.success !== true || parsed.data.id !== id || decisionId(parsed.data) !== id) return null;
  return parsed.data;
}

/** Reads a row. Throws Proof402Error `receipt_store_damaged`. */
export function decisionOf({ id, json }: { id: string; json: string }): Decision {
  const decision = readDecisionText(json, id);
  if (decision !== null) return decision;
  throw new Proof402Error(
    "receipt_store_damaged",
    `The stored row of ${id.slice(0, 64)} is not that decision any more.`,
    { next: "The owner should run `proof402 audit` and restore the database from a backup." },
  );
}

/** The matching decisions, the newest first, and how many match. Throws `receipt_store_damaged`. */
export async function searchDecisions(
  db: Db,
  { limit, skip = 0, ...filter }: DecisionFilter & { limit: number; skip?: number },
): Promise<{ decisions: Decision[]; total: number }> {
  const rows = await matching(db, filter)
    .select(["id", "json"])
    .orderBy("at", "desc")
    .orderBy("seq", "desc")
    .limit(Math.min(Math.max(0, Math.floor(limit)), MAX_LISTED))
    .offset(skip)
    .execute();
  const { total } = await matching(db, filter)
    .select(({ fn }) => fn.countAll<number>().as("total"))
    .executeTakeFirstOrThrow();
  return { decisions: rows.map(decisionOf), total };
}

/** A decision's place in the list of the newest first. */
export type DecisionPlace = { at: number; seq: number };

/** The decisions after a place, the newest first: as quick for the last page as for the first. Throws `receipt_store_damaged`. */
export async function decisionsAfter(
  db: Db,
  { after, limit }: { after: DecisionPlace | null; limit: number },
): Promise<{ place: DecisionPlace; decision: Decision }[]> {
  const { at, seq } = after ?? { at: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER };
  const rows = await db
    .selectFrom("decisions")
    .select(["id", "json", "at", "seq"])
    .where("at", "<=", at)
    .where((is) => is.or([is("at", "<", at), is("seq", "<", seq)]))
    .orderBy("at", "desc")
    .orderBy("seq", "desc")
    .limit(limit)
    .execute();
  return rows.map((row) => ({ place: { at: row.at, seq: row.seq }, decision: decisionOf(row) }));
}

const matching = (db: Db, { purpose, since, before }: DecisionFilter) =>
  db
    .selectFrom("decisions")
    .$if(purpose !== undefined, (rows) => rows.where("purpose", "=", purpose ?? ""))
    .$if(since !== undefined, (rows) => rows.where("at", ">=", since?.getTime() ?? 0))
    .$if(before !== undefined, (rows) => rows.where("at", "<", before?.getTime() ?? 0));

/**
 * The decision that a person meant, by its id or the id's beginning. Throws Proof402Error `decision_ambiguous` naming the
 * candidates, `decision_not_found`, and `receipt_store_damaged`.
 */
export async function findDecision(db: Db, given: string): Promise<Decision> {
  const rows = /^dec_[a-z2-7]{0,52}$/.test(given)
    ? await db
        .selectFrom("decisions")
        .select(["id", "json"])
        .where("id", ">=", given)
        .where("id", "<", `${given}~`)
        .orderBy("id")
        .limit(CANDIDATES)
        .execute()
    : [];
  const found = onlyOne(rows, { given, many: "decisions", code: "decision_ambiguous" });
  if (found !== undefined) return decisionOf(found);
  throw new Proof402Error("decision_not_found", `No decision "${given.slice(0, 64)}" is stored here.`, {
    next: "Check the id. Decisions stand in the database of the buyer who made them.",
  });
}
