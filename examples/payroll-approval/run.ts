import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
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

/** `row` is the sha256 of the whole row: account and features are decided on, too. */
type Line = { line: string; employee: string; gross: string; account: string; features: number[]; row: string };
type Answer = { person: string; answer: "approve" | "reject"; reason: string };

/** Cells without commas and quotes, as this run's export has them. Anything else is refused, so no column can shift. */
async function readLines(): Promise<Line[]> {
  const file = process.argv.slice(2).find((argument) => argument.endsWith(".csv")) ?? join(here, "payroll.csv");
  const [, ...rows] = (await readFile(file, "utf8")).trim().split("\n");
  const lines = rows.map((row, at) => {
    const [line = "", employee = "", gross = "", account = "", ...cells] = row.split(",");
    const isWhole = /^\d+$/.test(line) && /^\d+\.\d\d$/.test(gross) && employee.trim() !== "" && account.trim() !== "";
    // An empty cell is no zero.
    if (!isWhole || cells.length !== FEATURES || !cells.every((cell) => /^-?\d+(\.\d+)?$/.test(cell)))
      throw new Error(`${file}: row ${at + 1} is not as it must be`);
    const digest = createHash("sha256").update(row).digest("hex");
    return { line, employee, gross, account, features: cells.map(Number), row: digest };
  });
  if (new Set(lines.map(({ line }) => line)).size !== lines.length) throw new Error(`${file}: a line is there twice`);
  return lines;
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
      idempotencyKey: `payroll-2026-11-line-${line.line}-${line.row.slice(0, 32)}`,
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
    subject: subjectOf(line),
    receipts: [receipt.id],
    action: { [isApproved ? "pay" : "hold"]: line.gross, to: line.account, line: line.line, row: line.row },
    outcome: [outcome, why, ...answers.map(({ person, reason }) => `${person}: ${reason}`)].join("\n"),
    program: "payroll-approval",
    person: answers[0]?.person,
    second: answers[1]?.person,
  });
}

function subjectOf({ line, employee, gross }: Line): string {
  return `line ${line}: ${employee}, ${gross}`;
}

/** Decides each line once, and names a row that was changed after its decision. */
async function decideAll(): Promise<void> {
  await using buyer = await openBuyer();
  const decided = await buyer.decisions({ purpose: MONTH, limit: 1000 });
  for (const line of await readLines()) {
    const before = decided.find(({ action }) => (action as { line?: unknown }).line === line.line);
    if (before !== undefined && (before.action as { row?: unknown }).row !== line.row) {
      console.log(`line ${line.line}: CHANGED after its decision about "${before.subject}". It is not paid.`);
      process.exitCode = 1;
      continue;
    }
    const { outcome, by } = before ?? (await decideLine(buyer, line));
    const who = [by.person, by.second].filter((name) => name !== null).join(" and ");
    console.log(`${subjectOf(line)}: ${outcome.split("\n", 2).join(", ")}, by ${who || by.program}`);
  }
}

// Two runs at once would both find a line undecided. The lock lies with the market's files, not with the terminal's folder.
const lock = join(dirname(process.env["PROOF402_CONFIG"] ?? "."), "payroll.lock");
const isOurs = await writeFile(lock, `${process.pid}\n`, { flag: "wx" }).then(
  () => true,
  (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  },
);
if (isOurs) {
  try {
    await decideAll();
    if (!process.argv.includes("--no-report")) await reportAll();
  } finally {
    await rm(lock);
  }
} else {
  console.log(`Another run is under way, and this one ends. If none is, remove ${lock}.`);
  process.exitCode = 1;
}

/** All of it is done by other processes. The last two have the files alone: no configuration, no store. */
async function reportAll(): Promise<void> {
  await Promise.all(["payroll.json", "payroll.html", "auditor.json"].map((name) => rm(name, { force: true })));
  const period = ["--from", "2026-11-01", "--to", "2100-01-01", "--purpose", MONTH];
  await proof402(["decisions", "report", ...period, "--out", "payroll.json", "--html", "payroll.html"]);
  await proof402(["trust", "export", "--reported-suffices", "auditor.json"]);
  const head = (await proof402(["log", "head"])).printed.trim();
  await judge("payroll.json", head);
  const report = JSON.parse(await readFile("payroll.json", "utf8")) as Report;
  const changed = report.decisions.find(({ outcome }) => outcome.startsWith("rejected")) ?? report.decisions[0];
  if (changed === undefined) throw new Error("no decision to change");
  changed.outcome = changed.outcome.startsWith("approved") ? "rejected" : "approved";
  await writeFile("changed.json", serializeReport(report));
  await judge("changed.json", head);
}

async function judge(file: string, head: string): Promise<void> {
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
