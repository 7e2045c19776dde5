import type { Command } from "commander";

/** Options of every command. */
export type GlobalOptions = { config?: string; json?: boolean };

/** What the process ends with; `--help` shows the same table. */
export const EXIT = { ok: 0, failed: 1, open: 2, usage: 64, interrupted: 130 } as const;

/** Codes of errors that mean the input could not be used, not that the work failed. */
const UNREADABLE =
  /^(?:usage|invalid_input|(?:file|model)_unreadable|file_exists|receipt_(?!not_found|store_damaged)|config_)/;

/** The exit code for an error's code. */
export const exitOf = (code: string): number => (UNREADABLE.test(code) ? EXIT.usage : EXIT.failed);

/** The options given before and after the command's name. */
export const globals = (command: Command): GlobalOptions => command.optsWithGlobals<GlobalOptions>();

/** Data for machines on stdout: one JSON document. */
export const printJson = (data: unknown): void => void process.stdout.write(`${JSON.stringify(data, null, 2)}\n`);
/** What a person asked to see, on stdout. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
/** Progress and errors, on stderr. */
export const note = (text: string): void => void process.stderr.write(`${text}\n`);
