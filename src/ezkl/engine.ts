import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { toBase64 } from "../evidence/bytes.ts";
import type { EzklCheck, EzklEngine, EzklOutcome } from "../verify/types.ts";

/** What the process is told: the check, each file in base64, and whose it is, so that it ends when that process does. */
export type EngineOrder = Record<keyof EzklCheck, string> & { parent: number };

/** Far above what the largest circuits' proofs take; a circuit of 64 rows takes a third of a second. */
const MILLISECONDS = 60_000;
/** More than the one word that is expected. */
const MAX_ANSWER_BYTES = 64;
const ANSWERS: readonly EzklOutcome[] = ["verified", "refused", "unreadable", "missing"];

/** The built file, also where the sources themselves are run: only that can be started as a process. */
const ENTRY = (): string => {
  const here = import.meta.url;
  return fileURLToPath(
    here.endsWith(".ts") ? new URL("../../dist/src/ezkl/engine-child.js", here) : new URL("engine-child.js", here),
  );
};

/**
 * EZKL's engine, each check in a process of its own: WebAssembly of another's making that panics on malformed keys and
 * cannot be stopped from within. The process gets nothing of this one's environment, and is killed after so many
 * `milliseconds`; until then it keeps a command from ending that waits for it. Loads nothing itself, and never throws.
 */
export const createEzklEngine =
  ({ milliseconds = MILLISECONDS, entry = ENTRY() }: { milliseconds?: number; entry?: string } = {}): EzklEngine =>
  async ({ proof, key, settings, srs }) => {
    const order: EngineOrder = {
      proof: toBase64(proof),
      key: toBase64(key),
      settings: toBase64(settings),
      srs: toBase64(srs),
      parent: process.pid,
    };
    // Keys may stand in the environment. What a panic prints is nobody's: stdout may be a protocol here.
    const child = spawn(process.execPath, [entry], { env: {}, stdio: ["pipe", "pipe", "ignore"], windowsHide: true });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, milliseconds).unref();
    let answer = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      answer += text;
      if (answer.length > MAX_ANSWER_BYTES) child.kill("SIGKILL");
    });
    // A process that ends before it has read its order says so by ending.
    child.stdin.on("error", () => undefined);
    child.stdin.end(JSON.stringify(order));
    await new Promise<void>((done) => {
      child.once("close", () => done());
      child.once("error", () => done());
    });
    clearTimeout(timer);
    if (late) return "timeout";
    return (child.exitCode === 0 ? ANSWERS.find((one) => one === answer) : undefined) ?? "crashed";
  };
