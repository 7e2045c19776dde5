import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

const FEATURES = 8;

/** `row` is the sha256 of the whole row: account and features are decided on, too. */
export type Line = {
  line: string;
  employee: string;
  gross: string;
  account: string;
  features: number[];
  row: string;
};

/** Cells without commas and quotes, as this run's export has them. Anything else is refused, so no column can shift. */
export async function readLines(file: string): Promise<Line[]> {
  const [, ...rows] = (await readFile(file, "utf8")).trim().split("\n");
  const lines = rows.map((row, at) => {
    const [line = "", employee = "", gross = "", account = "", ...cells] = row.split(",");
    const isWhole =
      /^[1-9]\d*$/.test(line) && /^\d+\.\d\d$/.test(gross) && employee.trim() !== "" && account.trim() !== "";
    // An empty cell is no zero.
    if (!isWhole || cells.length !== FEATURES || !cells.every((cell) => /^-?\d+(\.\d+)?$/.test(cell)))
      throw new Error(`${file}: row ${at + 1} is not as it must be`);
    const digest = createHash("sha256").update(row).digest("hex");
    return { line, employee, gross, account, features: cells.map(Number), row: digest };
  });
  if (new Set(lines.map(({ line }) => line)).size !== lines.length) throw new Error(`${file}: a line is there twice`);
  return lines;
}

export const subjectOf = ({ line, employee, gross }: Line): string => `line ${line}: ${employee}, ${gross}`;

/** Whole cents: money is never a floating-point number here. */
export const centsOf = ({ gross }: Line): bigint => BigInt(gross.replace(".", ""));
