import { spawn } from "node:child_process";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

const CLI = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
export const INPUT = { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] };

export type Market = { directory: string; config: Config; key: `0x${string}`; stop(): Promise<void> };

/** A devnet in a process of its own, so that sellers and buyers do not share an event loop. */
export async function openMarket(): Promise<Market> {
  const directory = await mkdtemp(join(tmpdir(), "proof402-bench-"));
  const child = spawn(process.execPath, [CLI, "devnet", "--json", "--dir", directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("exit", () => reject(new Error("the devnet did not start")));
  });
  const config = await loadConfig({ path: join(directory, "proof402.config.json"), env: {} });
  // Enough for every arm: what is measured is speed, not the caps.
  for (const asset of config.payment.assets) Object.assign(asset, { perHour: asset.total, perDay: asset.total });
  return {
    directory,
    config,
    key: (await readFile(join(directory, "buyer.key"), "utf8")).trim() as `0x${string}`,
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
