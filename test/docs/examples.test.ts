import { spawn, type ChildProcess } from "node:child_process";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readLines } from "../../examples/payroll-approval/lines.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { runCli } from "../support/cli.ts";
import { readSources } from "../house/sources.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { serveNode } from "../support/node-process.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readmeOf = (name: string): Promise<string> => readFile(join(root, "examples", name, "README.md"), "utf8");
const chromium = findChromium();

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  // Where the READMEs' commands find what is in the repository and in the market's folder.
  await symlink(join(root, "models"), join(market.directory, "models"));
  await symlink(market.directory, join(market.directory, "market"));
});
afterAll(() => market.stop());

test("every example is run by a test, has a short README, and knows proof402 by its public names", async () => {
  const folders = await readdir(join(root, "examples"));
  expect(folders.toSorted()).toEqual([
    // By test/docs/defi-bot.test.ts: it takes a market that proves.
    "defi-bot",
    "langchain-guard",
    "long-running-bot",
    "mcp-client",
    "payroll-approval",
    "seller-node",
    "supply-routing",
    "verify-in-browser",
  ]);
  for (const name of folders) expect((await readmeOf(name)).trimEnd().split("\n").length).toBeLessThanOrEqual(40);
  const inside = readSources(["examples"]).flatMap(({ imports }) =>
    imports.filter(({ specifier }) => /^\.\.|^\.\/.*\//.test(specifier)),
  );
  expect(inside).toEqual([]);
});

test("langchain-guard: the guard lets one trade through, and that is the one that the answer justifies", async () => {
  await mustPrintAsItsReadmeSays("langchain-guard");
});

test("mcp-client: a client of one's own buys and reads a verified receipt", async () => {
  await mustPrintAsItsReadmeSays("mcp-client");
});

test("payroll-approval: each line is decided on its receipt, and the month's report is verified from files alone", async () => {
  await mustPrintAsItsReadmeSays("payroll-approval");
  // Again: nothing is bought or decided twice.
  const counts = async (): Promise<number[]> => {
    const { stdout } = await runCli(["audit", "--json"], { env: environment() });
    const { receipts, decisions } = JSON.parse(stdout) as { receipts: number; decisions: number };
    return [receipts, decisions];
  };
  const before = await counts();
  const script = "dist/examples/payroll-approval/run.js";
  // Another account is another payment, though name and sum are as they were.
  const rows = await readFile(join(root, "examples/payroll-approval/payroll.csv"), "utf8");
  const file = join(market.directory, "rows.csv");
  const added = "8,Al Ng,900.00,XX,2.4,0.9,2.3,0.01,0.7,0.1,2,0.5\n";
  await writeFile(file, rows.replace("GB29 NWBK 6016 1331 9268 19", "GB00 0000") + added);
  // The one new line is an anomaly, and a person answers at the terminal.
  const moved = await runAnswering([script, "rows.csv", "--no-report", "--ask"], {
    "Your name: ": "Nadia Roth",
    "approve or reject: ": "approve",
    "Reason: ": "A bonus.",
  });
  const [claimed = ""] = blocks(await readmeOf("payroll-approval"), "text");
  const changed = 'line 4: CHANGED after its decision about "line 4: Tom Okoro, 5100.00". It is not paid.';
  const printed = moved.output.trim().split("\n");
  expect(printed.slice(0, 7)).toEqual(claimed.split("\n").slice(0, 7).with(3, changed));
  expect(printed.at(-1)).toMatch(/line 8: Al Ng, 900\.00: approved, score [01]\.\d\d, by Nadia Roth$/);
  expect(moved.code).toBe(1);
  await writeFile(join(market.directory, "payroll.lock"), "");
  const second = await run([script, "--no-report"]);
  expect([second.code, second.output]).toEqual([1, expect.stringContaining("Another run is under way")]);
  // A line has one number: 03 is not line 3.
  await writeFile(file, `${rows}03,Al Ng,1.00,XX,1,0,1,1,0,1,1,1\n`);
  await expect(readLines(file)).rejects.toThrow("row 8 is not as it must be");
  // An empty cell is no zero.
  await writeFile(file, `${rows}8,Al Ng,1.00,XX,1,,1,1,0,1,1,1\n`);
  await expect(readLines(file)).rejects.toThrow("row 8 is not as it must be");
  expect(await counts()).toEqual(before.map((count) => count + 1));
  const page = await readFile(join(market.directory, "payroll.html"), "utf8");
  for (const words of ["Eva Lind", "<bdi>Nadia Roth</bdi> and <bdi>Owen Bell</bdi>", "Decisions: VERIFIED"])
    expect(page).toContain(words);
});

test("supply-routing: sellers that fail are dropped, and each booking is traced to its evidence from files alone", async () => {
  await mustPrintAsItsReadmeSays("supply-routing");
});

test("seller-node: a buyer who pins the printed key buys from the process that sells an ONNX file", async () => {
  await mustPrintAsItsReadmeSays("seller-node");
});

test.skipIf(chromium === null)(
  "verify-in-browser: the page verifies the receipt and refuses a changed one",
  async () => {
    const name = "verify-in-browser";
    await runCommands(name);
    const receipt = await readFile(join(market.directory, "receipt.json"), "utf8");
    const browser = await openChromium(chromium ?? "");
    try {
      const page = await browser.context.newPage();
      await page.goto(pathToFileURL(join(root, "examples", name, "index.html")).href);
      await page.setInputFiles("#trust", join(market.directory, "trust.json"));
      const judge = async (text: string): Promise<string> => {
        await page.setInputFiles("#receipt", {
          name: "r.json",
          mimeType: "application/json",
          buffer: Buffer.from(text),
        });
        await page.waitForFunction("!document.getElementById('verdict').textContent.startsWith('Choose')");
        return page.locator("#verdict").innerText();
      };
      expect((await judge(receipt)).split("\n")[0]).toBe(blocks(await readmeOf(name), "text")[0]);
      await page.evaluate("document.getElementById('verdict').textContent = 'Choose'");
      const changed = receipt.replace('"amount": "10000"', '"amount": "10001"');
      expect(await readmeOf(name)).toContain(`\`${await judge(changed)}\``);
    } finally {
      await browser.close();
    }
  },
);

test("long-running-bot: killed in a payment and in an order, it pays no round twice and orders none twice", async () => {
  await mustPrintAsItsReadmeSays("long-running-bot");
  const bot = "dist/examples/long-running-bot/bot.js";
  for (const moment of ["round 4: buying", "round 5: acting"]) await killAt([bot, "6"], moment);
  const { code, output } = await run([bot, "6"]);
  expect(code, output).toBe(0);
  expect(output).toContain("round 3: acted before: hold");
  expect(output.trim().split("\n").at(-1)).toBe("6 rounds, 6 payments");
  const orders = (await readFile(join(market.directory, "orders.jsonl"), "utf8")).trim().split("\n");
  const ordered = orders.map((line) => (JSON.parse(line) as { round: number }).round);
  expect(ordered).toEqual([...new Set(ordered)]);
  // A round without an order is told of: its process was killed within it.
  const doubted = [...output.matchAll(/round (\d): in doubt/g)].map(([, round]) => Number(round));
  expect([1, 2, 3, 4, 5, 6].filter((round) => !ordered.includes(round) && !doubted.includes(round))).toEqual([]);
  expect(doubted.filter((round) => round !== 5)).toEqual([]);
});

/** Installing and the market are what this file stands on. */
const DONE = /^(?:npm ci && npm run build|npm run proof402 -- devnet --dir market|export PROOF402_CONFIG=\S+)$/;

/** Runs the commands of an example's README, as printed. Returns what the last one printed. */
async function runCommands(name: string): Promise<string> {
  const commands = blocks(await readmeOf(name), "sh").flatMap((block) => block.split("\n"));
  let printed = "";
  for (const command of commands.filter((line) => !DONE.test(line))) {
    const { code, output } = await runCommand(command);
    expect(code, `${command}\n${output}`).toBe(0);
    printed = output;
  }
  return printed;
}

/** The last command prints what the README's text block says. Three dots stand for what differs from run to run. */
async function mustPrintAsItsReadmeSays(name: string): Promise<void> {
  const [claimed = ""] = blocks(await readmeOf(name), "text");
  const pattern = claimed.split("...").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  expect((await runCommands(name)).trim()).toMatch(new RegExp(`^${pattern.join(".+")}$`));
}

const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)\\n\`\`\``, "gm"))].map(([, block = ""]) => block);

