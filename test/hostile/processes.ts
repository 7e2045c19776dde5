import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import type { Orders, Said } from "./orders.ts";

const root = join(import.meta.dirname, "../..");
/** Inside node_modules, so that the bundle finds the packages it leaves out. */
const folder = join(root, "node_modules/.cache", `proof402-buyer-${process.pid}`);
const worker = join(folder, "worker.mjs");

/** Makes the worker one file, once, so that each of many processes starts fast. */
export async function buildWorker(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [join(import.meta.dirname, "worker.ts")],
    outfile: worker,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
  });
}
export const removeWorker = (): void => rmSync(folder, { recursive: true, force: true });

/** Starts a process per order, lets all go at once when all are ready, and returns what each said until it ended. */
export async function runBuyers(orders: readonly Orders[]): Promise<{ said: Said[]; killed: boolean }[]> {
  const children = orders.map((order) => {
    const child = spawn(process.execPath, [worker], {
      env: { ...process.env, PROOF402_TEST_ORDERS: JSON.stringify(order) },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const said: Said[] = [];
    const lines = createInterface(child.stdout);
    const ready = once(lines, "line").then(() => lines.on("line", (line) => said.push(JSON.parse(line) as Said)));
    const ended = Promise.all([once(child, "exit"), once(lines, "close")]);
    return { child, said, ready, ended };
  });
  await Promise.all(children.map(({ ready }) => ready));
  for (const { child } of children) child.stdin.write("go\n");
  await Promise.all(children.map(({ ended }) => ended));
  return children.map(({ child, said }) => ({ said, killed: child.signalCode === "SIGKILL" }));
}
