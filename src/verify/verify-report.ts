import type { Part } from "../evidence/exchange/format.ts";
import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import type { Decision } from "../receipts/decision-schema.ts";
import { missingBodies, parseReceipt } from "../receipts/receipt.ts";
import { parseReport, type Report, type ReportFault } from "../receipts/report-schema.ts";
import { ASSURANCES, type Appraisal, type Receipt, type Verdict } from "../receipts/schema.ts";
import { appraise } from "./appraise.ts";
import type { AppraisalPolicy } from "./policy.ts";
import {
  entriesOf,
  headOf,
  problemsOfChain,
  problemsOfDecisions,
  problemsOfHeads,
  problemsOfLogged,
} from "./report-chain.ts";
import { problem, type ReportProblem } from "./report-problems.ts";
import { problemsOfReliance } from "./report-reliance.ts";
import type { EzklEngine } from "./types.ts";
import { createVerificationCache, type VerificationCache } from "./verification-cache.ts";

/** A recorded verdict unlike the one found now. `isNotice` if it only says that evidence came after the decision. */
export type Difference = {
  receipt: string;
  field: "verdict" | "assurance" | "simulated";
  recorded: string;
  found: string;
  isNotice: boolean;
};

/** A report as it was judged. */
export type JudgedReport = {
  ok: true;
  report: Report;
  /**
   * `verified` if nothing is wrong with the report, each receipt of a decision is verified, and each was recorded so.
   * `failed` if anything is wrong, or a receipt failed.
   */
  verdict: Verdict;
  /** Whether any receipt's hardware is simulated. */
  simulated: boolean;
  problems: ReportProblem[];
  decisions: { decision: Decision; differences: Difference[] }[];
  /** Each receipt that could be read, with its verdict of now and the parts whose bodies are left out. */
  receipts: { receipt: Receipt; appraisal: Appraisal; missing: Part[] }[];
  /** The decisions of the period that are left out for their purpose: how many of each. */
  leftOut: { purpose: string; decisions: number }[];
  /** The newest entry of the report's part of the log, and the heads it was looked for in it. */
  head: { seq: number; hash: string };
  heads: readonly string[];
};

/** A report judged, or why it could not be read. */
export type ReportVerification = JudgedReport | { ok: false; code: ReportFault; message: string };

/**
 * Verifies a report file offline: each receipt again under your policy, the log's part recomputed, each decision compared with
 * the log, and its recorded verdicts with yours. `heads` are hashes of the log that were handed over before. Without one
 * entries cut off at the end of the log do not show.
 *
 * Options are those of `verifyReceipt`. Throws RangeError where `at` is an invalid date, and nothing else.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { trustSchema, verifyReport } from "proof402/verify";
 *
 * const { policy } = trustSchema.parse(JSON.parse(await readFile("trust.json", "utf8")));
 * const verification = await verifyReport(await readFile("report.json"), policy);
 * process.stdout.write(verification.ok ? verification.verdict : verification.code);
 * ```
 */
export async function verifyReport(
  bytes: Uint8Array,
  policy: AppraisalPolicy,
  options: { at?: Date; heads?: readonly string[]; session?: VerificationCache; ezkl?: EzklEngine } = {},
): Promise<ReportVerification> {
  const session = options.session ?? createVerificationCache();
  const ezkl = options.ezkl === undefined ? {} : { ezkl: options.ezkl };
  return judgeReport(bytes, options.heads ?? [], (receipt) => {
    const at = options.at ?? new Date(receipt.core.response.receivedAt);
    return appraise({ receipt, policy, now: at, evaluateAt: at, ...ezkl }, session);
  });
}

/** The same with another judge of receipts. */
export async function judgeReport(
  bytes: Uint8Array,
  heads: readonly string[],
  judge: (receipt: Receipt) => Promise<Appraisal>,
): Promise<ReportVerification> {
  const parsed = parseReport(bytes);
  if (!parsed.ok) return parsed;
  const { report, isWhole } = parsed;
  const read = readReceipts(report);
  const entries = entriesOf(report);
  const problems = [
    ...(isWhole ? [] : [problem("report_altered", "The report's digest is not the hash of what it holds.")]),
    ...problemsOfChain(report),
    ...problemsOfHeads(report, heads),
    ...problemsOfDecisions(report, entries),
    ...read.problems,
  ];
  const receipts: JudgedReport["receipts"] = [];
  const altered = new Set<string>();
  for (const receipt of read.receipts.values()) {
    const unlike = problemsOfLogged(report, entries, receipt);
    if (unlike.length > 0) altered.add(receipt.id);
    problems.push(...unlike);
    receipts.push({ receipt, appraisal: await judge(receipt), missing: missingBodies(receipt) });
  }
  problems.push(...problemsOfReliance(report, entries, read.receipts, altered));
  const found = new Map(receipts.map(({ receipt, appraisal }) => [receipt.id, appraisal] as const));
  const decisions = report.decisions.map((decision) => ({ decision, differences: differencesOf(decision, found) }));
  return {
    ok: true,
    report,
    verdict: verdictOf(problems, decisions, receipts),
    simulated: receipts.some(({ appraisal }) => appraisal.simulated),
    problems,
    decisions,
    receipts,
    leftOut: leftOutOf(report),
    head: headOf(report),
    heads,
  };
}

