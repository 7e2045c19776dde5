import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import { setImmediate as nextTurn } from "node:timers/promises";
import { sql } from "kysely";
import type { Db } from "../storage/database.ts";
import type { ReceiptsTable } from "../storage/tables.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { GENESIS, hashEntry } from "../evidence/log-chain.ts";
import { endOfLog } from "../storage/log-chain.ts";
import { broken, type AuditResult, type Broken } from "./audit-codes.ts";
import { digestOf, firstDigest, SETS_OF_BODIES } from "./log-digest.ts";
import { compareDecisions, type LoggedDecision } from "./log-decisions.ts";
import { comparePurchases } from "./log-links.ts";
import { claimStates, contradictedActions, holdState, jobOutcome, stopState } from "./log-rows.ts";
import { checkReceipt, missingBodies } from "./receipt.ts";
import type { Receipt } from "./schema.ts";

/** Rows read at a time, so that memory stays bounded and other work of the process gets its turn. */
const ENTRIES_PER_PAGE = 2000;
const RECEIPTS_PER_PAGE = 50;

type EntryRow = {
  seq: number;
  kind: string;
  receipt_id: string;
  digest: string;
  at: number;
  prev: string;
  hash: string;
};

/** What the log says about one receipt; the lists are digests. */
type Recorded = Record<Appended, string[]> & { first: EntryRow };
type Appended = "later" | "appraisal" | "bodies" | "claim" | "job";

/**
 * How far the walk has come. `recorded` maps receipt ids; the value is null once the receipt was compared. `holds` has the
 * newest digest of each seller's hold, `stops` that of each emergency stop, `links` that of each purchase's receipt and
 * amount. `shares` has that of each call's share, `decisions` each decision's entry.
 */
type Walk = {
  entries: number;
  head: string;
  recorded: Map<string, Recorded | null>;
  holds: Map<string, string>;
  stops: Map<string, string>;
  links: Map<string, string>;
  decisions: Map<string, LoggedDecision>;
  shares: Map<string, string>;
  receipts: number;
};

/**
 * Walks the hash chain and compares every stored receipt with what the log recorded of it: an edited, deleted,
 * inserted or reordered row is found and named. May run while others write.
 *
 * The chain has no key. A writer of the file can forge all of it, or undo its newest part without a trace. Keep the
 * `head` of an earlier audit elsewhere to notice that.
 */
export async function auditLog(db: Db): Promise<AuditResult> {
  const walk: Walk = {
    entries: 0,
    head: GENESIS,
    recorded: new Map(),
    holds: new Map(),
    stops: new Map(),
    links: new Map(),
    decisions: new Map(),
    shares: new Map(),
    receipts: 0,
  };
  for (let more = true; more; await nextTurn()) {
    const page = await readEntries(db, walk.entries, ENTRIES_PER_PAGE);
    const problem = follow(walk, page);
    if (problem !== null) return problem;
    more = page.length === ENTRIES_PER_PAGE;
  }
  for (let after: string | null = ""; after !== null; await nextTurn()) {
    const step = await compareNext(db, walk, after);
    if (step.problem !== null) return step.problem;
    after = step.last;
  }
  const { entries, receipts, decisions, head } = walk;
  const contradicted = await contradictedActions(db);
  return { ok: true, entries, receipts, decisions: decisions.size, contradicted, head };
}

/** The newest entry's number and hash; 0 and zeros of an empty log. Unchecked. */
export async function logHead(db: Db): Promise<{ seq: number; hash: string }> {
  const { seq, hash } = (await endOfLog(db)) ?? { seq: 0, hash: GENESIS };
  return { seq, hash };
}

const readEntries = (db: Db, after: number, limit: number): Promise<EntryRow[]> =>
  db.selectFrom("log").selectAll().where("seq", ">", after).orderBy("seq").limit(limit).execute();

const readReceipts = (db: Db, after: string, limit: number): Promise<ReceiptsTable[]> =>
  db.selectFrom("receipts").selectAll().where("id", ">", after).orderBy("id").limit(limit).execute();

/**
 * Compares the next receipts with the log of the same moment. One snapshot holds both, so an entry appended meanwhile
 * raises no false alarm. `last` is null at the end.
 */
const compareNext = (db: Db, walk: Walk, after: string): Promise<{ problem: Broken | null; last: string | null }> =>
  snapshot(db, async (tx) => {
    const fresh = await readEntries(tx, walk.entries, Number.MAX_SAFE_INTEGER);
    const rows = await readReceipts(tx, after, RECEIPTS_PER_PAGE);
    const problem = follow(walk, fresh) ?? (await compareAll(tx, walk, rows));
    const last = rows.at(-1)?.id ?? null;
    return { problem: problem ?? (last === null ? await compareRest(tx, walk) : null), last };
  });

