import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { ETH_FEATURES, openMarket } from "../support/devnet.ts";
import { HEAVY } from "./rooms.ts";
import { ROOT } from "./sources.ts";

// Runs in a process of its own. A module hook sees every ES module, require.cache every CommonJS one, and the
// process report every native library: what slips past one is seen by the next.
const HOOK = `
import { writeSync } from "node:fs";
export async function load(url, context, next) { writeSync(1, url + "\\n"); return next(url, context); }
`;
const PROBE = `
import { createRequire, register } from "node:module";
register("data:text/javascript," + encodeURIComponent(${JSON.stringify(HOOK)}));
await import(process.argv[1]);
for (const path of Object.keys(createRequire(process.cwd() + "/probe.js").cache)) console.log(path);
for (const path of process.report.getReport().sharedObjects) console.log(path);
`;

// The replay and the proof of each purchase are waited for.
const BUYS = `
import { openBuyer } from ${JSON.stringify(pathToFileURL(join(ROOT, "dist/src/index.js")).href)};
const buyer = await openBuyer();
for (const [seller, assurance] of [["honest", "attested"], ["prover", "proven"]]) {
  const { appraisal } = await buyer.buy("eth-risk", ${JSON.stringify(ETH_FEATURES)}, {
    seller, assurance, wait: "verified", idempotencyKey: crypto.randomUUID(),
  });
  console.log(\`\${seller}: \${appraisal.verdict}, \${appraisal.layers.computation.code}\`);
}
await buyer.close();
`;

async function loadedBy(target: string, env: Record<string, string> = {}): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", PROBE, target], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    maxBuffer: 16 * 1024 * 1024,
  });
  return stdout.split("\n").filter((line) => line !== "");
}

const entry = (path: string): string => pathToFileURL(join(ROOT, "dist", path)).href;

const heavyOnes = (loaded: string[], names: string[]): string[] =>
  names.filter((name) => loaded.some((path) => path.replaceAll("\\", "/").includes(`/node_modules/${name}/`)));

describe("what an import costs", () => {
  const seller = ["onnxruntime-node", "@foundry-rs/anvil", "solc", "snarkjs", "ffjavascript", "@ezkljs/engine", "viem"];

  it.each([
    ["src/index.js", Object.keys(HEAVY)],
    ["src/verify/index.js", [...Object.keys(HEAVY), "libsql", "hono", "undici", "@x402/core"]],
    [
      "mcp-server/index.js",
      [...Object.keys(HEAVY), "libsql", "kysely", "undici", "@peculiar/x509", "@peculiar/asn1-x509", "cborg"],
    ],
    ["src/langchain/index.js", [...seller, "ai", "@openai/agents", "langchain"]],
    ["src/ai/index.js", [...seller, "@openai/agents", "@langchain/core"]],
    ["src/openai-agents/index.js", [...seller, "ai", "@langchain/core"]],
  ])("dist/%s loads nothing heavy", async (path, heavy) => {
    const loaded = await loadedBy(entry(path));
    expect(loaded).toContain(entry(path));
    expect(heavyOnes(loaded, heavy)).toEqual([]);
  });

  it("a buyer loads no engine: not to buy, not to check a proof, and not to compute an answer again", async () => {
    const market = await openMarket({ proving: true });
    onTestFinished(() => market.stop());
    const { config } = await writeDevnet(market.devnet, market.directory);
    const configured = JSON.parse(await readFile(config, "utf8")) as ConfigInput;
    const models = { "eth-risk": join(ROOT, "models/eth-risk.onnx") };
    configured.verification = { ...configured.verification, replay: { models } };
    await writeFile(config, JSON.stringify(configured));
    const script = join(market.directory, "buys.mjs");
    await writeFile(script, BUYS);
    const loaded = await loadedBy(pathToFileURL(script).href, { PROOF402_CONFIG: config });
    expect(loaded).toContain("honest: verified, replay_matched");
    expect(loaded).toContain("prover: verified, development_proof");
    expect(heavyOnes(loaded, seller)).toEqual([]);
  });

  it("the probe sees ES modules, CommonJS and native code", async () => {
    const loaded = await loadedBy("onnxruntime-node");
    expect(heavyOnes(loaded, ["onnxruntime-node"])).toEqual(["onnxruntime-node"]);
    expect(loaded.some((path) => path.endsWith("onnxruntime_binding.node"))).toBe(true);
    const tools = await loadedBy("@langchain/core/tools");
    expect(heavyOnes(tools, ["@langchain/core"])).toEqual(["@langchain/core"]);
  });
});
