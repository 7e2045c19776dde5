import { Option, type Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Adds `mcp` and `mcp-clients`. */
export function addMcpCommands(program: Command, lazily: Lazily): void {
  program
    .command("mcp")
    .description("serve the tools over MCP on standard input and output, or with --http on this machine's port")
    .option("--http", "serve Streamable HTTP in place of standard input and output; each request needs a token")
    .option("--port <n>", "port on this machine", "4021")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--clients <file>", "clients with scopes and budgets (default: mcp-clients.json beside the configuration)")
    .option("--allow-host <host:port...>", "answer requests for these names, too")
    .option("--allow-origin <origin...>", "answer pages of these origins, too")
    .addHelpText("after", "\nExample: claude mcp add proof402 -- proof402 mcp")
    .action(lazily(async () => (await import("./mcp.ts")).mcp, [], { speaks: true }));
  const clients = program.command("mcp-clients").description("programs that may call the MCP server over HTTP");
  clients
    .command("add <name>")
    .description("give one more client of mcp --http a token of its own, with what it may do and spend")
    .option("--buy", "it may spend, too; without this it may read only")
    .option("--max-usd <amount>", "the most it may spend (default: what the payment policy allows)")
    .addOption(
      new Option("--per <window>", "what the budget is for").choices(["hour", "day", "total"]).default("total"),
    )
    .option("--clients <file>", "the file of clients (default: mcp-clients.json beside the configuration)")
    .addHelpText("after", "\nExample: proof402 mcp-clients add desk --buy --max-usd 5 --per day")
    .action(lazily(async () => (await import("./mcp-clients.ts")).addClient));
  clients
    .command("remove <name>")
    .description("take a client's token back, at servers that run too")
    .option("--clients <file>", "the file of clients (default: mcp-clients.json beside the configuration)")
    .addHelpText("after", "\nExample: proof402 mcp-clients remove desk")
    .action(lazily(async () => (await import("./mcp-clients.ts")).removeClient));
}
