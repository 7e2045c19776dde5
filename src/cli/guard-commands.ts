import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Adds `guard` and its commands. */
export function addGuardCommands(program: Command, lazily: Lazily): void {
  const guard = program
    .command("guard")
    .description("guarded actions: what ran on which receipt, and the emergency stop");
  guard
    .command("list", { isDefault: true })
    .description("the newest first, those that wait for a decision named")
    .option("--open", "only those that are under way or undecided")
    .option("--limit <n>", "how many", "20")
    .action(lazily(async () => (await import("./guard.ts")).listGuarded));
  guard
    .command("show <id>")
    .description("one action: its arguments, and the requirement and rules that let it run")
    .action(lazily(async () => (await import("./guard.ts")).showGuarded));
  guard
    .command("settle <id> <done|failed>")
    .description("decide an action without a known end; failed lets the same action run again on its receipt")
    .requiredOption("--note <text>", "what you looked at; it is kept with the decision")
    .option("--not-running", "its process ended, although it seems to run")
    .addHelpText(
      "after",
      '\nExample: proof402 guard settle claim_1f0c... failed --note "no such order at the exchange"',
    )
    .action(lazily(async () => (await import("./guard.ts")).settleGuarded));
  guard
    .command("stop")
    .description("refuse every guarded action at once, in all processes; those that have begun go on")
    .option("--reason <text>", "told with each refusal", "ordered by the owner")
    .action(lazily(async () => (await import("./guard.ts")).stopGuards));
  guard
    .command("start")
    .description("end the emergency stop")
    .action(lazily(async () => (await import("./guard.ts")).startGuards));
  guard
    .command("serve [command...]")
    .description("stand before an MCP server: the tools that a file names run on verified receipts only")
    .requiredOption("--rules <file>", "which tools are guarded, and by what")
    .option("--upstream <url>", "the server's address, in place of a command")
    .option("--check", "only list the server's tools and what becomes of each")
    .addHelpText("after", "\nExample: proof402 guard serve --rules guard.json -- npx some-mcp-server")
    .action(lazily(async () => (await import("./guard-serve.ts")).serveGuarded, [], { speaks: true }));
}
