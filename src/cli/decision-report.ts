import type { Command } from "commander";
import { judgeAgain, judgeContext } from "../buyer/judge.ts";
import { writeNew } from "../files/write-new.ts";
import { reportPage } from "../pages/report-page.ts";
import { makeReport } from "../receipts/report.ts";
import { serializeReport } from "../receipts/report-schema.ts";
import { judgeReport } from "../verify/verify-report.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { timeOf } from "./numbers.ts";
import { busy } from "./progress.ts";
import { quoted } from "./quoted.ts";
import { leftOutLines } from "./verify-report.ts";
import { configOf, withStore } from "./session.ts";

type Options = { from: string; to: string; purpose?: string; out: string; html?: string };

/**
 * `proof402 decisions report`: the decisions of a period for an auditor, as a file and as a page. Both show the verdict that
 * the store gives now. Exits 1 if the log or the store is not whole: the files are FAILED then, with each problem. Throws Proof402Error as `makeReport` and `writeNew` do.
 */
export async function reportDecisions(options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { purpose, out, html } = options;
  const [from, to] = [timeOf(options.from, "--from"), timeOf(options.to, "--to")];
  const config = await configOf(rest);
  const { bytes, judged } = await busy("Making the report", () =>
    withStore(rest, async (db) => {
      const made = serializeReport(await makeReport(db, { from, to, purpose }, new Date()));
      const context = judgeContext(config, db);
      return { bytes: made, judged: await judgeReport(made, [], (receipt) => judgeAgain(context, receipt, {})) };
    }),
  );
  if (!judged.ok) throw new Error(`the report made is not readable: ${judged.code}`);
  const { report, verdict, head, decisions, problems, leftOut } = judged;
  const reader = {
    judgedBy: "its maker's configuration",
    knows: (seller: string) => config.sellers.some(({ id }) => id === seller),
    tokens: config.payment.assets,
  };
  const page = html === undefined ? null : await reportPage(judged, reader);
  await writeNew(out, bytes);
  if (html !== undefined && page !== null) await writeNew(html, page);
  const next =
    problems.length > 0
      ? "The log or the store is not whole, and the files say so: see proof402 audit. Hand them over as evidence of that alone."
      : `Others check it with: proof402 verify ${quoted(out)} --trust trust.json --head ${head.hash} (the trust file is made with: proof402 trust export --reported-suffices trust.json). Hand the head over apart from the report.`;
  const { period } = report;
  if (json) {
    const files = { file: out, ...(html === undefined ? {} : { html }) };
    printResult({ ...files, period, decisions: decisions.length, leftOut, verdict, problems, head }, next);
  } else {
    print(
      `Wrote ${[out, ...(html === undefined ? [] : [html])].join(" and ")}: ${decisions.length} decisions, ${period.from} until before ${period.to}, ${verdict}`,
    );
    for (const words of leftOutLines(judged)) print(words);
    for (const { message, code } of problems) print(`Problem: ${message} [${code}]`);
    note(next);
  }
  return problems.length > 0 ? EXIT.failed : EXIT.ok;
}
