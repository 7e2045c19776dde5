import { shownEntries } from "../verify/report-chain.ts";
import type { JudgedReport } from "../verify/verify-report.ts";

/** How far the heads handed over reach into a report. */
export type HeadsReach = {
  /** The newest entry that is one of the heads; null without one. */
  newest: { seq: number; at: string } | null;
  /** Decisions logged after it. Another log could hold others. */
  decisionsBeyond: number;
  /** Whether the period ends after it, so that decisions cut off there would not show. */
  endsBeyond: boolean;
};

/** The reach of heads handed over: what comes after the newest of them is the maker's word. */
export function reachOf({ report, heads }: JudgedReport): HeadsReach {
  const newest = shownEntries(report).findLast(({ hash }) => heads.includes(hash));
  const places = new Map(report.chain.entries.map(({ receiptId, seq }) => [receiptId, seq] as const));
  const isBeyond = (id: string): boolean => (places.get(id) ?? Infinity) > (newest?.seq ?? 0);
  return {
    newest: newest === undefined ? null : { seq: newest.seq, at: new Date(newest.at).toISOString() },
    decisionsBeyond: report.decisions.filter(({ id }) => isBeyond(id)).length,
    endsBeyond: newest === undefined || newest.at < Date.parse(report.period.to),
  };
}

/** The same in sentences. */
export function reachText(judged: JudgedReport): string {
  const { newest, decisionsBeyond, endsBeyond } = reachOf(judged);
  const { heads } = judged;
  if (heads.length === 0)
    return "No head handed over before was given: entries cut off at the end of the log would not show.";
  if (newest === null) return "The log holds no head that was given.";
  const more =
    decisionsBeyond === 0 ? "" : ` ${decisionsBeyond} decisions were logged after it and rest on the maker's word.`;
  const cut = endsBeyond ? " Decisions logged after it and cut off would not show." : "";
  return `The newest head given is entry ${newest.seq} of ${newest.at}.${more}${cut}`;
}
