import { execSync, spawn } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readmeText, toolTable } from "../../scripts/write-readme.ts";
import { configSchema } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { sellerSchema } from "../../src/market/types.ts";
import { VERSION } from "../../src/version.ts";
import { CLI, runCli } from "../support/cli.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { serveNode } from "../support/node-process.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = await readFile(join(root, "README.md"), "utf8");
const pages = (await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md")).toSorted();
const docs = await Promise.all(pages.map((name) => readFile(join(root, "docs", name), "utf8")));
const everything = [readme, ...docs].join("\n");
const scripts = (JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> })
  .scripts;

/** The fenced blocks of a language, in order. */
const blocks = (language: string): string[] =>
  [...everything.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map((match) => match[1] ?? "");

/** Inside the package, so that `proof402` resolves to what was built, as it does for whoever installs it. */
const workbench = join(root, "dist", "readme");
let market: Market;
let config: string;
beforeAll(async () => {
  await mkdir(workbench, { recursive: true });
  // What the README calls a model of the reader's own.
  await cp(join(root, "models"), join(workbench, "models"), { recursive: true });
  market = await openMarket({ proving: true, chat: true, gateway: true });
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(async () => {
  await rm(workbench, { recursive: true, force: true });
  await market.stop();
});

describe("the README with its pages", () => {
  test("begins with what it is and the two commands, which exist", () => {
    expect(readme.split("\n").slice(0, 16).join("\n")).toMatch(/npm ci && npm run demo[\s\S]*npm ci && npm test/);
    for (const script of ["demo", "test", "bench", "conformance"]) expect(scripts[script]).toBeDefined();
  });

  test("fits on 150 lines, and names every page of docs", () => {
    expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(150);
    for (const name of pages) expect(readme).toContain(`docs/${name}`);
  });

  test("shows the tools as they are", () => {
    expect(everything, "stale: npm run generate:docs").toContain(toolTable());
  });

  test("shows the examples as they are, and how to install", async () => {
    expect(readme, "stale: npm run generate:docs").toBe(await readmeText(readme));
  });

  test("installs by its own line: linked, the command is on the path", () => {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      npm_config_prefix: join(market.directory, "npm"),
      npm_config_offline: "true",
    };
    const [link = ""] = /npm link$/m.exec(readme) ?? [];
    execSync(link, { cwd: root, env, stdio: "pipe" });
    const path = `${join(market.directory, "npm", "bin")}:${env["PATH"]}`;
    expect(execSync("proof402 --version", { env: { ...env, PATH: path }, encoding: "utf8" }).trim()).toBe(VERSION);
  });

  test("runs: every line of its command blocks", async () => {
    const env = { PROOF402_CONFIG: config };
    const lines = blocks("sh").flatMap((block) => block.split("\n").filter((line) => line.trim() !== ""));
    const ran: { line: string; problem: string | null }[] = [];
    for (const line of lines) {
      const words = line.match(/'[^']*'|\S+/g)?.map((word) => word.replace(/^'|'$/g, "")) ?? [];
      // The first two commands are what is running now; the market has a test of its own; installing is npm's.
      if (line.startsWith("npm ci") || line.startsWith("export PROOF402_CONFIG=") || line.includes("proof402 devnet"))
        continue;
      // A server serves until it is ended: test/surfaces/mcp-http.test.ts starts it.
      if (line.startsWith("proof402 mcp --http")) continue;
      ran.push({
        line,
        problem: words[0] === "proof402" ? await problemOf(answered(words.slice(1)), env) : clientProblem(words),
      });
    }
    expect(ran.filter(({ problem }) => problem !== null)).toEqual([]);
    expect(ran.length).toBeGreaterThanOrEqual(6);
  });

  test("configures clients whose server then lists the tools", async () => {
    const servers = blocks("json")
      .map((block) => JSON.parse(block) as { mcpServers?: Record<string, Entry>; servers?: Record<string, Entry> })
      .flatMap((file) => Object.values(file.mcpServers ?? file.servers ?? {}))
      // The guard before another server is run in test/surfaces/guard-proxy.test.ts.
      .filter(
        (entry): entry is Entry => "command" in entry && !("args" in entry && String(entry.args).startsWith("guard")),
      );
    expect(servers).toHaveLength(3);
    for (const { command, args } of servers) {
      expect(command).toBe("proof402");
      const client = new Client({ name: "readme", version: "1" });
      const env = { PATH: process.env["PATH"] ?? "", PROOF402_CONFIG: config };
      await client.connect(new StdioClientTransport({ command: process.execPath, args: [CLI, ...args], env }));
      expect((await client.listTools()).tools).toHaveLength(5);
      await client.close();
    }
  });

  test("shows a configuration that is valid", () => {
    const shown = blocks("json")
      .map((block) => JSON.parse(block) as unknown)
      .find((value) => typeof value === "object" && value !== null && "payment" in value);
    expect(configSchema.safeParse(shown).error).toBeUndefined();
  });

  test("shows a seller of chats by an entry that is valid", async () => {
    const page = await readFile(join(root, "docs", "chat.md"), "utf8");
    const [, shown = ""] = /^```json\n([\s\S]*?)^```/m.exec(page) ?? [];
    expect(sellerSchema.safeParse(JSON.parse(shown)).error).toBeUndefined();
  });

  test("shows code that runs", async () => {
    const snippets = blocks("ts");
    expect(snippets.length).toBeGreaterThanOrEqual(3);
    const files: string[] = [];
    for (const [index, snippet] of snippets.entries()) {
      // No model provider is reached from here: the agent gets LangChain's test model, everything else runs as shown.
      const source = snippet
        .replace('model: "anthropic:claude-sonnet-4-5"', "model: fakeModel().respond(new AIMessage('done'))")
        .replace("import { createAgent, tool }", "import { AIMessage, createAgent, fakeModel, tool }")
        .replace(
          'model: "anthropic/claude-sonnet-4.5"',
          'model: (await import("../test/support/ai-model.js")).scripted([])',
        )
        .replace('model: "gpt-5"', 'model: (await import("../test/support/agent-model.js")).scripted([])');
      const { code } = await transform(source, { loader: "ts", format: "esm", target: "es2023" });
      const file = `snippet-${index}.mjs`;
      await writeFile(join(workbench, file), code);
      files.push(file);
    }
    // One after the other in one process, which loads the package once and ends by itself once the last has ended.
    const { exit, output } = await run(
      `for (const file of ${JSON.stringify(files)}) { console.log(file); await import(\`./\${file}\`); console.log("\\nran", file); }`,
    );
    expect(exit, output).toBe(0);
    expect(output.match(/^ran .*$/gm), output).toEqual(files.map((file) => `ran ${file}`));
  });

  test("verifies with its own snippet: refused, and no more than the evidence says", async () => {
    const snippet = blocks("ts").find((block) => block.includes("verdictOf")) ?? "";
    const { code } = await transform(snippet, { loader: "ts", format: "esm" });
    const file = join(workbench, "verdict.mjs");
    await writeFile(file, code);
    const { verdictOf } = (await import(file)) as { verdictOf: (file: Uint8Array) => Promise<string> };
    expect(await verdictOf(new TextEncoder().encode("{}"))).toBe("refused: receipt_malformed");
  });
});

/** A client's own file is a person's, and so is the answer to a question. */
const answered = (args: string[]): string[] =>
  args[0] === "install" ? [...args, "--file", join(workbench, "client-file"), "--yes"] : args;

/** What a command of ours printed as it failed, or null. */
async function problemOf(args: string[], env: Record<string, string>): Promise<string | null> {
  if (args.slice(0, 2).join(" ") === "node serve") return serveProblem(args[2] ?? "");
  const { code, stderr } = await runCli(args, { env, cwd: workbench });
  return code === 0 ? null : `exit ${code}: ${stderr}`;
}

/** A node sells until it is told to stop. Its file gets a free port first: the one it names may be taken on this machine. */
async function serveProblem(path: string): Promise<string | null> {
  const file = join(workbench, path);
  const settings = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...settings, listen: { port: 0 } }));
  const node = await serveNode(path, workbench);
  node.process.kill("SIGTERM");
  const code = await node.ended;
  return code === 0 ? null : `exit ${code}: ${node.said.join("\n")}`;
}

/** Installing into a client: what it will start must be our server. */
function clientProblem(words: string[]): string | null {
  const adds = words.slice(0, 4).join(" ") === "claude mcp add proof402";
  const starts = words.slice(words.indexOf("--") + 1).join(" ") === "proof402 mcp";
  return adds && starts ? null : "not a command that the tests know";
}

type Entry = { command: string; args: string[] };

function run(code: string): Promise<{ exit: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", code], {
      cwd: workbench,
      env: { PATH: process.env["PATH"], PROOF402_CONFIG: config },
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ exit: code ?? -1, output }));
  });
}
