import { fork, spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { Ended, Order } from "./command-server.ts";

const RUN = process.env["PROOF402_TEST_CLI"] ?? "";
/** The built command line as one file, which a run's setup makes: `npm test` builds first. */
export const CLI = join(RUN, "main.mjs");

type Options = {
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string;
  /** Another installation's entry. */
  main?: string;
  /** In a process of its own, as a user starts it. */
  apart?: boolean;
};

/** Commands that start processes or do not end by themselves. */
const APART: ReadonlySet<string> = new Set(["demo", "devnet", "node", "mcp"]);

/**
 * Runs the built CLI. Commands that follow each other share a process that has loaded the modules: to load them costs more
 * than most commands do. A command that runs beside another is in another process.
 */
export function runCli(args: readonly string[], options: Options = {}): Promise<Ended> {
  const { main, stdin, cwd = process.cwd() } = options;
  const env = { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1", ...options.env };
  const apart = options.apart ?? (main !== undefined || stdin !== undefined || args.some((arg) => APART.has(arg)));
  return apart ? inProcess(main ?? CLI, { args, env, cwd }, stdin) : served({ args, env, cwd });
}

function inProcess(main: string, { args, env, cwd }: Order, stdin = ""): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
    // A command may end before it has read all.
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
  });
}

/** Processes that wait for their next command. They end with this one. */
const waiting: ChildProcess[] = [];

function served(order: Order): Promise<Ended> {
  const server =
    waiting.pop() ??
    fork(join(RUN, "command-server.mjs"), [CLI], { execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] });
  // It holds this process while it runs a command.
  server.ref();
  server.channel?.ref();
  return new Promise((resolve, reject) => {
    const died = (code: number | null): void => reject(new Error(`${order.args.join(" ")} ended its process: ${code}`));
    server.once("exit", died);
    server.once("message", (ended: Ended) => {
      server.off("exit", died);
      server.unref();
      server.channel?.unref();
      waiting.push(server);
      resolve(ended);
    });
    server.send(order);
  });
}
