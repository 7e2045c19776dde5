import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { serveMcpHttp } from "../../../mcp-server/http/serve.ts";
import { openBuyer } from "../../../src/buyer/open.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { startDevnet, writeDevnet } from "../../../src/devnet/index.ts";
import { clientNamed } from "../../support/mcp-http.ts";

// The flows of MCP's Inspector on the command line, over both transports. Its exit codes: 0 well, 3 no authorization, 5 a
// tool's error.

const INSPECTOR = ["node@22", "@modelcontextprotocol/inspector@2.12.0"];
const CLI = join(import.meta.dirname, "../../../src/cli/main.js");
const RECEIPT = "ui://proof402/receipt";

const devnet = await startDevnet({});
const folder = await mkdtemp(join(tmpdir(), "proof402-inspector-"));
const { config } = await writeDevnet(devnet, folder);
const served = await serveMcpHttp(
  async () => openBuyer({ config: await loadConfig({ path: config }), wallet: devnet.wallet }),
  { clients: [clientNamed("desk")] },
);
const http = ["--server-url", served.url, "--transport", "http"];
const over = {
  stdio: [process.execPath, CLI, "mcp", "-e", `PROOF402_CONFIG=${config}`],
  http: [...http, "--header", "Authorization: Bearer token-of-desk"],
};

// Installed once, with the Node that it needs: npx would resolve both anew for each flow.
const tools = join(folder, "inspector");
await mkdir(tools);
await writeFile(join(tools, "package.json"), "{}");
await promisify(execFile)("npm", ["install", "--silent", "--no-save", "--prefer-offline", ...INSPECTOR], {
  cwd: tools,
});
const bin = join(tools, "node_modules", ".bin");

type Said = { code: number | null; stdout: string; stderr: string };
async function inspect(...args: readonly string[]): Promise<Said> {
  const child = spawn(join(bin, "mcp-inspector"), ["--cli", ...args], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", PATH: `${bin}:${process.env["PATH"]}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said.stderr += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...said };
}

/** A flow's name, what it is called with, and what has to be so of its end. */
type Flow = [name: string, args: readonly string[], holds: (said: Said) => boolean];

const well =
  (...words: readonly string[]) =>
  ({ code, stdout }: Said): boolean =>
    code === 0 && words.every((word) => stdout.includes(word));
/** No tool's schema is one that a provider of models may refuse. */
const portable = (said: Said): boolean => well("buy_inference", "spending")(said) && !/Warning|Error/.test(said.stderr);

const tool = (name: string, args: object) => [
  "--method",
  "tools/call",
  "--tool-name",
  name,
  "--tool-args-json",
  JSON.stringify(args),
];
const strict = ["--method", "tools/list", "--strict", "--format", "json"];
const flows: Flow[] = [
  ["stdio tools/list --strict", [...over.stdio, ...strict], portable],
  ["stdio prompts/list", [...over.stdio, "--method", "prompts/list"], well("judge", "explain_receipt")],
  ["stdio an unknown receipt", [...over.stdio, ...tool("get_receipt", { id: "p402_none" })], ({ code }) => code === 5],
  ["http tools/list --strict", [...over.http, ...strict], portable],
  ["http resources/list", [...over.http, "--method", "resources/list"], well(RECEIPT)],
  ["http spending", [...over.http, ...tool("spending", {})], well("callsPerHour")],
  ["http the card", [...over.http, "--method", "tools/list", "--app-info"], well(RECEIPT, "text/html;profile=mcp-app")],
  ["http without a token", [...http, "--stored-auth-only", "--method", "tools/list"], ({ code }) => code === 3],
];

let failed = 0;
for (const [name, args, holds] of flows) {
  const said = await inspect(...args);
  const isWell = holds(said);
  if (!isWell) failed += 1;
  process.stdout.write(`${isWell ? "ok" : "FAILED"}  ${name}\n`);
  if (!isWell)
    process.stdout.write(`exit ${said.code}\n${said.stdout.slice(0, 2000)}\n${said.stderr.slice(0, 2000)}\n`);
}
await served.stop();
await devnet.stop();
await rm(folder, { recursive: true, force: true });
process.stdout.write(`MCP Inspector: ${flows.length - failed} flows passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
