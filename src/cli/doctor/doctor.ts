import type { Command } from "commander";
import { colour } from "../colour.ts";
import { EXIT, globals, note, print, printJson } from "../globals.ts";
import type { Finding } from "./check.ts";

/** Less than the second that a person waits without a sign of life. */
const SIGN_OF_LIFE_MS = 900;

/**
 * `proof402 doctor`: one line a check, with what to do. Exits 1 if something would stop a purchase. Signs, spends and
 * changes nothing.
 */
export async function doctor(_options: unknown, command: Command): Promise<number> {
  const { json = false, config } = globals(command);
  const findings = await tellFindings(config, json ? () => undefined : print);
  if (json) printJson(findings);
  else print(summaryOf(findings));
  return findings.some(({ status }) => status === "problem") ? EXIT.failed : EXIT.ok;
}

/** Examines a configuration and tells each line as it comes. */
export async function tellFindings(
  config: string | undefined,
  tell: (line: string) => void,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Finding[]> {
  note("Looks at configuration, wallet, chains and sellers. Signs, spends and changes nothing.");
  let open: readonly string[] = [];
  const alive = setInterval(() => note(`Waiting for: ${open.join(", ") || "the configuration"}`), SIGN_OF_LIFE_MS);
  const findings: Finding[] = [];
  try {
    const { examine } = await import("./examination.ts");
    await examine(config, {
      found(finding) {
        findings.push(finding);
        if (finding.status !== "skipped") tell(lineOf(finding));
      },
      waiting: (names) => (open = names),
      env,
    });
  } finally {
    clearInterval(alive);
  }
  return findings;
}

const MARKS = {
  ok: colour.green("ok     "),
  warning: colour.yellow("warning"),
  problem: colour.red("PROBLEM"),
} as const;

const lineOf = ({ check, subject, status, says, next }: Finding): string =>
  `${status === "skipped" ? "" : MARKS[status]} ${check}${subject === "" ? "" : ` ${subject}`}: ${says}${next === undefined ? "" : ` ${next}`}`;

/** Says in one line whether purchases can be made. */
export function summaryOf(findings: readonly Finding[]): string {
  const count = (wanted: Finding["status"]): number => findings.filter(({ status }) => status === wanted).length;
  const unseen = [...new Set(findings.filter(({ status }) => status === "skipped").map(({ check }) => check))];
  const left = unseen.length === 0 ? "" : ` Not looked at: ${unseen.join(", ")}.`;
  const [problems, warnings] = [count("problem"), count("warning")];
  if (problems > 0) return `Purchases are stopped by ${problems} of these lines.${left}`;
  return `${warnings === 0 ? "All is well." : `Purchases can be made; ${warnings} warnings.`}${left}`;
}
