import { Console } from "node:console";
import type { Command } from "commander";
import { checkGuard, type CheckedTool } from "../../mcp-server/guard/check.ts";
import { serveGuard, type GuardedServer } from "../../mcp-server/guard/serve.ts";
import { Proof402Error } from "../errors.ts";
import { OTHERS, readTextFile } from "../files/read-file.ts";
import { parseGuardConfig, type GuardConfig } from "../guard/tool-config.ts";
import { PEERS, requirePeers } from "../peers.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { openFor } from "./session.ts";

const MAX_BYTES = 1_000_000;

type Options = { rules: string; upstream?: string; check?: boolean };

/** `proof402 guard serve`: stands between an MCP client and a server until one of them goes away. */
export async function serveGuarded(words: string[], options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await guardConfigIn(options.rules);
  const server = serverIn(words, options.upstream);
  if ("url" in server) requirePeers(PEERS.upstream);
  if (options.check === true) return checked(await checkGuard(config, server), json);
  // What a dependency says to the console must not end up in the protocol.
  globalThis.console = new Console(process.stderr);
  await serveGuard({ config, server, buyer: () => openFor(rest) });
  return EXIT.ok;
}

function serverIn(words: readonly string[], url: string | undefined): GuardedServer {
  if ((words.length === 0) === (url === undefined))
    throw new Proof402Error(
      "usage",
      "A guard stands before one server: a command after --, or --upstream with its address.",
      {
        next: "See proof402 guard serve --help.",
      },
    );
  return url === undefined ? { command: words } : { url };
}

/** A file that others may write to would let them take the guard off. */
async function guardConfigIn(path: string): Promise<GuardConfig> {
  const file = await readTextFile(path, { maxBytes: MAX_BYTES, denied: OTHERS.write });
  if ("text" in file) return parseGuardConfig(file.text);
  const why =
    file.problem === "permissions"
      ? `its ${file.of} may be written by others (mode ${file.mode})`
      : file.problem.replaceAll("_", " ");
  throw new Proof402Error("guard_config", `${path} cannot be used as the guard's configuration: ${why}.`, {
    next: "Name a readable file with --rules that only its owner may write.",
  });
}

function checked(tools: readonly CheckedTool[], json: boolean): number {
  const problems = tools.filter(({ problem }) => problem !== null);
  const next =
    problems.length === 0
      ? "Start it without --check. A digest pins a tool's schema if the configuration holds it."
      : "Correct the configuration: until then the guard refuses every call.";
  if (json) printResult({ tools }, next);
  else {
    for (const { name, treated, schema, problem } of tools)
      print(
        `${problem === null ? treated : "PROBLEM"}  ${JSON.stringify(name)}  ${problem ?? `schema ${schema ?? "none"}`}`,
      );
    note(next);
  }
  return problems.length === 0 ? EXIT.ok : EXIT.failed;
}
