import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { createTestClient, http } from "viem";
import { foundry } from "viem/chains";
import { Proof402Error } from "../errors.ts";
import { howToInstall } from "../peers.ts";
import { portTaken } from "./port-taken.ts";

/** A running chain of its own. `stop` resolves when its process is gone; asking twice is fine. */
export type Anvil = { rpcUrl: string; chainId: number; stop: () => Promise<void> };

/** The devnet's chain id: anvil's own, which no public chain uses. */
export const CHAIN_ID = 31_337;
const READY_WITHIN_MS = 20_000;

/**
 * Runs in a small process between us and anvil. It ends anvil when our end of the pipe closes, which happens however we
 * die, kill -9 included. It says the port once anvil listens, and reads away the rest of what anvil prints.
 */
const KEEPER = String.raw`
const child = require("node:child_process").spawn(process.argv[1], process.argv.slice(2), { stdio: ["ignore", "pipe", "inherit"] });
const end = () => child.kill("SIGKILL");
process.stdin.on("end", end).on("error", end).resume();
process.stdout.on("error", end);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
let printed = "";
child.stdout.on("data", (chunk) => {
  if (printed === null) return;
  printed += chunk;
  const listening = /^Listening on \S+:(\d+)\s/m.exec(printed);
  if (listening === null) return;
  process.stdout.write(listening[1] + "\n");
  printed = null;
});
child.on("error", (error) => { process.stderr.write(error.message); process.exit(127); });
child.on("exit", (code) => process.exit(code ?? 0));
`;

type Keeper = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Starts anvil on loopback and waits until it answers. Takes a free port unless one is given, and seconds between blocks
 * instead of a block per transaction. Throws Proof402Error `anvil_missing`, `port_taken` or `anvil_failed`.
 *
 * @example
 * ```ts
 * import { startAnvil } from "proof402/devnet";
 *
 * const anvil = await startAnvil({ blockSeconds: 1 });
 * process.stdout.write(anvil.rpcUrl);
 * await anvil.stop();
 * ```
 */
export async function startAnvil(
  options: { port?: number | undefined; blockSeconds?: number | undefined } = {},
): Promise<Anvil> {
  const args = [
    "--host",
    "127.0.0.1",
    "--port",
    String(options.port ?? 0),
    "--chain-id",
    String(CHAIN_ID),
    "--accounts",
    "2",
  ];
  if (options.blockSeconds !== undefined) args.push("--block-time", String(options.blockSeconds));
  const keeper: Keeper = spawn(process.execPath, ["-e", KEEPER, anvilBinary(), ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let complaint = "";
  keeper.stderr.on("data", (chunk: Buffer) => (complaint = `${complaint}${chunk.toString()}`.slice(-2000)));
  // Writing to a keeper that is gone is not news: its exit is what is waited for.
  keeper.stdin.on("error", () => {});
  const exited = new Promise<void>((resolve) => {
    keeper.once("exit", () => resolve());
    keeper.once("error", () => resolve());
  });
  // Later than its exit: everything it printed has been read.
  const closed = new Promise<void>((resolve) => keeper.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    keeper.stdin.end();
    await exited;
  };
  try {
    const port = await Promise.race([portSaid(keeper), closed.then(() => null)]);
    if (port === null) throw new Error("anvil did not start");
    const rpcUrl = `http://127.0.0.1:${port}`;
    // Proves that it answers, and spares everyone a line per call.
    await createTestClient({ chain: foundry, mode: "anvil", transport: http(rpcUrl) }).setLoggingEnabled(false);
    return { rpcUrl, chainId: CHAIN_ID, stop };
  } catch (cause) {
    keeper.stdin.end();
    await closed;
    if (options.port !== undefined && /address.*in use/i.test(complaint)) throw portTaken(options.port, cause);
    throw new Proof402Error("anvil_failed", "anvil did not come up.", {
      next: "Read details.complaint, which is what anvil printed.",
      details: { complaint },
      cause,
    });
  }
}

/**
 * The port from anvil itself, once it listens there. Asking an address instead would take any other chain that answers
 * on it for ours.
 */
function portSaid(keeper: Keeper): Promise<number> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`anvil did not listen within ${READY_WITHIN_MS} ms`)),
      READY_WITHIN_MS,
    );
    keeper.once("close", () => clearTimeout(late));
    keeper.stdout.once("data", (chunk: Buffer) => {
      clearTimeout(late);
      resolve(Number(chunk.toString()));
    });
  });
}

/** The binary inside anvil's platform package: its launcher would put one more process in between. */
function anvilBinary(): string {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  try {
    // The platform packages are dependencies of @foundry-rs/anvil and resolve from there.
    const launcher = createRequire(import.meta.url).resolve("@foundry-rs/anvil/package.json");
    const platform = createRequire(launcher).resolve(
      `@foundry-rs/anvil-${process.platform}-${architecture}/package.json`,
    );
    return join(dirname(platform), "bin", process.platform === "win32" ? "anvil.exe" : "anvil");
  } catch (error) {
    throw new Proof402Error("anvil_missing", "anvil is not installed, so no chain can be started here.", {
      next: howToInstall(["@foundry-rs/anvil"]),
      cause: error,
    });
  }
}
