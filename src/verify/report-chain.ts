import { GENESIS, hashEntry } from "../evidence/log-chain.ts";
import { decisionId, loggedDecision, loggedValue } from "../receipts/decision-schema.ts";
import { digestOf, firstDigest, SETS_OF_BODIES } from "../receipts/log-digest.ts";
import type { Report } from "../receipts/report-schema.ts";
import type { Receipt } from "../receipts/schema.ts";
import { problem, type ReportProblem } from "./report-problems.ts";

type Entry = Report["chain"]["entries"][number];

/** The entries of a report's part of the log, each found without a walk over all. */
export type EntriesOf = {
  /** Those about what a receipt holds, by the receipt. Actions on it may be many and change nothing in it. */
  about: ReadonlyMap<string, readonly Entry[]>;
  /** The first entry of each decision, and each further one of a decision. */
  decisions: ReadonlyMap<string, Entry>;
  repeated: readonly Entry[];
  /** Where in the part an entry stands, by its number. */
  places: ReadonlyMap<number, number>;
};

/** Kinds of entries about what was added to a receipt. */
const GROWTH: ReadonlySet<string> = new Set(["later", "appraisal", "bodies", "prune"]);

export function entriesOf({ chain: { entries } }: Report): EntriesOf {
  const about = new Map<string, Entry[]>();
  const decisions = new Map<string, Entry>();
  const repeated: Entry[] = [];
  const places = new Map<number, number>();
  for (const [place, entry] of entries.entries()) {
    if (GROWTH.has(entry.kind)) {
      const known = about.get(entry.receiptId);
      if (known === undefined) about.set(entry.receiptId, [entry]);
      else known.push(entry);
    }
    if (entry.kind === "decision") {
      if (decisions.has(entry.receiptId)) repeated.push(entry);
      else decisions.set(entry.receiptId, entry);
    }
    if (!places.has(entry.seq)) places.set(entry.seq, place);
  }
  return { about, decisions, repeated, places };
}

/** Recomputes the part of the log in a report: each hash, each number, and its beginning. */
export function problemsOfChain({ chain: { before, entries }, period, made }: Report): ReportProblem[] {
  const found: ReportProblem[] = [];
  const [from, to] = [Date.parse(period.from), Date.parse(period.to)];
  if (from >= to || to > Date.parse(made.at))
    found.push(problem("period_open", "The period has no length, or ends after the report was made."));
  if (before !== null) {
    const { hash, ...hashed } = before;
    if (hashEntry(hashed) !== hash)
      found.push(problem("chain_altered", `Entry ${before.seq} was altered.`, { seq: before.seq }));
    if (before.at >= from)
      found.push(
        problem("chain_start", `Entry ${before.seq} is of the period, and the log's part begins after it.`, {
          seq: before.seq,
        }),
      );
  }
  let newest = before?.at ?? -Infinity;
  let last = { seq: before?.seq ?? 0, hash: before?.hash ?? GENESIS };
  for (const { hash, ...hashed } of entries) {
    const { seq } = hashed;
    if (seq !== last.seq + 1)
      found.push(problem("chain_gap", `Entry ${last.seq + 1} is missing before entry ${seq}.`, { seq: last.seq + 1 }));
    else if (hashEntry({ ...hashed, prev: last.hash }) !== hash)
      found.push(problem("chain_altered", `Entry ${seq} was altered, or does not follow the one before it.`, { seq }));
    if (hashed.at < newest) {
      found.push(
        problem("chain_time", `Entry ${seq} (${hashed.kind} ${hashed.receiptId}) is older than one before.`, {
          seq,
        }),
      );
    }
    newest = Math.max(newest, hashed.at);
    last = { seq, hash };
  }
  return found;
}

/** The newest entry that a report holds. */
export function headOf({ chain: { before, entries } }: Report): { seq: number; hash: string } {
  const { seq, hash } = entries.at(-1) ?? before ?? { seq: 0, hash: GENESIS };
  return { seq, hash };
}

/**
 * Heads handed over that are none of the report's entries: the log's end was cut off, or it is another log. The hash that an
 * entry names as the one before it counts for nothing: no reader sees its contents.
 */
export function problemsOfHeads(report: Report, heads: readonly string[]): ReportProblem[] {
  const shown = new Set(shownEntries(report).map(({ hash }) => hash));
  return heads
    .filter((head) => !shown.has(head))
    .map((head) =>
      problem(
        "head_missing",
        `The head ${head} is none of the report's entries: the log was cut or written again, or that head is older.`,
      ),
    );
}

/** The entries of a report with all they say. */
export const shownEntries = ({
  chain: { before, entries },
}: Report): readonly { seq: number; at: number; hash: string }[] => (before === null ? entries : [before, ...entries]);

