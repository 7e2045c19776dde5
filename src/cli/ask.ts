import { createInterface } from "node:readline/promises";
import { asking } from "./progress.ts";

/** `interrupted` says that the person broke off with Ctrl-C. */
export type TerminalAnswer = "yes" | "no" | "interrupted";

/** Whether a person can be asked here. */
export const hasTerminal = (): boolean => process.stdin.isTTY && process.stderr.isTTY;

/** Asks a person on the terminal. The end of the input (Ctrl-D) is a no. `signal` ends the question unanswered. */
export const askAtTerminal = (question: string, signal?: AbortSignal): Promise<TerminalAnswer> =>
  asking(() => ask(question, signal));

async function ask(question: string, signal?: AbortSignal): Promise<TerminalAnswer> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const leave = new AbortController();
  let left: TerminalAnswer = "no";
  const interrupt = (): void => {
    left = "interrupted";
    leave.abort();
  };
  // While it reads, the terminal hands Ctrl-C to the reader, and no signal comes.
  terminal.once("SIGINT", interrupt);
  terminal.once("close", () => leave.abort());
  const signals = AbortSignal.any([leave.signal, ...(signal === undefined ? [] : [signal])]);
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal: signals });
    return answer.trim().toLowerCase() === "y" ? "yes" : "no";
  } catch (error) {
    if (!signals.aborted) throw error;
    // What is said next begins a line.
    process.stderr.write("\n");
    return leave.signal.aborted ? left : "interrupted";
  } finally {
    terminal.close();
  }
}
