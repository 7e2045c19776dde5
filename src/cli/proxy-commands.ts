import { Option, type Command } from "commander";
import { ASSURANCES } from "../receipts/words.ts";
import { CLIENTS } from "./connect/clients.ts";
import type { Lazily } from "./lazily.ts";

/** Adds `proxy` and `connect`. */
export function addProxyCommands(program: Command, lazily: Lazily): void {
  program
    .command("proxy")
    .description("serve OpenAI's API on this machine: each request is bought under the payment policy")
    .option("--port <n>", "port on this machine", "4020")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--strict", "answer 502 for all that is not verified; streams wait until they are judged")
    .option("--seller <id>", "only from this seller")
    .addOption(new Option("--assurance <level>", "least evidence wanted").choices(ASSURANCES))
    .option("--max-usd <amount>", "most a request may cost")
    .option("--allow-host <host:port...>", "answer requests for these names, too")
    .option("--allow-origin <origin...>", "answer pages of these origins, too")
    .addHelpText("after", "\nExample: proof402 proxy --strict")
    .action(lazily(async () => (await import("./proxy.ts")).proxy, [], { speaks: true }));

  program
    .command("connect <client>")
    .description(`point a client at the proxy: ${Object.keys(CLIENTS).join(", ")}`)
    .option("--file <path>", "its file (default: where the client looks for it)")
    .option("--url <url>", "the proxy's base", "http://127.0.0.1:4020/v1")
    .option("--model <name>", "model that the file names")
    .option("--undo", "take it back")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 connect aider")
    .action(lazily(async () => (await import("./connect/connect.ts")).connect));
}
