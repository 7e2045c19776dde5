import { cpus } from "node:os";
import { benchBackground } from "./background.ts";
import { benchMcp } from "./mcp.ts";
import { benchProofs } from "./proofs.ts";
import { benchPurchases } from "./purchases.ts";
import { benchPythonJson } from "./python-json.ts";

const rounds = Number(process.env["PROOF402_BENCH_ROUNDS"] ?? 50);
const print = (lines: readonly string[]): void => void process.stdout.write(`${lines.join("\n")}\n`);

print([
  `Medians of ${rounds} interleaved rounds, Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown CPU"}`,
  "",
  "Purchases (sellers, facilitator and chain in another process)",
]);
print(await benchPurchases(rounds));
print(["", "MCP"]);
print(await benchMcp(Math.min(rounds, 50)));
print(["", "Zero-knowledge proofs (Groth16 over BN254)"]);
print(await benchProofs(rounds));
print(["", "Proving in the background (sellers and prover in other processes)"]);
print(await benchBackground(rounds));
print(["", "Python's JSON form of a chat request of 1 MB"]);
print(await benchPythonJson(rounds));
