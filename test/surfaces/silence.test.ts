import { createHash } from "node:crypto";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import LibsqlDatabase from "libsql";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";

let market: Market;
let config: string;
/** Its chain and its sellers take every request and answer none. */
let stuck: string;
let nowhere: Server;
let receipt: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  nowhere = createServer(() => undefined);
  await new Promise<void>((resolve) => nowhere.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(nowhere.address() as AddressInfo).port}`;
  stuck = await writeVariant(config, join(market.directory, "stuck.config.json"), (written) => {
    for (const network of written.networks) network.rpcUrl = url;
    written.sellers = written.sellers.filter(({ id }) => id === "honest");
    for (const seller of written.sellers) seller.origin = url;
  });
  const buy = ["buy", "eth-risk", "--input", JSON.stringify(ETH_FEATURES), "--seller", "honest", "--wait", "verified"];
  const { stdout } = await runCli(["--config", config, "--json", ...buy]);
  receipt = (JSON.parse(stdout) as { receipt: { id: string } }).receipt.id;
});
afterAll(async () => {
  nowhere.closeAllConnections();
  nowhere.close();
  await market.stop();
});

describe("no command is silent for long", () => {
  /** Runs a command as a person's terminal does, until it shows `sign`. What it waits for never comes. */
  async function untilSign(config: string, args: readonly string[], sign: RegExp): Promise<string> {
    const line = [process.execPath, CLI, "--config", config, ...args].map((word) => `'${word}'`).join(" ");
    const child: ChildProcess = spawn("script", ["-qfec", line, "/dev/null"], {
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    let shown = "";
    await new Promise<void>((resolve) => {
      child.stdout?.on("data", (chunk: Buffer) => {
        shown += chunk.toString();
        if (sign.test(shown)) resolve();
      });
      void ended.then(resolve);
    });
    // Its command gets the hangup of its terminal.
    child.kill("SIGKILL");
    await ended;
    return shown;
  }

  /** A database that another program holds. */
  async function lockedConfig(): Promise<string> {
    const path = join(market.directory, "locked.db");
    await writeFile(path, "", { mode: 0o600 });
    const holder = new LibsqlDatabase(path);
    holder.exec("create table held (x)");
    holder.exec("begin exclusive");
    onTestFinished(() => void holder.close());
    return writeVariant(config, join(market.directory, "locked.config.json"), (own) => (own.database = path));
  }

  /** The folder of a devnet whose chain answers nothing. */
  async function stuckDevnet(): Promise<string> {
    const folder = join(market.directory, "stuck-devnet");
    await mkdir(folder);
    const text = await readFile(stuck, "utf8");
    const marker = JSON.parse(await readFile(join(market.directory, "proof402.devnet.json"), "utf8")) as {
      files: Record<string, string>;
    };
    marker.files["proof402.config.json"] = createHash("sha256").update(text).digest("hex");
    await writeFile(join(folder, "proof402.devnet.json"), JSON.stringify(marker));
    await writeFile(join(folder, "proof402.config.json"), text);
    return folder;
  }

  test("in a terminal, while it waits for a chain, a seller, a file, a database or a verdict", async () => {
    const pipe = join(market.directory, "model.onnx");
    execFileSync("mkfifo", [pipe]);
    const counting = (name: string): RegExp => new RegExp(`proof402 ${name} is at work \\(\\d+ s\\)`);
    const [locked, folder] = [await lockedConfig(), await stuckDevnet()];
    const fresh = join(market.directory, "fresh", "proof402.config.json");
    const commands: [args: string[], sign: RegExp, config?: string][] = [
      [["models"], counting("models")],
      [["buy", "eth-risk", "--input", "{}"], counting("buy")],
      [["wallet", "show"], counting("show")],
      [["channel", "list"], counting("list")],
      [["verify", receipt, "--online"], counting("verify")],
      [["doctor"], /Waiting for: /],
      [["node", "zk", "compile", pipe, "--out", join(market.directory, "proving")], counting("compile")],
      [["devnet", "--dir", folder], /Asking the chain of the devnet in \S+ \(\d+ s\)/],
      [["init", "--network", "devnet", "--devnet", folder], /Asking the chain of the devnet in \S+ \(\d+ s\)/, fresh],
      [["audit"], /Walking the receipt log \(\d+ s\)/, locked],
      [["receipts", "export", "--csv", join(market.directory, "all.csv")], /Writing the receipts \(\d+ s\)/, locked],
      [["receipts", "export", receipt, "-"], /Reading the receipt \(\d+ s\)/, locked],
    ];
    const take = async (): Promise<void> => {
      for (let next = commands.pop(); next !== undefined; next = commands.pop()) {
        const [args, sign, own = stuck] = next;
        expect(await untilSign(own, args, sign), args.join(" ")).toMatch(sign);
      }
    };
    await Promise.all([take(), take()]);
  });
});

describe("every failure under --json is one JSON document", () => {
  const parsed = async (...args: string[]): Promise<{ code: number; error: { code: string; message: string } }> => {
    const { code, stdout } = await runCli(args);
    return { code, ...(JSON.parse(stdout) as { error: { code: string; message: string } }) };
  };
  const COMMANDS = [
    ["models"],
    ["buy", "eth-risk", "--input", "{}"],
    ["receipts", "list"],
    ["receipts", "show", "p402_a"],
    ["receipts", "export", "p402_a", "x.json"],
    ["receipts", "export", "--csv", "x.csv"],
    ["receipts", "import", "/nonexistent.json"],
    ["receipts", "publish", "p402_a"],
    ["verify", "p402_a"],
    ["trust", "export", "x.json"],
    ["spending"],
    ["sellers", "list"],
    ["sellers", "release", "x"],
    ["wallet", "show"],
    ["wallet", "address"],
    ["wallet", "approve", "--asset", "USDC", "--amount", "1"],
    ["channel", "list"],
    ["channel", "open", "--seller", "x", "--asset", "USDC", "--amount", "1"],
    ["channel", "close", "x"],
    ["audit"],
  ];

  test("without a configuration", async () => {
    for (const command of COMMANDS) {
      const { code, error } = await parsed("--config", "/nonexistent.json", "--json", ...command);
      expect([command, error.message !== "", code]).toEqual([command, true, 64]);
    }
  });

  test("with an option or an argument that the command does not take", async () => {
    for (const command of [
      ...COMMANDS,
      ["node", "zk", "compile", "m", "--out", "x"],
      ["devnet"],
      ["demo"],
      ["doctor"],
    ]) {
      const { code, error } = await parsed("--json", ...command, "--frobnicate");
      expect([command, error.code, code]).toEqual([command, "usage", 64]);
    }
    for (const command of [
      [],
      ["frobnicate"],
      ["buy"],
      ["verify"],
      ["receipts", "frobnicate"],
      ["receipts", "export"],
    ]) {
      const { code, error } = await parsed("--json", ...command);
      expect([command, error.code, code]).toEqual([command, "usage", 64]);
    }
  });

  test("of an RPC where nothing listens, which is named by its network: an address may hold a key", async () => {
    const dead = await writeVariant(config, join(market.directory, "dead.config.json"), (written) => {
      for (const network of written.networks) network.rpcUrl = "http://127.0.0.1:1";
    });
    for (const command of [
      ["wallet", "show"],
      ["channel", "list"],
      ["verify", receipt, "--online"],
    ]) {
      const { stdout, stderr } = await runCli(["--config", dead, ...command]);
      expect(`${stdout}${stderr}`, command.join(" ")).toMatch(/RPC of eip155:31337|eip155:31337.*RPC/);
    }
  });
});
