import { spawn } from "node:child_process";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { DemoReport } from "./demo-report.ts";

/** Runs `proof402 verify` in a process of its own and shows what it prints. Resolves to its exit code. */
export function verifyInFreshProcess(options: {
  receipt: string;
  config: string;
  report: DemoReport;
}): Promise<number> {
  const main = fileURLToPath(new URL("./main.js", import.meta.url));
  options.report.line(`$ proof402 verify ${basename(options.receipt)}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, "--config", options.config, "verify", options.receipt], {
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
