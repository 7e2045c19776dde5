import { spawn } from "node:child_process";
import { join } from "node:path";

/** The built command line as one file, which the run's setup makes: `npm test` builds first. */
export const CLI = join(process.env["PROOF402_TEST_RUN"] ?? "", "main.mjs");

/** Runs the built CLI, or another installation's `main`, in a process of its own. */
export function runCli(
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; stdin?: string; main?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [options.main ?? CLI, ...args], {
      cwd: options.cwd,
      env: { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1", ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
    child.stdin.end(options.stdin ?? "");
  });
}