/** Counts the decisions left out by their purpose, in the order of the log. */
function leftOutOf({ others }: Report): JudgedReport["leftOut"] {
  const counts = new Map<string, number>();
  for (const { purpose } of others) counts.set(purpose, (counts.get(purpose) ?? 0) + 1);
  return [...counts].map(([purpose, decisions]) => ({ purpose, decisions }));
}

/** The receipts of a report by id, each read as its file is. */
function readReceipts({ receipts, decisions }: Report): { receipts: Map<string, Receipt>; problems: ReportProblem[] } {
  const found = new Map<string, Receipt>();
  const problems: ReportProblem[] = [];
  const purchases = new Map<string, string>();
  const named = new Set(decisions.flatMap((one) => one.receipts.map(({ id }) => id)));
  for (const [at, value] of receipts.entries()) {
    const parsed = parseReceipt(JSON.stringify(value));
    if (!parsed.ok) {
      const id = idIn(value);
      const what = id === null ? `Receipt number ${at + 1}` : `Receipt ${id}`;
      problems.push(problem("receipt_altered", `${what}: ${parsed.message} [${parsed.code}]`, { receipt: id }));
      continue;
    }
    const { receipt } = parsed;
    const { id } = receipt;
    if (found.has(id) || !named.has(id))
      problems.push(problem("receipt_stray", `Receipt ${id} stands twice, or no decision names it.`, { receipt: id }));
    found.set(id, receipt);
    const purchase = purchaseNonceOf(receipt.core.payment);
    const rival = purchases.get(purchase);
    if (rival !== undefined && rival !== id)
      problems.push(problem("receipt_rival", `Receipts ${rival} and ${id} are of one purchase.`, { receipt: id }));
    purchases.set(purchase, id);
  }
  for (const decision of decisions)
    for (const { id } of decision.receipts)
      if (!found.has(id))
        problems.push(
          problem(
            "receipt_missing",
            `Decision ${decision.id} rests on receipt ${id}, and the report holds none that can be read.`,
            {
              decision: decision.id,
              receipt: id,
            },
          ),
        );
  return { receipts: found, problems };
}

/** The id that a value names, if it is one. */
function idIn(value: unknown): string | null {
  const id = typeof value === "object" && value !== null && "id" in value ? value.id : null;
  return typeof id === "string" && /^p402_[a-z2-7]{52}$/.test(id) ? id : null;
}

function differencesOf({ receipts }: Decision, found: ReadonlyMap<string, Appraisal>): Difference[] {
  return receipts.flatMap((recorded) => {
    const now = found.get(recorded.id);
    if (now === undefined) return [];
    const differ = (field: Difference["field"], isNotice: boolean): Difference[] =>
      recorded[field] === now[field]
        ? []
        : [{ receipt: recorded.id, field, recorded: String(recorded[field]), found: String(now[field]), isNotice }];
    const isMore = ASSURANCES.indexOf(now.assurance) > ASSURANCES.indexOf(recorded.assurance);
    return [
      ...differ("verdict", false),
      // A proof may come after a decision. One that is gone was never there for this reader.
      ...differ("assurance", isMore),
      ...differ("simulated", false),
    ];
  });
}

function verdictOf(
  problems: readonly ReportProblem[],
  decisions: JudgedReport["decisions"],
  receipts: JudgedReport["receipts"],
): Verdict {
  const verdicts = receipts.map(({ appraisal }) => appraisal.verdict);
  if (problems.length > 0 || verdicts.includes("failed")) return "failed";
  const differs = decisions.some(({ differences }) => differences.some(({ isNotice }) => !isNotice));
  if (decisions.length === 0 || verdicts.includes("unverified")) return "unverified";
  if (verdicts.includes("pending")) return "pending";
  return differs ? "unverified" : "verified";
}