/** The end of the walk: reports rows added behind it and rows gone. */
async function compareRest(tx: Db, walk: Walk): Promise<Broken | null> {
  for (const [id, recorded] of walk.recorded) {
    if (recorded === null) continue;
    const row = await tx.selectFrom("receipts").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) {
      return broken(
        recorded.first.seq,
        id,
        "receipt_missing",
        "The log records a receipt that is not stored any more.",
      );
    }
    const problem = await compareAll(tx, walk, [row]);
    if (problem !== null) return problem;
  }
  const rest =
    (await compareOthers(tx, walk)) ??
    (await comparePurchases(tx, walk)) ??
    (await compareDecisions(tx, walk.decisions));
  if (rest !== null) return rest;
  // SQLite remembers the highest number that an AUTOINCREMENT table ever held.
  const { rows } = await sql<{ seq: number }>`select seq from sqlite_sequence where name = 'log'`.execute(tx);
  const highest = rows[0]?.seq ?? 0;
  return highest === walk.entries
    ? null
    : broken(walk.entries + 1, null, "log_truncated", `The log once had ${highest} entries.`);
}

/** Runs `work` on one state of the database, without keeping others from writing. */
export function snapshot<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  return db.connection().execute(async (connection) => {
    await sql`begin`.execute(connection);
    try {
      return await work(connection);
    } finally {
      await sql`rollback`.execute(connection);
    }
  });
}

/** Takes entries into the walk, or says where the chain breaks. */
function follow(walk: Walk, rows: readonly EntryRow[]): Broken | null {
  for (const row of rows) {
    const { seq, kind, receipt_id: receiptId, digest, at, prev, hash } = row;
    if (seq !== walk.entries + 1)
      return broken(walk.entries + 1, null, "log_gap", `Entry ${walk.entries + 1} is missing.`);
    if (hash !== hashEntry({ seq, kind, receiptId, digest, at, prev })) {
      return broken(seq, receiptId, "log_entry_altered", `Entry ${seq} was altered.`);
    }
    if (prev !== walk.head)
      return broken(seq, receiptId, "log_chain", `Entry ${seq} does not follow the one before it.`);
    if (!record(walk, row)) {
      return broken(seq, receiptId, "log_entry_misplaced", `Entry ${seq} records what cannot come at its place.`);
    }
    walk.entries = seq;
    walk.head = hash;
  }
  return null;
}

/** False where the entry cannot be: a receipt is recorded once, and before what is appended to it. */
function record(walk: Walk, row: EntryRow): boolean {
  const known = walk.recorded.get(row.receipt_id);
  switch (row.kind) {
    case "receipt":
    case "import":
      if (known !== undefined) return false;
      walk.recorded.set(row.receipt_id, { first: row, later: [], appraisal: [], bodies: [], claim: [], job: [] });
      return true;
    case "later":
    case "appraisal":
    case "bodies":
    case "claim":
    case "job":
      known?.[row.kind].push(row.digest);
      return known !== undefined;
    case "hold":
      walk.holds.set(row.receipt_id, row.digest);
      return true;
    case "stop":
      walk.stops.set(row.receipt_id, row.digest);
      return true;
    case "purchase":
      walk.links.set(row.receipt_id, row.digest);
      return true;
    case "share":
      walk.shares.set(row.receipt_id, row.digest);
      return true;
    case "decision":
      if (walk.decisions.has(row.receipt_id)) return false;
      walk.decisions.set(row.receipt_id, { seq: row.seq, digest: row.digest, at: row.at });
      return true;
    default:
      return false;
  }
}

async function compareAll(tx: Db, walk: Walk, rows: readonly ReceiptsTable[]): Promise<Broken | null> {
  const about = await readAbout(
    tx,
    rows.map(({ id }) => id),
  );
  for (const row of rows) {
    const recorded = walk.recorded.get(row.id);
    if (recorded === null) continue;
    if (recorded === undefined) return broken(null, row.id, "receipt_not_logged", "A stored receipt has no log entry.");
    const altered = alteredPart(row, recorded);
    if (altered !== null) {
      return broken(
        recorded.first.seq,
        row.id,
        "receipt_altered",
        `A stored receipt's ${altered} is not what was logged.`,
      );
    }
    for (const kind of ["claim", "job"] as const) {
      if (!sameList((about[kind].get(row.id) ?? []).toSorted(), recorded[kind].toSorted())) {
        const code = kind === "claim" ? "claim_altered" : "job_altered";
        const what = kind === "claim" ? "claims on" : "outcomes of late evidence of";
        return broken(recorded.first.seq, row.id, code, `The ${what} a receipt are not what was logged.`);
      }
    }
    walk.recorded.set(row.id, null);
    walk.receipts += 1;
  }
  return null;
}

