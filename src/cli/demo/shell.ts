import { spawn } from "node:child_process";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { quoted } from "../quoted.ts";
import type { DemoReport } from "./report.ts";

const MAIN = fileURLToPath(new URL("../main.js", import.meta.url));

/** A command of this program as it is typed into a shell in the working directory. */
export const shellLine = (args: readonly string[]): string =>
  ["node", relative(process.cwd(), MAIN), ...args].map(quoted).join(" ");

/**
 * Runs a command of this program in a process of its own, without a key. Shows the command and its output; the command works
 * again when it is copied. Resolves to the exit code.
 */
export function runInFreshProcess(args: readonly string[], report: DemoReport): Promise<number> {
  report.line(`$ ${shellLine(args)}`);
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PROOF402_PRIVATE_KEY: "" },
    });
    const show = (chunk: Buffer): void => report.quote(chunk.toString());
    child.stdout.on("data", show);
    child.stderr.on("data", show);
    child.on("error", fail);
    child.on("close", (code) => done(code ?? 1));
  });
}
