import { readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Command, INTERRUPT, isInterrupted } from "@langchain/langgraph";
import { openBuyer, type Decision } from "proof402";
import { approvalGraph, type Question } from "./graph.ts";
import { readLines, subjectOf, type Line } from "./lines.ts";
import { askFile, askTerminal, type Ask } from "./people.ts";
import { reportAll } from "./report.ts";

const MONTH = "2026-11";
const PROGRAM = "payroll-approval";
const root = dirname(createRequire(import.meta.url).resolve("proof402/package.json"));
const here = (name: string): string => join(root, "examples", "payroll-approval", name);
const flags = process.argv.slice(2);

/** Decides each line once, and names a row that was changed after its decision. Returns the log's head, for the auditor. */
async function decideAll(): Promise<string> {
  await using buyer = await openBuyer();
  const approvers = JSON.parse(await readFile(here("approvers.json"), "utf8")) as string[];
  const graph = approvalGraph(buyer, { month: MONTH, program: PROGRAM, approvers });
  const ask = flags.includes("--ask") ? askTerminal : await askFile(here("answers.json"));
  const decided = await buyer.decisions({ purpose: `payroll ${MONTH}`, limit: 1000 });
  for (const line of await readLines(flags.find((flag) => flag.endsWith(".csv")) ?? here("payroll.csv"))) {
    const before = decided.find(({ action }) => (action as { line?: unknown }).line === line.line);
    if (before !== undefined && (before.action as { row?: unknown }).row !== line.row) {
      console.log(`line ${line.line}: CHANGED after its decision about "${before.subject}". It is not paid.`);
      process.exitCode = 1;
      continue;
    }
    const { outcome, by } = before ?? (await decideLine(graph, line, ask));
    const who = [by.person, by.second].filter((name) => name !== null).join(" and ");
    console.log(`${subjectOf(line)}: ${outcome.split("\n", 2).join(", ")}, by ${who || by.program}`);
  }
  return (await buyer.logHead()).hash;
}

/** Runs one line's graph to its end. Whoever shows its questions elsewhere resumes it from there, in the same way. */
async function decideLine(graph: ReturnType<typeof approvalGraph>, line: Line, ask: Ask): Promise<Decision> {
  const thread = { configurable: { thread_id: `line ${line.line}` } };
  let state = await graph.invoke({ line }, thread);
  while (isInterrupted<Question>(state)) {
    const [question] = state[INTERRUPT];
    const resume = question?.value === undefined ? "absent" : await ask(question.value);
    state = await graph.invoke(new Command({ resume }), thread);
  }
  return state.decision;
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
    const head = await decideAll();
    if (!flags.includes("--no-report")) await reportAll(MONTH, head);
  } finally {
    await rm(lock);
  }
} else {
  console.log(`Another run is under way, and this one ends. If none is, remove ${lock}.`);
  process.exitCode = 1;
}
