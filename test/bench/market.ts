import { spawn } from "node:child_process";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { privateKeyToAccount } from "viem/accounts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

const CLI = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
export const INPUT = { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] };

export type Market = { directory: string; config: Config; key: `0x${string}`; pid: number; stop(): Promise<void> };

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
    pid: child.pid ?? 0,
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The stock client, allowed to spend the devnet's token. */
export function stockFetch(market: Market): typeof fetch {
  const [asset] = market.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  const client = new x402Client()
    .register(asset.network as `eip155:${number}`, new ExactEvmScheme(privateKeyToAccount(market.key)))
    .setSpendControls({
      allowedAssets: [
        { network: asset.network as `eip155:${number}`, asset: asset.asset, maxAmountPerPayment: asset.perCall },
      ],
    });
  return wrapFetchWithPayment(fetch, client);
}

/** One purchase with the stock client: paid and read, and nothing more. */
export async function buyPlainly(paid: typeof fetch, origin: string): Promise<void> {
  const inputs = [{ name: "features", datatype: "FP32", shape: [1, 8], data: INPUT.features }];
  const response = await paid(`${origin}/v2/models/eth-risk/infer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: crypto.randomUUID(), inputs }),
  });
  if (response.status !== 200) throw new Error(`stock client: ${response.status}`);
  await response.text();
}
