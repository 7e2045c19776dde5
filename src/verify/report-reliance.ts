import type { LogEntry } from "../evidence/log-chain.ts";
import { digestOf, judgedDigest, SETS_OF_BODIES } from "../receipts/log-digest.ts";
import { missingBodies } from "../receipts/receipt.ts";
import type { Report } from "../receipts/report-schema.ts";
import type { Receipt } from "../receipts/schema.ts";
import type { EntriesOf } from "./report-chain.ts";
import { problem, type ReportProblem } from "./report-problems.ts";

/**
 * Compares each decision with the receipts that it rests on: each came before it, and was then what the decision names. What
 * was added after the decision stands in the report's part of the log. `altered` names receipts with a problem already.
 */
export function problemsOfReliance(
  { decisions }: Report,
  { about, decisions: entries }: EntriesOf,
  receipts: ReadonlyMap<string, Receipt>,
  altered: ReadonlySet<string>,
): ReportProblem[] {
  const found: ReportProblem[] = [];
  for (const { id: decision, at, receipts: named } of decisions) {
    const seq = entries.get(decision)?.seq;
    if (seq === undefined) continue;
    for (const { id, judged } of named) {
      const receipt = receipts.get(id);
      if (receipt === undefined || receipt.log === null) continue;
      const place = { decision, receipt: id, seq };
      const came = receipt.core.response.receivedAt;
      if (receipt.log.seq >= seq || Date.parse(came) > Date.parse(at))
        found.push(
          problem(
            "decision_before_receipt",
            `Decision ${decision} of ${at} stands before receipt ${id} of ${came}.`,
            place,
          ),
        );
      if (altered.has(id)) continue;
      const since = (about.get(id) ?? []).filter((entry) => entry.seq > seq);
      const changed = changeSince(receipt, since, judged);
      if (changed !== null)
        found.push(
          problem("receipt_altered", `Receipt ${id} is not what decision ${decision} rests on: ${changed}.`, place),
        );
    }
  }
  return found;
}

/** How a receipt without what was logged `since` differs from the one that was judged, or null. */
function changeSince(
  receipt: Receipt,
  since: readonly Pick<LogEntry, "kind" | "digest">[],
  judged: string,
): string | null {
  const before = <Item>(all: readonly Item[], kind: string): Item[] =>
    all.slice(0, Math.max(0, all.length - since.filter((entry) => entry.kind === kind).length));
  const then = {
    ...receipt,
    later: before(receipt.later, "later"),
    appraisals: before(receipt.appraisals, "appraisal"),
  };
  const partsOf = (of: string): readonly string[] =>
    SETS_OF_BODIES.filter((set) => since.some(({ kind, digest }) => kind === of && digest === digestOf(set))).flat();
  const [given, pruned] = [partsOf("bodies"), partsOf("prune")];
  const lacks: readonly string[] = missingBodies(receipt);
  const mayHaveBeen = (set: readonly string[]): boolean =>
    ["request", "response"].every((part) =>
      set.includes(part)
        ? lacks.includes(part) || given.includes(part)
        : !lacks.includes(part) || pruned.includes(part),
    );
  if (SETS_OF_BODIES.some((set) => mayHaveBeen(set) && judgedDigest(then, set) === judged)) return null;
  const lacked = ["request", "response"].filter((part) => lacks.includes(part) || given.includes(part));
  const other = SETS_OF_BODIES.find((set) => judgedDigest(then, set) === judged);
  const gone = lacked.filter((part) => other?.includes(part) === false);
  return other !== undefined && gone.length > 0
    ? `the body of its ${gone.join(" and ")} is left out`
    : "evidence, an appraisal or its place was taken out, put in or changed";
}
