import type { Command } from "commander";
import { forReceipts } from "./for-receipts.ts";
import type { Lazily } from "./lazily.ts";

/** Adds `decisions` and `log` with their commands. Each loads its module when it runs. */
export function addDecisionCommands(program: Command, lazily: Lazily): void {
  const decisions = program
    .command("decisions")
    .description("recorded decisions, each with the receipts that it rests on; an id may be cut short");
  decisions
    .command("list", { isDefault: true })
    .description("the newest first; says how many more there are")
    .option("--purpose <purpose>", "of this purpose")
    .option("--since <time>", "made at this time or later, such as 2026-11-01")
    .option("--before <time>", "made before this time")
    .option("--limit <n>", "how many", "20")
    .option("--skip <n>", "leave out the newest", "0")
    .addHelpText("after", "\nExample: proof402 decisions list --purpose payroll --since 2026-11-01")
    .action(lazily(async () => forReceipts((await import("./decisions.ts")).listDecisions)));
  decisions
    .command("show <id>")
    .description("one decision: who, on which receipts, what was done, and what came of it")
    .action(lazily(async () => forReceipts((await import("./decisions.ts")).showDecision)));
  decisions
    .command("report")
    .description("the decisions of a period with their receipts and the log of that time, as one file for an auditor")
    .requiredOption("--from <time>", "made at this time or later, such as 2026-11-01")
    .requiredOption("--to <time>", "made before this time; the report reaches no further than now")
    .option("--purpose <purpose>", "of this purpose only")
    .requiredOption("--out <file>", "the report: the evidence")
    .option("--html <file>", "the same as a page for people, which prints on A4")
    .addHelpText(
      "after",
      "\nExample: proof402 decisions report --from 2026-11-01 --to 2026-12-01 --out report.json --html report.html",
    )
    .action(lazily(async () => forReceipts((await import("./decision-report.ts")).reportDecisions)));

  const log = program.command("log").description("the hash-chained log of receipts and decisions");
  log
    .command("head")
    .description("its newest hash, to be kept elsewhere: a later log, or a report of it, has to hold it")
    .action(lazily(async () => forReceipts((await import("./decisions.ts")).showLogHead)));
  log
    .command("publish")
    .description("put a root over its entries on the chain that the configuration names: `audit` compares with it")
    .option("--every <minutes>", "publish again whenever there are new entries, until the command is ended")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 log publish --every 60 --yes")
    .action(lazily(async () => (await import("./log-roots.ts")).publishLog));
}
