import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { openBuyer, serializeReport, type Buyer, type Decision, type Report } from "proof402";

const MONTH = "payroll 2026-11";
/** Above this an ordinary line takes two persons, too. Whole euros. */
const TWO_PERSONS_ABOVE = 10_000;
/** The model's own bound: a score above it is an anomaly. */
const REVIEW_ABOVE = 0.5;
const FEATURES = 8;

const root = dirname(createRequire(import.meta.url).resolve("proof402/package.json"));
const here = join(root, "examples", "payroll-approval");

type Line = { line: string; employee: string; gross: string; account: string; features: number[] };
type Answer = { person: string; answer: "approve" | "reject"; reason: string };

/** Cells without commas and quotes, as this run's export has them. Anything else is refused, so no column can shift. */
async function readLines(): Promise<Line[]> {
  const [, ...rows] = (await readFile(join(here, "payroll.csv"), "utf8")).trim().split("\n");
  return rows.map((row) => {
    const [line = "", employee = "", gross = "", account = "", ...cells] = row.split(",");
    const features = cells.map(Number);
    if (features.length !== FEATURES || !features.every(Number.isFinite) || !/^\d+\.\d\d$/.test(gross))
      throw new Error(`payroll.csv: line ${line} is not as it must be`);
    return { line, employee, gross, account, features };
  });
}

/** Persons' answers: typed at the terminal with `--ask`, else from a file. */
async function answersOf({ line, employee, gross }: Line, why: string, persons: number): Promise<Answer[]> {
  if (!process.argv.includes("--ask")) {
    const file = JSON.parse(await readFile(join(here, "answers.json"), "utf8")) as Record<string, Answer[]>;
    return (file[line] ?? []).slice(0, persons);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answers: Answer[] = [];
  for (let asked = 0; asked < persons; asked += 1) {
    const person = await terminal.question(`Line ${line}, ${employee}, ${gross}: ${why}. Your name: `);
    const word = await terminal.question("approve or reject: ");
    const reason = await terminal.question("Reason: ");
    answers.push({ person, answer: word === "approve" ? "approve" : "reject", reason });
  }
  terminal.close();
  return answers;
}

/** Decides one line on one verified receipt, and records it. A line that was decided is not decided again. */
async function decideLine(buyer: Buyer, line: Line): Promise<Decision> {
  const { receipt, verdict, readable, answer } = await buyer.buy(
    "payroll-check",
    { features: line.features },
    {
      seller: "honest",
      assurance: "attested",
      wait: "verified",
      // One key, one payment: a run that was stopped takes the line up again.
      idempotencyKey: `payroll-2026-11-line-${line.line}`,
    },
  );
  const score = readable ? Number([answer["score"]].flat()[0]) : Number.NaN;
  const isProven = verdict === "verified" && score >= 0 && score <= 1;
  const isLarge = Number(line.gross) > TWO_PERSONS_ABOVE;
  const persons = isProven && !isLarge && score <= REVIEW_ABOVE ? 0 : isLarge ? 2 : 1;
  const why = isProven ? `score ${score.toFixed(2)}${isLarge ? ", two persons" : ""}` : `the receipt is ${verdict}`;
  const answers = persons === 0 ? [] : await answersOf(line, why, persons);
  const said = answers.map(({ answer: word }) => word);
  const isApproved = isProven && answers.length === persons && said.every((word) => word === "approve");
  const outcome = isApproved ? "approved" : said.includes("reject") ? "rejected" : "held";
  return buyer.decide({
    purpose: MONTH,
    subject: `line ${line.line}: ${line.employee}, ${line.gross}`,
    receipts: [receipt.id],
    action: { [isApproved ? "pay" : "hold"]: line.gross, to: line.account, line: line.line },
    outcome: [outcome, why, ...answers.map(({ person, reason }) => `${person}: ${reason}`)].join("\n"),
    program: "payroll-approval",
    person: answers[0]?.person,
    second: answers[1]?.person,
  });
}

{
  await using buyer = await openBuyer();
  const decided = await buyer.decisions({ purpose: MONTH, limit: 1000 });
  for (const line of await readLines()) {
    const subject = `line ${line.line}: ${line.employee}, ${line.gross}`;
    const before = decided.find((one) => one.subject === subject);
    const { outcome, by } = before ?? (await decideLine(buyer, line));
    const who = [by.person, by.second].filter((name) => name !== null).join(" and ");
    console.log(`${subject}: ${outcome.split("\n", 2).join(", ")}, by ${who || by.program}`);
  }
}

if (process.argv.includes("--no-report")) process.exit();

// What follows is done by other processes. The last two have the files alone: no configuration, no store.
await Promise.all(["payroll.json", "payroll.html", "auditor.json"].map((name) => rm(name, { force: true })));
const period = ["--from", "2026-11-01", "--to", "2100-01-01", "--purpose", MONTH];
await proof402(["decisions", "report", ...period, "--out", "payroll.json", "--html", "payroll.html"]);
await proof402(["trust", "export", "--reported-suffices", "auditor.json"]);
const head = (await proof402(["log", "head"])).printed.trim();
await judge("payroll.json");
const report = JSON.parse(await readFile("payroll.json", "utf8")) as Report;
for (const one of report.decisions.slice(2, 3)) one.outcome = one.outcome.replace("rejected", "approved");
await writeFile("changed.json", serializeReport(report));
await judge("changed.json");

async function judge(file: string): Promise<void> {
  const { printed } = await proof402(["verify", file, "--trust", "auditor.json", "--head", head], {});
  const [, verdict = ""] = printed.split("\n");
  console.log(`${file}: ${verdict.replace(/:.*/, "")}`);
  for (const problem of printed.match(/^Problem: .*$/gm) ?? []) console.log(problem.replace(/dec_\w+/, "dec_..."));
}

/** A command of proof402 in a process of its own. */
function proof402(args: string[], env: NodeJS.ProcessEnv = process.env): Promise<{ printed: string }> {
  const cli = join(root, "dist", "src", "cli", "main.js");
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [cli, ...args], { env: { ...env, NO_COLOR: "1" } }, (error, stdout, stderr) => {
      // `verify` ends with the verdict.
      if (error !== null && args[0] !== "verify") reject(new Error(stderr));
      else resolve({ printed: stdout });
    });
  });
}
