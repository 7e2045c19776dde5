import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { serializeReport, type Receipt, type Report } from "proof402";
import { DROPPING, ROUTING } from "./routing.ts";

const cli = join(dirname(createRequire(import.meta.url).resolve("proof402/package.json")), "dist/src/cli/main.js");

/** The report is made and verified by other processes. Those that verify have its file, the trust file and the head alone. */
export async function reportOn(
  config: string,
  folder: string,
  head: string,
  say: (line: string) => void,
): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const period = ["--from", "2020-01-01", "--to", "2100-01-01"];
  const made = ["--config", config, "decisions", "report", ...period, "--purpose"];
  await Promise.all([
    proof402([...made, ROUTING, "--out", at("routing.json"), "--html", at("routing.html")]),
    proof402([...made, DROPPING, "--out", at("dropped.json")]),
    proof402(["--config", config, "trust", "export", "--reported-suffices", at("auditor.json")]),
  ]);
  const report = JSON.parse(await readFile(at("routing.json"), "utf8")) as Report;
  say("From shipment to receipt to evidence, by routing.json alone:");
  for (const line of traceOf(report)) say(`  ${line}`);

  // Another route than the one that was decided, and another answer than the one that was bought.
  const rerouted = structuredClone(report);
  for (const decision of rerouted.decisions.filter(({ subject }) => subject.startsWith("S-102")))
    decision.action = { ...(decision.action as object), book: "air" };
  await writeFile(at("rerouted.json"), serializeReport(rerouted));
  const answered = structuredClone(report);
  for (const { core } of (answered.receipts as Receipt[]).slice(-1)) core.response.sha256 = "0".repeat(64);
  await writeFile(at("answered.json"), serializeReport(answered));

  const files = ["routing.json", "dropped.json", "rerouted.json", "answered.json"];
  const judged = await Promise.all(
    files.map((name) => proof402(["verify", at(name), "--trust", at("auditor.json"), "--head", head])),
  );
  for (const [index, printed] of judged.entries()) {
    say(`${files[index]}: ${(printed.split("\n")[1] ?? "").replace(/:.*/, "")}`);
    const [problem] = printed.match(/^Problem: .*$/m) ?? [];
    if (problem !== undefined) say(`  ${problem.replaceAll(/(dec|p402)_\w+/g, "$1_...")}`);
  }
}

/** Each booking with the receipt it stands on: who sold it, for what, and what shows it. */
function traceOf({ decisions, receipts }: Report): string[] {
  return decisions.map(({ subject, action, outcome }) => {
    const { on } = action as { on?: string };
    const found = (receipts as Receipt[]).find(({ id }) => id === on);
    if (found === undefined) return `${subject}: ${outcome.split("\n")[0]}`;
    const { seller, payment, evidence } = found.core;
    const kinds = [...new Set(evidence.map(({ kind }) => kind))].join(", ");
    const again = found.later.some((one) => one.evidence.kind === "replay.onnx") ? ", computed again" : "";
    return `${subject}: ${outcome.split("\n")[0]} on p402_..., ${seller.id}, ${payment.amount} base units, ${kinds}${again}`;
  });
}

/** A command in a process of its own, with nothing of this one's environment. `verify` ends with the verdict. */
function proof402(args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [cli, ...args], { env: { NO_COLOR: "1" } }, (error, stdout, stderr) => {
      if (error !== null && args[0] !== "verify") reject(new Error(stderr));
      else resolve(stdout);
    });
  });
}
