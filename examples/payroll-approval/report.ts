import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { serializeReport, type Report } from "proof402";

const root = dirname(createRequire(import.meta.url).resolve("proof402/package.json"));

/** What somebody could change in a month's report afterwards. */
const CHANGES: Record<string, (report: Report) => void> = {
  "changed-line.json"({ decisions }) {
    const { action } = decisions.find(({ outcome }) => outcome.startsWith("approved")) as { action: { pay: string } };
    action.pay = `9${action.pay}`;
  },
  "changed-decision.json"({ decisions }) {
    const rejected = decisions.find(({ outcome }) => outcome.startsWith("rejected")) as { outcome: string };
    rejected.outcome = "approved";
  },
  "changed-receipt.json"({ receipts }) {
    const [receipt] = receipts as { core: { response: { receivedAt: string } } }[];
    if (receipt !== undefined) receipt.core.response.receivedAt = "2026-11-01T00:00:00.000Z";
  },
};

/** The month's report, made by one process and judged by another: that one has the files alone, no configuration and no store. */
export async function reportAll(month: string, head: string): Promise<void> {
  const made = ["payroll.json", "payroll.html", "auditor.json"];
  await Promise.all(made.map((name) => rm(name, { force: true })));
  const period = ["--from", "2026-11-01", "--to", "2100-01-01", "--purpose", `payroll ${month}`];
  const cli = join(root, "dist", "src", "cli", "main.js");
  await node([cli, "decisions", "report", ...period, "--out", "payroll.json", "--html", "payroll.html"]);
  await node([cli, "trust", "export", "--reported-suffices", "auditor.json"]);
  const text = await readFile("payroll.json", "utf8");
  for (const [name, change] of Object.entries(CHANGES)) {
    const report = JSON.parse(text) as Report;
    change(report);
    await writeFile(name, serializeReport(report));
  }
  // Not serialized anew: a report whose digest is of another content.
  await writeFile("changed-report.json", text.replace("Nadia Roth", "Nadia Rath"));
  const audit = join(root, "dist", "examples", "payroll-approval", "audit.js");
  const files = ["payroll.json", ...Object.keys(CHANGES), "changed-report.json"];
  process.stdout.write(await node([audit, "auditor.json", head, ...files], {}));
}

/** A script in a process of its own. */
function node(args: string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { env: { ...env, NO_COLOR: "1" } }, (error, stdout, stderr) => {
      // The auditor ends with 1, as it should: changed files are among its own.
      if (error !== null && stdout === "") reject(new Error(stderr));
      else resolve(stdout);
    });
  });
}
