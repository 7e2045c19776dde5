import { spawn } from "node:child_process";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { DemoReport } from "./report.ts";

/**
 * Runs `proof402 verify` in a process of its own, given the two files only. Shows the command, which works again when
 * copied, and its output. Resolves to its exit code.
 */
export function verifyInFreshProcess(options: { receipt: string; trust: string; report: DemoReport }): Promise<number> {
  const args = [
    relative(process.cwd(), fileURLToPath(new URL("../main.js", import.meta.url))),
    "verify",
    relative(process.cwd(), options.receipt),
    "--trust",
    relative(process.cwd(), options.trust),
  ];
  options.report.line(`$ node ${args.join(" ")}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PROOF402_PRIVATE_KEY: "" },
    });
    const show = (chunk: Buffer): void => options.report.quote(chunk.toString());
    child.stdout.on("data", show);
    child.stderr.on("data", show);
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}
