import { colour as pc } from "../colour.ts";
import type { Appraisal } from "../../receipts/schema.ts";
import { layerTable } from "../layer-table.ts";

/** Prints the demo as it goes: people read stdout, or one JSON line at the end with `--json`. */
export type DemoReport = {
  heading(text: string): void;
  line(text: string): void;
  /** Progress so far: on a terminal each line takes the place of the one before. */
  tick(text: string): void;
  /** Output of another process. */
  quote(text: string): void;
  layers(appraisal: Appraisal): void;
  finish(summary: Record<string, unknown> & { ok: boolean }): void;
};

/** With `json`, progress goes to stderr and stdout carries one line. */
export function createDemoReport(options: { json: boolean }): DemoReport {
  const out = options.json ? process.stderr : process.stdout;
  const print = (text: string): void => void out.write(`${text}\n`);
  return {
    heading: (text) => print(`\n${pc.bold(text)}`),
    line: (text) => print(`  ${text}`),
    tick(text) {
      if (out.isTTY) out.write(`\r\u001b[2K  ${text}`);
    },
    quote: (text) => print(text.trimEnd().replace(/^/gm, `  ${pc.dim("|")} `)),
    layers: (appraisal) => print(layerTable(appraisal).replace(/^/gm, "  ")),
    finish(summary) {
      const { ok } = summary;
      print(
        `\n${ok ? pc.green("The demo did all it set out to do.") : pc.red("The demo did NOT do all it set out to do.")}`,
      );
      if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, receipt: undefined })}\n`);
    },
  };
}
