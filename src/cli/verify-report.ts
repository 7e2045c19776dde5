import { judgeAgain, judgeContext } from "../buyer/judge.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { GENESIS } from "../evidence/log-chain.ts";
import { createEzklEngine } from "../ezkl/engine.ts";
import { differenceText } from "../pages/report-page.ts";
import { reachOf, reachText } from "../pages/report-reach.ts";
import type { Assurance, Verdict } from "../receipts/schema.ts";
import type { AppraisalPolicy } from "../verify/policy.ts";
import { judgeReport, verifyReport, type JudgedReport } from "../verify/verify-report.ts";
import { colour as pc } from "./colour.ts";
import { EXIT, note, print, printResult, type GlobalOptions } from "./globals.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";
import { shownJson } from "./quoted.ts";
import { whoText } from "./decisions.ts";
import { busy } from "./progress.ts";
import { withStore } from "./session.ts";

const NEXT: Readonly<Record<Verdict, string>> = {
  verified: "Each receipt's limits hold for its decision, too: see notProven, or each receipt by itself.",
  pending: "Get the report again from its maker later: evidence of some receipts is still to come.",
  failed: "Rely on no decision that a problem names. Ask the report's maker for the store itself, and audit that.",
  unverified: "Treat the decisions named above as unproven.",
};

/** A judged report for machines, without the receipts themselves. */
const reportData = (judged: JudgedReport): Record<string, unknown> => {
  const { report, verdict, simulated, problems, decisions, receipts, leftOut, head, heads } = judged;
  return {
    verdict,
    simulated,
    period: report.period,
    purpose: report.purpose,
    problems,
    decisions: decisions.map(({ decision, differences }) => ({ decision, differences })),
    leftOut,
    receipts: receipts.map(({ receipt, appraisal, missing }) => ({ id: receipt.id, appraisal, missing })),
    head,
    heads,
    reach: reachOf(judged),
  };
};

/** What a report leaves out for its purpose, a line each. */
export const leftOutLines = ({ leftOut }: Pick<JudgedReport, "leftOut">): string[] =>
  leftOut.map(({ purpose, decisions }) => `Left out: ${decisions} of purpose ${shownJson(purpose)}`);

const missingText = (missing: readonly string[]): string =>
  missing.length === 0 ? "" : `, without the body of its ${missing.join(" and ")}`;

/** Prints a judged report. */
function showReport(judged: JudgedReport, { json, by }: { json: boolean; by: string }): void {
  const { report, verdict, simulated, problems, decisions, receipts, head, heads } = judged;
  const next = [
    NEXT[verdict],
    heads.length > 0 ? reachText(judged) : `${reachText(judged)} Give one with --head HASH.`,
  ];
  if (json) {
    printResult(reportData(judged), next.join(" "));
    return;
  }
  const verdicts = new Map(receipts.map(({ receipt, appraisal }) => [receipt.id, appraisal.verdict] as const));
  const lacking = new Map(receipts.map(({ receipt, missing }) => [receipt.id, missingText(missing)] as const));
  print(
    [
      `Report of ${decisions.length} decisions, ${report.period.from} until before ${report.period.to}${report.purpose === null ? "" : `, purpose ${shownJson(report.purpose)}`}`,
      `${pc.bold(VERDICT_COLOUR[verdict](verdict.toUpperCase()))}${simulated ? pc.yellow(" (SIMULATED hardware)") : ""}: judged by ${by}`,
      `Log entries to ${head.seq}, head ${head.hash}`,
      ...leftOutLines(judged),
      ...problems.map(({ code, message }) => pc.red(`Problem: ${message} [${code}]`)),
      ...decisions.flatMap(({ decision, differences }, at) => [
        `${at + 1}. ${shownJson(decision.subject)}: ${shownJson(decision.outcome)}, by ${whoText(decision)}`,
        ...decision.receipts.map(({ id }) => `   ${id}: ${verdicts.get(id) ?? "not readable"}${lacking.get(id) ?? ""}`),
        ...differences.map((one) => `   ${one.isNotice ? "" : "Differs: "}${differenceText(one)}`),
      ]),
    ].join("\n"),
  );
  for (const words of next) note(words);
}

/** The exit code of a verdict. */
export const EXIT_OF: Readonly<Record<Verdict, number>> = {
  verified: EXIT.ok,
  failed: EXIT.failed,
  pending: EXIT.open,
  unverified: EXIT.open,
};

type Asked = {
  at: Date | undefined;
  assurance: Assurance | undefined;
  heads: readonly string[];
  policy: AppraisalPolicy;
  /** The judge, by its name. */
  by: string;
  /** The configuration whose store knows more of its own receipts than a file tells; null to judge by the file alone. */
  store: Config | null;
};

/** Judges a report and prints it. Throws Proof402Error `usage` and the codes of `parseReport`. */
export async function verifyReportFile(
  bytes: Uint8Array,
  { at, assurance, heads, policy, by, store }: Asked,
  { json, rest }: { json: boolean; rest: GlobalOptions },
): Promise<number> {
  const odd = heads.find((head) => !/^[0-9a-f]{64}$/.test(head) || head === GENESIS);
  if (odd !== undefined)
    throw new Proof402Error(
      "usage",
      "--head takes the 64 hex digits that `proof402 log head` prints of a log with entries.",
      {
        next: "Give the head as it was handed over.",
      },
    );
  const judged = await busy("Verifying the report", () =>
    store === null
      ? verifyReport(bytes, policy, { heads, ezkl: createEzklEngine(), ...(at === undefined ? {} : { at }) })
      : withStore(rest, (db) => {
          const context = judgeContext(store, db);
          return judgeReport(bytes, heads, (receipt) => judgeAgain(context, receipt, { at, assurance }));
        }),
  );
  if (!judged.ok)
    throw new Proof402Error(judged.code, judged.message, {
      next: "Get the report again from where it was made; this file cannot be trusted.",
    });
  showReport(judged, { json, by });
  return EXIT_OF[judged.verdict];
}
