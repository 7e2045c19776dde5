import { readFile } from "node:fs/promises";
import { trustSchema, verifyReport, type JudgedReport } from "proof402/verify";

/** What a judged report is, and what the first thing wrong with it is about: a line, a receipt, or all of it. */
function told({ verdict, simulated, problems: [problem], report }: JudgedReport): string {
  const said = `${verdict.toUpperCase()}${simulated ? " (SIMULATED hardware)" : ""}`;
  if (problem === undefined) return said;
  const line = report.decisions.find(({ id }) => id === problem.decision)?.subject;
  return `${said}: ${problem.code}, ${line ?? problem.receipt ?? "the whole report"}`;
}

/**
 * `node audit.js TRUST HEAD REPORT...`: an auditor's own judgement of each report, from these files alone. It reads no
 * configuration and no store, asks no network, and needs nothing of the one who made the report.
 */
const [trust = "", head = "", ...reports] = process.argv.slice(2);
const { policy } = trustSchema.parse(JSON.parse(await readFile(trust, "utf8")));
for (const file of reports) {
  const judged = await verifyReport(await readFile(file), policy, { heads: [head] });
  console.log(`${file}: ${judged.ok ? told(judged) : `cannot be read: ${judged.message}`}`);
  if (!judged.ok || judged.verdict !== "verified") process.exitCode = 1;
}
