#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import { bareProgram } from "./bare-program.ts";
import { EXIT, exitOf, note, printJson } from "./globals.ts";
import type { Lazily } from "./lazily.ts";
import { requirePeers } from "../peers.ts";
import { alive } from "./progress.ts";

let exitCode: number = EXIT.ok;
/** Names the help of the command that could not be read. */
let help = "See proof402 --help.";

/** Loads a command's module when it runs, once its peers are there: `--help` and `--version` load nothing else. */
const lazily: Lazily =
  (load, peers = [], { speaks = false } = {}) =>
  async (...args) => {
    requirePeers(peers);
    const run = async (): Promise<number> => (await load())(...(args as never[]));
    const command = args.find((arg) => arg instanceof Command);
    exitCode = await (speaks ? run() : alive(`proof402 ${command?.name() ?? ""}`, run));
  };

/** The program with the commands that a line may mean. A host starts `mcp` and waits: no other command is read for it. */
async function buildProgram(args: readonly string[]): Promise<Command> {
  const program = bareProgram();
  if (commandIn(args) === "mcp") (await import("./mcp-commands.ts")).addMcpCommands(program, lazily);
  else (await import("./program.ts")).addCommands(program, lazily);
  nameHelp(program, "proof402");
  return program;
}

/** The first word of a line that is no option. */
const commandIn = (args: readonly string[]): string | undefined =>
  args.find((arg, at) => !arg.startsWith("-") && args[at - 1] !== "--config");

/** Has each command name its own help. */
function nameHelp(command: Command, name: string): void {
  const its = `See ${name} --help.`;
  command.showHelpAfterError(its);
  command.configureOutput({
    outputError: (text, write) => {
      help = its;
      write(text);
    },
  });
  for (const part of command.commands) nameHelp(part, `${name} ${part.name()}`);
}

async function report(error: unknown, json: boolean): Promise<number> {
  // Commander has said on stderr what was wrong.
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok;
    const named = error.code === "commander.help" ? "No command was named." : error.message.replace(/^error: /, "");
    if (json) printJson({ error: { code: "usage", message: named, next: help } });
    return EXIT.usage;
  }
  const ours = Proof402Error.isInstance(error);
  const code: ErrorCode = ours ? error.code : "internal_error";
  const message = ours
    ? error.message
    : `An unexpected ${error instanceof Error ? error.name : "error"} stopped the command.`;
  // Outside a purchase there is no money to speak of: what one throws is an outcome of its tool.
  const money = ours ? error.money : undefined;
  const next = ours ? error.next : "Look at spending before trying again.";
  if (json) printJson({ error: { code, message, money, next } });
  else {
    const words = money === undefined ? [] : [(await import("../tools/outcome.ts")).moneyWords(code, money)];
    note([`Error ${code}: ${message}`, ...words, next].join("\n"));
  }
  return exitOf(code);
}

// A reader that is gone stops nothing that was begun, since a payment may be out; one that has seen enough (`| head`) is no error.
let unwritten = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", ({ code }: NodeJS.ErrnoException) => {
    unwritten ||= code !== "EPIPE";
  });
}
process.on("exit", () => {
  if (unwritten && process.exitCode === EXIT.ok) process.exitCode = EXIT.failed;
});

try {
  await (await buildProgram(process.argv.slice(2))).parseAsync();
} catch (error) {
  exitCode = await report(error, process.argv.includes("--json"));
}
process.exitCode = exitCode;
