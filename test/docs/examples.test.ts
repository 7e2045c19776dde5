import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { runCli } from "../support/cli.ts";
import { readSources } from "../house/sources.ts";
import { openMarket, type Market } from "../support/devnet.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readmeOf = (name: string): Promise<string> => readFile(join(root, "examples", name, "README.md"), "utf8");

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

test("every example is run here, has a short README, and knows proof402 by its public names", async () => {
  const folders = await readdir(join(root, "examples"));
  expect(folders.toSorted()).toEqual(["langchain-guard"]);
  for (const name of folders) expect((await readmeOf(name)).trimEnd().split("\n").length).toBeLessThanOrEqual(30);
  const inside = readSources(["examples"]).flatMap(({ imports }) =>
    imports.filter(({ specifier }) => /^\.\.|^\.\/.*\//.test(specifier)),
  );
  expect(inside).toEqual([]);
});

test("langchain-guard: the guard lets one trade through, and that is the one that the answer justifies", async () => {
  await mustPrintAsItsReadmeSays("langchain-guard");
});

/** Installing and the market are what this file stands on. */
const DONE = /^(?:npm ci && npm run build|npm run proof402 -- devnet --dir market|export PROOF402_CONFIG=\S+)$/;

/** Runs the commands of an example's README, as printed. The last one prints what the README's text block says. */
async function mustPrintAsItsReadmeSays(name: string): Promise<void> {
  const readme = await readmeOf(name);
  const commands = blocks(readme, "sh").flatMap((block) => block.split("\n"));
  let printed = "";
  for (const command of commands.filter((line) => !DONE.test(line))) {
    const { code, output } = await runCommand(command);
    expect(code, `${command}\n${output}`).toBe(0);
    printed = output;
  }
  const [claimed = ""] = blocks(readme, "text");
  // Three dots stand for what differs from run to run.
  const pattern = claimed.split("...").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  expect(printed.trim()).toMatch(new RegExp(`^${pattern.join(".+")}$`));
}

const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)\\n\`\`\``, "gm"))].map(([, block = ""]) => block);

async function runCommand(command: string): Promise<{ code: number; output: string }> {
  const [program = "", ...args] = command.split(" ");
  if (program === "node" && args[0]?.startsWith("dist/examples/") === true) return run(args[0]);
  expect(command, "not a command that this file knows").toMatch(/^npm run proof402 -- /);
  const { code, stdout, stderr } = await runCli(args.slice(3), { env: environment(), cwd: market.directory });
  return { code, output: stdout + stderr };
}

const environment = (): Record<string, string> => ({ PATH: process.env["PATH"] ?? "", PROOF402_CONFIG: config });

/** Runs a built example. */
function run(file: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, file)], { cwd: market.directory, env: environment() });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, output }));
  });
}