/** Compares each decision with its entry, and each entry of the period with the decisions. */
export function problemsOfDecisions(
  { decisions, others, period, purpose }: Report,
  { decisions: entries, repeated }: EntriesOf,
): ReportProblem[] {
  const found = repeated.map(({ receiptId: id, seq }) =>
    problem(
      "decision_repeated",
      `Decision ${id} has entry ${entries.get(id)?.seq ?? ""} in the log, and entry ${seq}.`,
      {
        decision: id,
        seq,
      },
    ),
  );
  const [from, to] = [Date.parse(period.from), Date.parse(period.to)];
  const isInside = (at: number): boolean => at >= from && at < to;
  const shown = new Set<string>();
  let last = 0;
  for (const decision of decisions) {
    const { id } = decision;
    const entry = entries.get(id);
    const at = Date.parse(decision.at);
    const named = `Decision ${id} about ${JSON.stringify(decision.subject)}`;
    const say = (code: ReportProblem["code"], what: string): unknown =>
      found.push(problem(code, `${named} ${what}`, { decision: id, seq: entry?.seq ?? null }));
    if (decisionId(decision) !== id) say("decision_altered", "was altered: its id is not the hash of it.");
    else if (entry === undefined) say("decision_not_logged", "is not in the log.");
    else if (entry.digest !== digestOf(loggedDecision(decision)) || entry.at !== at)
      say("decision_altered", "is not what was logged.");
    if (!isInside(at)) say("decision_outside", "was not made in the report's period.");
    if (purpose !== null && decision.purpose !== purpose) say("decision_outside", "has another purpose.");
    if (shown.has(id) || (entry !== undefined && entry.seq < last))
      say("decision_misplaced", "stands twice or out of order.");
    shown.add(id);
    last = Math.max(last, entry?.seq ?? 0);
  }
  const elsewhere = new Map(others.map((other) => [other.seq, other] as const));
  for (const { seq, digest, at, receiptId: id } of entries.values()) {
    const other = elsewhere.get(seq);
    const isOther =
      other !== undefined && purpose !== null && other.purpose !== purpose && digestOf(loggedValue(other)) === digest;
    if (other !== undefined && !isOther)
      found.push(
        problem("decision_dropped", `Decision ${id} is left out as one of another purpose, and that is not shown.`, {
          decision: id,
          seq,
        }),
      );
    else if (isInside(at) && !shown.has(id) && !isOther)
      found.push(
        problem("decision_dropped", `Decision ${id}, entry ${seq} of the log, is left out.`, { decision: id, seq }),
      );
    elsewhere.delete(seq);
  }
  for (const seq of elsewhere.keys())
    found.push(problem("decision_not_logged", `No decision is logged as entry ${seq}.`, { seq }));
  return found;
}

/** Compares a receipt with everything that the report's part of the log says of it. */
export function problemsOfLogged(
  { chain: { before, entries } }: Report,
  { about, places }: EntriesOf,
  receipt: Receipt,
): ReportProblem[] {
  const { id, log, later, appraisals } = receipt;
  const altered = (what: string, seq: number | null): ReportProblem[] => [
    problem("receipt_altered", `Receipt ${id} ${what}`, { receipt: id, seq }),
  ];
  if (log === null) return altered("has no place in the log.", null);
  const own = about.get(id) ?? [];
  const place = places.get(log.seq) ?? -1;
  const first = entries[place];
  const start = before?.seq ?? 0;
  const isThere =
    first === undefined
      ? log.seq < start || (log.seq === start && log.hash === before?.hash && log.prev === before.prev)
      : first.receiptId === id &&
        first.hash === log.hash &&
        ["receipt", "import"].includes(first.kind) &&
        log.prev === (entries[place - 1]?.hash ?? before?.hash ?? GENESIS);
  if (!isThere) return altered("is not at the place in the log that it names.", log.seq);
  // An import brings evidence along, which its first entry records; a purchase brings none.
  const came = later.slice(0, later.length - own.filter(({ kind }) => kind === "later").length);
  if (first !== undefined && !SETS_OF_BODIES.some((set) => firstDigest(receipt, came, set) === first.digest))
    return altered("was altered: it is not what was logged when it was stored.", log.seq);
  for (const [kind, name, all] of [
    ["later", "later evidence", later],
    ["appraisal", "list of appraisals", appraisals],
  ] as const) {
    const logged = own.filter((entry) => entry.kind === kind).map(({ digest }) => digest);
    const told = all.map(digestOf);
    // What was appended last is in this part of the log.
    const isWhole = first !== undefined && (first.kind === "receipt" || kind === "appraisal");
    const tail = logged.length === 0 ? [] : told.slice(-logged.length);
    const isSame = tail.length === logged.length && tail.every((digest, at) => digest === logged[at]);
    if (!isSame || (isWhole && told.length !== logged.length))
      return altered(`was altered: its ${name} is not what was logged.`, log.seq);
  }
  return [];
}