type Ended = { code: number; output: string };

async function runCommand(typed: string): Promise<Ended> {
  const [command = "", to] = typed.replace(" --silent", "").split(" > ");
  const ended = command.includes(" node serve ") ? await serveSeller(command) : await runProgram(command);
  if (to !== undefined) await writeFile(join(market.directory, to), ended.output);
  return ended;
}

/** Sells until the test ends, at a free port: the one that the configuration names may be taken on this machine. */
async function serveSeller(command: string): Promise<Ended> {
  const path = join(market.directory, command.split(" ").at(-1) ?? "");
  const settings = JSON.parse(await readFile(path, "utf8")) as object;
  await writeFile(path, JSON.stringify({ ...settings, listen: { port: 0 } }));
  const { origin } = await serveNode(path);
  await writeFile(path, JSON.stringify({ ...settings, listen: { port: 0 }, origin }));
  return { code: 0, output: "" };
}

async function runProgram(command: string): Promise<Ended> {
  const [program = "", ...args] = command.split(" ");
  if (program === "node" && args[0]?.startsWith("dist/examples/") === true) return run(args);
  if (program === "node_modules/.bin/esbuild") return run([program, ...args], root);
  expect(command, "not a command that this file knows").toMatch(/^npm run proof402 -- /);
  const { code, stdout, stderr } = await runCli(args.slice(3), { env: environment(), cwd: market.directory });
  return { code, output: command.includes(" reference ") ? stdout : stdout + stderr };
}

const environment = (): Record<string, string> => ({ PATH: process.env["PATH"] ?? "", PROOF402_CONFIG: config });

/** Starts a script of the repository and hands over each piece that it prints. */
function start([file = "", ...args]: string[], cwd: string, printed: (text: string) => void): ChildProcess {
  const child = spawn(process.execPath, [join(root, file), ...args], { cwd, env: environment() });
  child.stdout.on("data", (chunk: Buffer) => printed(chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => printed(chunk.toString()));
  return child;
}

function run(script: string[], cwd = market.directory): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let output = "";
    const child = start(script, cwd, (text) => (output += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, output }));
  });
}

/** Answers each of the script's questions at its terminal. */
function runAnswering(script: string[], answers: Record<string, string>): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let output = "";
    const child = start(script, market.directory, (text) => {
      output += text;
      const asked = Object.keys(answers).find((question) => output.endsWith(question));
      if (asked !== undefined) child.stdin?.write(`${answers[asked]}\n`);
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, output }));
  });
}

/** Kills the script's process as soon as it has printed these words. */
function killAt(script: string[], words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    const child = start(script, market.directory, (text) => {
      output += text;
      if (output.includes(words)) child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("close", (_code, signal) =>
      signal === "SIGKILL" ? resolve() : reject(new Error(`ended before "${words}": ${output}`)),
    );
  });
}
