import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { databasePlace } from "../support/database-place.ts";
import type { Orders, Said } from "./orders.ts";

const root = join(import.meta.dirname, "../..");
/** Inside node_modules, so that the bundles find the packages they leave out. */
const folder = join(root, "node_modules/.cache", `proof402-buyer-${process.pid}`);

/** The processes there are: files of this directory. */
type WorkerName = "worker" | "second-clock-worker";

/** Makes a worker one file, once, so that each of many processes starts fast. */
export async function buildWorker(name: WorkerName = "worker"): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), `{"type":"module"}`);
  await build({
    // A re-execution's process is looked for beside the code that starts it.
    entryPoints: [join(import.meta.dirname, `${name}.ts`), join(root, "src/onnx/execution-child.ts")],
    outdir: folder,
    entryNames: "[name]",
    bundle: true,
    // Whole, but for what is native or not needed: that starts in half the time.
    external: ["libsql", "onnxruntime-node", "pg", "snarkjs"],
    banner: {
      js: `import { createRequire as requiring } from "node:module"; const require = requiring(import.meta.url);`,
    },
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
  });
}
export const removeWorker = (): void => rmSync(folder, { recursive: true, force: true });

/** A process under its orders. It waits for `go` once it is `ready`. */
export type BuyerProcess<S> = {
  child: ChildProcess;
  /** What it said so far, and how it is told that there is more. */
  said: S[];
  ready: Promise<unknown>;
  ended: Promise<unknown>;
  go: () => void;
};

export function startBuyer<S = Said>(orders: object, name: WorkerName = "worker"): BuyerProcess<S> {
  const child = spawn(process.execPath, [join(folder, `${name}.js`)], {
    env: { ...process.env, PROOF402_TEST_ORDERS: JSON.stringify(orders) },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const said: S[] = [];
  const lines = createInterface(child.stdout);
  const ready = once(lines, "line").then(() => lines.on("line", (line) => said.push(JSON.parse(line) as S)));
  const ended = Promise.all([once(child, "exit"), once(lines, "close")]);
  return { child, said, ready, ended, go: () => void child.stdin.write("go\n") };
}

/** Starts a process per order, lets all go at once when all are ready, and returns what each said until it ended. */
export async function runBuyers<S = Said>(
  orders: readonly object[],
  name: WorkerName = "worker",
): Promise<{ said: S[]; killed: boolean }[]> {
  // A schema that stands for a file is made here: a buyer's process makes tables only.
  for (const one of orders as readonly Partial<Pick<Orders, "config">>[])
    if (one.config?.database !== undefined) await databasePlace(one.config.database);
  const processes = orders.map((one) => startBuyer<S>(one, name));
  await Promise.all(processes.map(({ ready }) => ready));
  for (const { go } of processes) go();
  await Promise.all(processes.map(({ ended }) => ended));
  return processes.map(({ child, said }) => ({ said, killed: child.signalCode === "SIGKILL" }));
}
