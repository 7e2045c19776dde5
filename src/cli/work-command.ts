import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Adds `work`. */
export function addWork(program: Command, lazily: Lazily): void {
  program
    .command("work")
    .description("look for the evidence that purchases of every process wait for; needs no key and pays nothing")
    .option("--until-idle", "end when no payment is under way and no evidence is awaited")
    .addHelpText(
      "after",
      "\nExample: proof402 work\nOver PostgreSQL any number of workers share the jobs. With --json one document a line.",
    )
    .action(lazily(async () => (await import("./work.ts")).work, [], { speaks: true }));
}
