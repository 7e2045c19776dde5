import { appendFileSync } from "node:fs";

declare global {
  /** The number of the mutant that is on ({@link instrumented}). */
  var mutant: number | undefined;
  /** The mutants whose places the program came by. */
  var passed: Set<number> | undefined;
}

/**
 * What is known of a trial: its tests hold without a mutant, a mutant is tried next, tests noticed it, or left the process in
 * a state in which they hold no more.
 */
export type Note = "ready" | `${number} ${"begun" | "killed" | "spoiled"}`;

/** Tells the process that watches over a trial, at once: the trial may hang or die with its next step. */
export const note = (what: Note): void =>
  appendFileSync(process.env["PROOF402_MUTANT_LOG"] ?? "/dev/null", `${what}\n`);
