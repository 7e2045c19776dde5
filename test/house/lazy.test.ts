import { execFile } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
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

async function loadedBy(target: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", PROBE, target], {
    cwd: ROOT,
    maxBuffer: 16 * 1024 * 1024,
  });
  return stdout.split("\n").filter((line) => line !== "");
}

const entry = (path: string): string => pathToFileURL(join(ROOT, "dist", path)).href;

const heavyOnes = (loaded: string[], names: string[]): string[] =>
  names.filter((name) => loaded.some((path) => path.replaceAll("\\", "/").includes(`/node_modules/${name}/`)));

describe("what an import costs", () => {
  const seller = ["onnxruntime-node", "@foundry-rs/anvil", "solc", "snarkjs", "ffjavascript"];

  it.each([
    ["src/index.js", Object.keys(HEAVY)],
    ["src/verify/index.js", [...Object.keys(HEAVY), "libsql", "hono", "undici", "@x402/core"]],
    ["mcp-server/index.js", Object.keys(HEAVY)],
    ["src/langchain/index.js", seller],
  ])("dist/%s loads nothing heavy", async (path, heavy) => {
    const loaded = await loadedBy(entry(path));
    expect(loaded).toContain(entry(path));
    expect(heavyOnes(loaded, heavy)).toEqual([]);
  });

  it("the probe sees ES modules, CommonJS and native code", async () => {
    const loaded = await loadedBy("onnxruntime-node");
    expect(heavyOnes(loaded, ["onnxruntime-node"])).toEqual(["onnxruntime-node"]);
    expect(loaded.some((path) => path.endsWith("onnxruntime_binding.node"))).toBe(true);
    const tools = await loadedBy("@langchain/core/tools");
    expect(heavyOnes(tools, ["@langchain/core"])).toEqual(["@langchain/core"]);
  });
});
