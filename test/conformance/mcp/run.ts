import { spawn } from "node:child_process";
import { once } from "node:events";
import { serveFactory } from "../../../mcp-server/http/serve.ts";
import { clientNamed } from "../../support/mcp-http.ts";
import { createFixtures } from "./fixtures.ts";

// MCP's own conformance suite against the HTTP stack that `proof402 mcp --http` serves with: its sessions, its checks of host,
// origin and token. The suite has no way to send a token, so a listener on this socket adds one.

const SUITE = [
  "-y",
  "-p",
  "node@22",
  "-p",
  "@modelcontextprotocol/conformance@0.2.0-alpha.12",
  "conformance",
  "server",
];
/** Each set has more scored scenarios. */
const LEAST = 25;
const REVISIONS = ["2025-11-25", "2026-07-28"];

const served = await serveFactory((_client, era) => createFixtures(era), { clients: [clientNamed("suite")] });
served.server.prependListener("request", ({ headers }) => {
  headers.authorization ??= "Bearer token-of-suite";
});
/** The scored scenarios of a report: its summary has a line of each, and names those that count for nothing after it. */
function countsIn(report: string): { passed: number; failed: number } {
  const [, summary = ""] = report.split("=== SUMMARY ===");
  const [scenarios = "", unscored = ""] = summary.split("Not scored");
  const free = new Set([...unscored.matchAll(/^ +[✓✗] (\S+) \(/gmu)].map(([, name = ""]) => name));
  const scored = [...scenarios.matchAll(/^([✓✗]) ([^\s:]+): \d+ passed, (\d+) failed/gmu)].filter(
    ([, , name = ""]) => !free.has(name),
  );
  const passing = scored.filter(([, mark, , failures]) => mark === "✓" && failures === "0");
  return { passed: passing.length, failed: scored.length - passing.length };
}

let [passed, failed] = [0, 0];
for (const revision of REVISIONS) {
  const child = spawn("npx", [...SUITE, "--url", served.url, "--requirements", revision], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NO_COLOR: "1", npm_config_loglevel: "error" },
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  process.stdout.write(said);
  const counted = countsIn(said);
  // A report that this cannot read counts as one failure.
  if (counted.passed + counted.failed < LEAST) failed += 1;
  passed += counted.passed;
  failed += counted.failed;
  // The suite's own verdict, beside what is counted of its report.
  if (code !== 0 && counted.failed === 0) failed += 1;
}
await served.stop();
process.stdout.write(`MCP conformance: ${passed} scenarios passed, ${failed} failed\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
