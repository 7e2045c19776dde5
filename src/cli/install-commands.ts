import { Option, type Command } from "commander";
import { CLIENTS } from "./install/clients.ts";
import type { Lazily } from "./lazily.ts";

/** Adds `install`. */
export function addInstallCommands(program: Command, lazily: Lazily): void {
  program
    .command("install")
    .description("add the MCP server to a client: shows the change, starts the server as the client would, and writes")
    .addOption(new Option("--client <client>", "the client").choices(Object.keys(CLIENTS)).makeOptionMandatory())
    .option("--name <name>", "the server's name there", "proof402")
    .option("--file <path>", "its file (default: where the client looks for it)")
    .option("--link", "print a link that adds the server, and change nothing")
    .option("--undo", "take the server out")
    .option("--no-check", "do not start the server")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 install --client cursor --config market/proof402.config.json")
    .action(lazily(async () => (await import("./install/install.ts")).install));
}
