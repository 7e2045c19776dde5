import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { createPublicClient, http } from "viem";
import { Proof402Error } from "../errors.ts";

/** A running chain of its own. */
export type Anvil = { rpcUrl: string; chainId: number; stop(): Promise<void> };

export const CHAIN_ID = 31_337;
const READY_WITHIN_MS = 10_000;

/**
 * Runs in a small process between us and anvil: it ends anvil when our end of the pipe closes, which it does however we
 * die, kill -9 included.
 */
const KEEPER = `
const child = require("node:child_process").spawn(process.argv[1], process.argv.slice(2), { stdio: ["ignore", "ignore", "inherit"] });
const end = () => child.kill("SIGKILL");
process.stdin.on("end", end).on("error", end).resume();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
child.on("error", () => process.exit(127)).on("exit", (code) => process.exit(code ?? 0));
`;

/**
 * Starts anvil on loopback and waits until it answers. `blockSeconds` mines on an interval instead of per transaction.
 * Throws Proof402Error `anvil_missing` or `anvil_failed`.
 */
export async function startAnvil(options: { port?: number; blockSeconds?: number } = {}): Promise<Anvil> {
  const port = options.port ?? (await freePort());
  const args = ["--host", "127.0.0.1", "--port", String(port), "--chain-id", String(CHAIN_ID), "--accounts", "2", "--silent"];
  if (options.blockSeconds !== undefined) args.push("--block-time", String(options.blockSeconds));
  const keeper = spawn(process.execPath, ["-e", KEEPER, anvilBinary(), ...args], { stdio: ["pipe", "ignore", "pipe"] });
  let complaint = "";
  keeper.stderr.on("data", (chunk: Buffer) => (complaint = `${complaint}${chunk.toString()}`.slice(-2000)));
  const exited = new Promise<void>((resolve) => keeper.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    keeper.stdin.end();
    await exited;
  };
  const rpcUrl = `http://127.0.0.1:${port}`;
  const client = createPublicClient({ transport: http(rpcUrl, { retryCount: 0, timeout: 1000 }) });
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const chainId = await client.getChainId().catch(() => null);
    if (chainId === CHAIN_ID) return { rpcUrl, chainId, stop };
    if (keeper.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Proof402Error("anvil_failed", `anvil did not come up on port ${port}.`, { next: "Check that the port is free.", details: { complaint } });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The binary inside anvil's platform package: its launcher would put one more process in between. */
function anvilBinary(): string {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  try {
    // The platform packages are dependencies of @foundry-rs/anvil and resolve from there.
    const launcher = createRequire(import.meta.url).resolve("@foundry-rs/anvil/package.json");
    const platform = createRequire(launcher).resolve(`@foundry-rs/anvil-${process.platform}-${architecture}/package.json`);
    return join(dirname(platform), "bin", process.platform === "win32" ? "anvil.exe" : "anvil");
  } catch (error) {
    throw new Proof402Error("anvil_missing", "anvil is not installed, so no chain can be started here.", {
      next: "Run npm install @foundry-rs/anvil.",
      cause: error,
    });
  }
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
