import * as z from "zod";
import { Proof402Error } from "../../errors.ts";
import type { Surroundings } from "./surroundings.ts";

/** One line of `proof402 doctor`. `--json` prints an array of these; fields are only ever added. */
export const findingSchema = z.strictObject({
  /** Name of the check, as in the table of checks. */
  check: z.string(),
  /** The thing looked at: a file, a network, an asset, a seller. Empty where a check has one subject only. */
  subject: z.string(),
  /** `problem` stops purchases. */
  status: z.enum(["ok", "warning", "problem", "skipped"]),
  says: z.string(),
  next: z.string().optional(),
});
export type Finding = z.infer<typeof findingSchema>;

/** A finding whose check is known from the table. */
export type Found = Omit<Finding, "check">;

/** A row of the table of checks. */
export type Check = {
  name: string;
  /** Changes nothing anywhere. What it throws becomes a finding. */
  look(around: Surroundings): Promise<Found[]>;
};

/** A finding where something is well. */
export const well = (subject: string, says: string): Found => ({ subject, status: "ok", says });
/** A finding that stops no purchase. */
export const warning = (subject: string, says: string, next: string): Found => ({
  subject,
  status: "warning",
  says,
  next,
});
/** A finding that stops purchases. */
export const problem = (subject: string, says: string, next: string): Found => ({
  subject,
  status: "problem",
  says,
  next,
});
export const skipped = (subject: string, says: string): Found => ({ subject, status: "skipped", says });

/** An error as a finding, on one line. Texts of strangers' errors are left out. */
export function failure(subject: string, error: unknown, status: "problem" | "warning" = "problem"): Found {
  if (!Proof402Error.isInstance(error)) {
    const kind = error instanceof Error ? error.name : "error";
    return { subject, status, says: `An unexpected ${kind} ended this check.`, next: "Run proof402 doctor again." };
  }
  return { subject, status, says: inOneLine(error.message), next: inOneLine(error.next) };
}

const inOneLine = (text: string): string => text.replaceAll(/\s*\n\s*/g, " ");

/** A work's finding, or its error's. */
export const attempt = (subject: string, work: () => Promise<Found>): Promise<Found> =>
  work().catch((error: unknown) => failure(subject, error));
