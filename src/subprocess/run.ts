import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { devNull } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The end of a process: with its words, or without a usable answer. */
export type ApartOutcome = { kind: "said"; text: string } | { kind: "timeout" | "too_long" | "crashed" };

/**
 * The built file beside `here`, also if the sources themselves are run: only a built one can be started as a process.
 * Modules in a bundle of CommonJS have no place: what is given then exists nowhere, so its process ends without an answer.
 */
export function builtFile(here: string | undefined, name: string): string {
  if (here === undefined) return join(devNull, name);
  const file = fileURLToPath(new URL(`${name}.js`, here));
  return here.endsWith(".ts") ? file.replace(/([/\\])src\1(?!.*\1src\1)/, "$1dist$1src$1") : file;
}

/**
 * Runs one order in a process of its own, which gets nothing of this one's environment, is killed after so many
 * `milliseconds` or bytes, and ends when this process does (`readOrder`). Never throws. `awaited` keeps the parent
 * alive until the child exits. Otherwise the child is unref'd.
 */
export async function runApart(
  file: string,
  order: object,
  { milliseconds, maxBytes, awaited }: { milliseconds: number; maxBytes: number; awaited: boolean },
): Promise<ApartOutcome> {
  // Keys may stand in the environment. Foreign code's output is dropped: stdout may be a protocol here.
  const child = spawn(process.execPath, [file], { env: {}, stdio: ["pipe", "pipe", "ignore"], windowsHide: true });
  if (!awaited) for (const part of [child, child.stdout as Socket, child.stdin as Socket]) part.unref();
  let ended: "timeout" | "too_long" | null = null;
  const end = (why: "timeout" | "too_long"): void => {
    ended ??= why;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(end, milliseconds, "timeout").unref();
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) end("too_long");
    else chunks.push(chunk);
  });
  // A process that ends before it has read its order says so by ending.
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify({ parent: process.pid, order }));
  await new Promise<void>((done) => {
    child.once("close", () => done());
    child.once("error", () => done());
  });
  clearTimeout(timer);
  if (ended !== null) return { kind: ended };
  return child.exitCode === 0 ? { kind: "said", text: Buffer.concat(chunks).toString("utf8") } : { kind: "crashed" };
}
