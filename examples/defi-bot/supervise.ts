import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/** Hears each line, and may kill the bot: it has to survive that. */
export type Say = (line: string, bot?: { kill(): void }) => void;

/** First and longest pause before a start after an end that was not wanted, ms. A run of a minute resets it. */
const FIRST_MS = 250;
const LONGEST_MS = 60_000;

/**
 * Starts a script of Node.js again and again until it ends by itself with code 0, or `signal` ends it. In production systemd
 * does the same: `Restart=on-failure`. Resolves with the last code.
 */
export async function supervise(
  args: readonly string[],
  { signal, say, env = process.env }: { signal: AbortSignal; say: Say; env?: NodeJS.ProcessEnv },
): Promise<number> {
  for (let pause = FIRST_MS; ; pause = Math.min(pause * 2, LONGEST_MS)) {
    const began = Date.now();
    const code = await runOnce(args, { signal, say, env });
    if (code === 0 || signal.aborted) return code ?? 0;
    if (Date.now() - began > LONGEST_MS) pause = FIRST_MS;
    say(`supervisor: the bot ended (${code ?? "killed"}), it is started again`);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
  }
}

/** Null for an end by a signal. */
function runOnce(
  args: readonly string[],
  { signal, say, env }: { signal: AbortSignal; say: Say; env: NodeJS.ProcessEnv },
): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    const end = (): void => void child.kill("SIGTERM");
    signal.addEventListener("abort", end, { once: true });
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) say(line, { kill: () => void child.kill("SIGKILL") });
    });
    child.once("error", reject);
    child.once("close", (code) => {
      signal.removeEventListener("abort", end);
      resolve(code);
    });
  });
}
