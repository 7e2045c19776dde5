import { spawn, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";

// Questions of the command line at a real terminal, which `script` of util-linux opens.

const hasScript = spawnSync("script", ["--version"]).status === 0;

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  await writeVariant(config, config, ({ payment }) => {
    for (const asset of payment.assets) asset.approveAbove = "1";
  });
  await writeFile(join(market.directory, "input.json"), JSON.stringify(ETH_FEATURES));
});
afterAll(() => market.stop());

/** Runs a command at a terminal and presses these keys at its question. */
function atTerminal(args: readonly string[], keys: string): Promise<{ code: number; said: string }> {
  const command = [process.execPath, CLI, "--config", config, ...args].map((one) => `'${one}'`).join(" ");
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1" },
  });
  let said = "";
  let pressed = false;
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (pressed || !said.includes("[y/N] ")) return;
    pressed = true;
    child.stdin.write(keys);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, said }));
  });
}

async function paidCalls(): Promise<string[]> {
  const { stdout } = await runCli(["--config", config, "spending", "--json"]);
  return (JSON.parse(stdout) as { recent: { idempotencyKey: string }[] }).recent.map((one) => one.idempotencyKey);
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BUY = () => ["buy", "eth-risk", "--input", `@${join(market.directory, "input.json")}`, "--seller", "honest"];
const OWNERS = [
  ["wallet", "approve", "--asset", "USDC", "--amount", "5"],
  ["channel", "open", "--seller", "honest", "--asset", "USDC", "--amount", "0.5"],
];

describe.runIf(hasScript)("a question at the terminal", () => {
  test("is answered by y", async () => {
    const { code, said } = await atTerminal(BUY(), "y\r");
    expect(said).toContain("[7/7]");
    expect(code).toBe(0);
  });

  test.each([
    ["Ctrl-C aborts the call", CTRL_C, "aborted", 130],
    ["Ctrl-D declines", CTRL_D, "approval_declined", 1],
    ["a bare return declines", "\r", "approval_declined", 1],
  ])("of a purchase: %s, and no money moves", async (_what, keys, error, exit) => {
    const before = await paidCalls();
    const { code, said } = await atTerminal(BUY(), keys);
    expect(said).toContain(`Error ${error}: `);
    expect(said).toContain("No money moved.");
    expect(said).not.toMatch(/internal_error|AbortError|\n\s+at /);
    expect(code).toBe(exit);
    expect(await paidCalls()).toEqual(before);
  });

  test.each(
    OWNERS.flatMap((args) => [
      [args, "Ctrl-C", CTRL_C, "aborted", 130] as const,
      [args, "Ctrl-D", CTRL_D, "approval_declined", 1] as const,
    ]),
  )("of an owner's command, %j, at %s: nothing is signed", async (args, _key, keys, error, exit) => {
    const { code, said } = await atTerminal(args, keys);
    expect(said).toContain(`Error ${error}: Nothing was signed.`);
    expect(said).not.toMatch(/internal_error|AbortError|\n\s+at /);
    expect(code).toBe(exit);
  });
});
