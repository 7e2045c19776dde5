import type { Command } from "commander";
import type { ErrorCode } from "../errors.ts";
import { makeRoom } from "./progress.ts";

/** Options of every command. */
export type GlobalOptions = { config?: string; json?: boolean };

/** What the process ends with; `--help` shows the same table. */
export const EXIT = { ok: 0, failed: 1, open: 2, usage: 64, interrupted: 130 } as const;

/** What each exit code means, for people. */
export const EXIT_MEANINGS: readonly (readonly [number, string])[] = [
  [EXIT.ok, "done. verify: the verdict is verified. buy: verified, or pending if --wait verified was not given"],
  [EXIT.failed, "failed. verify, buy: the verdict is failed. Any command: it could not do its work"],
  [
    EXIT.open,
    "open. verify: the verdict is pending or unverified. buy: unverified, as every purchase with --assurance none is,\nor still pending after --wait verified",
  ],
  [EXIT.usage, "the command line, the configuration or a file could not be used"],
  [EXIT.interrupted, "interrupted"],
];

/** Codes of errors that mean the input could not be used, not that the work failed. */
export const UNREADABLE: ReadonlySet<ErrorCode> = new Set([
  "usage",
  "invalid_input",
  "file_unreadable",
  "file_exists",
  "file_changed",
  "model_unreadable",
  "config_not_found",
  "config_invalid",
  "config_unreadable",
  "config_permissions",
  "config_exists",
  "guard_config",
  "seller_exists",
  "receipt_ambiguous",
  "receipt_unreadable",
  "receipt_too_large",
  "receipt_not_utf8",
  "receipt_not_json",
  "receipt_malformed",
  "receipt_version",
  "receipt_id_mismatch",
  "receipt_body_mismatch",
  "receipt_digest_mismatch",
  "receipt_crowded",
  "receipt_exists",
  "receipt_full",
  "receipt_imported",
  "decision_ambiguous",
  "report_malformed",
  "report_version",
  "report_too_large",
]);

/** The exit code for an error's code. */
export const exitOf = (code: ErrorCode): number =>
  code === "aborted" ? EXIT.interrupted : UNREADABLE.has(code) ? EXIT.usage : EXIT.failed;

/** The options given before and after the command's name. */
export const globals = (command: Command): GlobalOptions => command.optsWithGlobals<GlobalOptions>();

/** Data for machines on stdout: one JSON document. */
export const printJson = (data: unknown): void => print(JSON.stringify(data, null, 2));
/** A command's result on stdout: its data, and what one would do now in the words of commands. */
export const printResult = (data: Readonly<Record<string, unknown>>, next: string): void =>
  printJson({ ...data, next });
/** What a person asked to see, on stdout. */
export function print(text: string): void {
  makeRoom();
  process.stdout.write(`${text}\n`);
}
/** Progress and errors, on stderr. */
export function note(text: string): void {
  makeRoom();
  process.stderr.write(`${text}\n`);
}