/** Digests of what the rows about some receipts say, by receipt. */
async function readAbout(tx: Db, ids: readonly string[]): Promise<Record<"claim" | "job", Map<string, string[]>>> {
  const claims = await tx.selectFrom("receipt_claims").selectAll().where("receipt_id", "in", ids).execute();
  const jobs = await tx
    .selectFrom("jobs")
    .select(["kind", "subject", "last_error"])
    .where("subject", "in", ids)
    .where("state", "=", "done")
    .execute();
  const about = { claim: new Map<string, string[]>(), job: new Map<string, string[]>() };
  const add = (kind: "claim" | "job", id: string, states: readonly unknown[]): unknown =>
    about[kind].set(id, [...(about[kind].get(id) ?? []), ...states.map(digestOf)]);
  for (const row of claims) add("claim", row.receipt_id, claimStates(row));
  for (const row of jobs) add("job", row.subject, [jobOutcome(row)]);
  return about;
}

/** Finds a claim without a stored receipt, and a seller's hold or a stop unlike its last log entry; null if there is none. */
async function compareOthers(tx: Db, { holds, stops }: Walk): Promise<Broken | null> {
  const stray = await tx
    .selectFrom("receipt_claims")
    .select("receipt_id")
    .where((eb) => eb.not(eb.exists(eb.selectFrom("receipts").select("id").whereRef("id", "=", "receipt_id"))))
    .executeTakeFirst();
  if (stray !== undefined)
    return broken(null, stray.receipt_id, "claim_altered", "A claim is on a receipt that is not stored.");
  const rows = await tx.selectFrom("seller_holds").selectAll().execute();
  const held = differing(new Map(rows.map((row) => [row.seller_id, digestOf(holdState(row))])), holds);
  if (held !== undefined)
    return broken(null, null, "hold_altered", `The hold of seller "${held.slice(0, 64)}" is not what was logged.`);
  const ordered = await tx.selectFrom("guard_stops").selectAll().execute();
  const stop = differing(new Map(ordered.map((row) => [String(row.id), digestOf(stopState(row))])), stops);
  return stop === undefined
    ? null
    : broken(null, null, "stop_altered", `Emergency stop ${stop.slice(0, 64)} is not what was logged.`);
}

/** Finds the first subject with another stored row than its last log entry. */
const differing = (stored: ReadonlyMap<string, string>, logged: ReadonlyMap<string, string>): string | undefined =>
  [...new Set([...stored.keys(), ...logged.keys()])].find((id) => stored.get(id) !== logged.get(id));

/** Finds the part of a stored receipt unlike its log entry, or null. */
function alteredPart(row: ReceiptsTable, recorded: Recorded): string | null {
  const { first, later, appraisal } = recorded;
  const json = parseJsonText(row.json);
  const checked = json.ok ? checkReceipt(json.value) : json;
  if (!checked.ok || checked.receipt.id !== row.id) return "content";
  const { receipt } = checked;
  // Evidence that an imported receipt came with is recorded with its import and not one by one.
  const came = receipt.later.length - later.length;
  if (came < 0 || (first.kind === "receipt" && came > 0)) return "later evidence";
  const lacking = recordedLacking(recorded, receipt, came);
  if (lacking === null) return "core";
  if (!sameList(lacking, missingBodies(receipt))) return "bodies";
  if (!sameList(receipt.later.slice(came).map(digestOf), later)) return "later evidence";
  if (!sameList(receipt.appraisals.map(digestOf), appraisal)) return "list of appraisals";
  const { log } = receipt;
  if (log?.seq !== first.seq || log.hash !== first.hash || log.prev !== first.prev) return "place in the log";
  const indexed =
    row.verdict === (receipt.appraisals.at(-1)?.verdict ?? "") &&
    row.seller_id === receipt.core.seller.id &&
    row.model === receipt.core.request.model &&
    row.created_at === first.at &&
    row.payment_nonce === purchaseNonceOf(receipt.core.payment);
  return indexed ? null : "index";
}

/** Which bodies a receipt lacks by the log: those of its first entry, without those it was given. Null of another core. */
function recordedLacking({ first, bodies }: Recorded, receipt: Receipt, came: number): readonly string[] | null {
  const lacked = SETS_OF_BODIES.find((set) => firstDigest(receipt, receipt.later.slice(0, came), set) === first.digest);
  const given = SETS_OF_BODIES.filter((set) => bodies.includes(digestOf(set))).flat();
  return lacked?.filter((part) => !given.includes(part)) ?? null;
}

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item, index) => item === b[index]);
