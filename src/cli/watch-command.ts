import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Adds `watch`. */
export function addWatch(program: Command, lazily: Lazily): void {
  program
    .command("watch")
    .description("follow money and verdicts: payments, approvals, holds, actions, decisions, of every process")
    .option("--last <n>", "begin with the newest changes before", "10")
    .option("--until-idle", "end when no payment is under way and no evidence is awaited")
    .addHelpText("after", "\nExample: proof402 watch --last 20\nWith --json one document a line.")
    .action(lazily(async () => (await import("./watch.ts")).watch, [], { speaks: true }));
}
