import type { Command } from "commander";

/** Options of every command. */
export type GlobalOptions = { config?: string; json?: boolean };

/** What the process ends with. */
export const EXIT = { ok: 0, failed: 1, open: 2, usage: 64 } as const;

/** The options given before and after the command's name. */
export const globals = (command: Command): GlobalOptions => command.optsWithGlobals<GlobalOptions>();

/** Data for machines on stdout: one JSON document. */
export const printJson = (data: unknown): void => void process.stdout.write(`${JSON.stringify(data, null, 2)}\n`);
/** What a person asked to see, on stdout. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
/** Progress and errors, on stderr. */
export const note = (text: string): void => void process.stderr.write(`${text}\n`);
