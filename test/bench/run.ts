import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { benchBackground } from "./background.ts";
import { benchChats } from "./chats.ts";
import { benchThroughput } from "./throughput.ts";
import { benchMcp } from "./mcp.ts";
import { textOf, type Line } from "./measure.ts";
import { benchManyReceipts } from "./many-receipts.ts";
import { benchPages } from "./pages.ts";
import { benchProofs } from "./proofs.ts";
import { benchPurchases } from "./purchases.ts";
import { benchPythonJson } from "./python-json.ts";
import { benchScale, benchScaleOnPostgres } from "./scale.ts";
import { benchGuard } from "./guard.ts";
import { benchVerifying } from "./verify.ts";
import { benchVerifyPage } from "./verify-page.ts";

/** What is measured, by the name that `npm run bench -- NAME` takes. */
const SECTIONS: Readonly<
  Record<string, { title: string; measure: (rounds: number) => Promise<Line[]>; apart?: true }>
> = {
  purchases: { title: "Purchases (sellers, facilitator and chain in another process)", measure: benchPurchases },
  verify: { title: "Offline verification", measure: benchVerifying },
  scale: { title: "A database with many receipts", measure: benchScale },
  "scale-postgres": { title: "The same on PostgreSQL (named only)", measure: benchScaleOnPostgres, apart: true },
  chats: { title: "Chats (sellers in this process)", measure: benchChats },
  mcp: { title: "MCP", measure: benchMcp },
  proofs: { title: "Zero-knowledge proofs (Groth16 over BN254)", measure: benchProofs },
  background: {
    title: "Proving in the background (sellers and prover in other processes)",
    measure: benchBackground,
  },
  "python-json": { title: "Python's JSON form of a chat request of 1 MB", measure: benchPythonJson },
  guard: { title: "Guarded actions", measure: benchGuard },
  "verify-page": { title: "verify.html in Chromium (once)", measure: benchVerifyPage },
  pages: { title: "The owner's pages (Chromium)", measure: benchPages },
  receipts: { title: "The owner's pages over many receipts", measure: benchManyReceipts },
  throughput: { title: "Purchases at once, by voucher (sellers in another process)", measure: benchThroughput },
};

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string" }, json: { type: "string" } },
  allowPositionals: true,
});
const rounds = Number(values.rounds ?? process.env["PROOF402_BENCH_ROUNDS"] ?? 50);
const unknown = positionals.find((name) => SECTIONS[name] === undefined);
if (!Number.isSafeInteger(rounds) || rounds < 1 || unknown !== undefined) {
  process.stderr.write(
    `Usage: npm run bench -- [--rounds N] [--json FILE] [${Object.keys(SECTIONS).join(" | ")}]...\n`,
  );
  process.exit(64);
}
const print = (lines: readonly Line[]): void => void process.stdout.write(`${lines.map(textOf).join("\n")}\n`);

const machine = `Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown CPU"}`;
print([`Medians of ${rounds} interleaved rounds, ${machine}`]);
const measured: Record<string, Line[]> = {};
for (const [name, { title, measure, apart = false }] of Object.entries(SECTIONS)) {
  if (positionals.length > 0 ? !positionals.includes(name) : apart) continue;
  print(["", title]);
  const lines = await measure(rounds);
  print(lines);
  measured[name] = lines.filter((line) => typeof line !== "string");
}
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ rounds, machine, sections: measured })}\n`);
// snarkjs keeps its threads for ever.
process.exit(0);
