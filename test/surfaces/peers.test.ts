import { spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PEERS } from "../../src/peers.ts";
import { ROOT } from "../house/sources.ts";

type Manifest = { dependencies: Record<string, string>; devDependencies: Record<string, string> };
type Said = { error: { code: string; message: string; next: string } };

let project: string;
let manifest: Manifest;

/** A buyer's install: the package as built, and its dependencies without any optional peer. */
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "proof402-peers-"));
  const installed = join(project, "node_modules", "proof402");
  manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as Manifest;
  await cp(join(ROOT, "package.json"), join(installed, "package.json"));
  await cp(join(ROOT, "dist/src"), join(installed, "dist/src"), { recursive: true });
  await Promise.all(Object.keys(manifest.dependencies).map(link));
});
afterAll(() => rm(project, { recursive: true, force: true }));

async function link(name: string): Promise<void> {
  const path = join(project, "node_modules", name);
  await mkdir(dirname(path), { recursive: true });
  await symlink(join(ROOT, "node_modules", name), path);
}

function run(...args: string[]): { code: number | null; said: Said } {
  const main = join(project, "node_modules/proof402/dist/src/cli/main.js");
  const { status, stdout } = spawnSync(process.execPath, [main, "--json", ...args], { cwd: project, encoding: "utf8" });
  return { code: status, said: JSON.parse(stdout) as Said };
}

const named = (next: string): string[] => [...next.matchAll(/(?<= )@?[\w/-]+@\d[\w.]*\d/g)].map(([name]) => name);
const tested = (names: readonly string[]): string[] =>
  names.map((name) => `${name}@${manifest.devDependencies[name]}`).toSorted();

test.each([
  [["demo"], PEERS.demo],
  [["devnet", "--dir", "market"], PEERS.devnet],
  [["node", "zk", "compile", "model.onnx", "--out", "proving"], PEERS.compile],
])("%j names every package that it misses, in one line, before it starts anything", async (command, needed) => {
  const { code, said } = run(...command);
  expect(code).toBe(1);
  expect(said.error.code).toBe("peers_missing");
  expect(said.error.next).toMatch(/^Run npm install /);
  expect(named(said.error.next)).toEqual(tested(needed));
  expect(await readdir(project)).toEqual(["node_modules"]);
});

test("a node's configuration adds what its metrics and limits need, named before it starts", async () => {
  const [, json = "{}"] = /```json\n(.*?)```/s.exec(await readFile(join(ROOT, "docs/selling.md"), "utf8")) ?? [];
  const path = join(project, "node_modules", "node.config.json");
  await writeFile(path, json);
  const { said } = run("node", "serve", path);
  expect(said.error.code).toBe("peers_missing");
  expect(named(said.error.next)).toEqual(tested([...PEERS.prove, ...PEERS.metrics, ...PEERS.limits]));
});

test("what is installed is not named again, an ES module that exports no package.json included", async () => {
  const there = ["hono", "@x402/core", "langchain"];
  await Promise.all(there.map(link));
  const { said } = run("demo");
  expect(named(said.error.next)).toEqual(tested(PEERS.demo.filter((name) => !there.includes(name))));
});
