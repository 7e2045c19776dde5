import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { onTestFinished } from "vitest";
import { loadNodeConfig, type NodeConfigInput } from "../../src/node/config.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { serveNode, type NodeEvent, type ServedNode } from "../../src/node/serve.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { runCli } from "./cli.ts";
import type { Market } from "./devnet.ts";

/** A folder with the configuration that `node init` writes for a model, and its key. */
export async function initSeller(market: Market): Promise<string> {
  const folder = join(market.directory, "seller");
  const model = join(await packageModelsDirectory(), "eth-risk.onnx");
  await runCli(["node", "init", model, "--price", "0.01", "--pay-to", newAccount().address, "--out", folder]);
  return folder;
}

/** Writes that configuration with a change to a path, which is relative to its folder. Returns the path. */
export async function writeNodeConfig(
  folder: string,
  name: string,
  edit: (settings: NodeConfigInput) => void,
): Promise<string> {
  const settings = JSON.parse(await readFile(join(folder, "node.config.json"), "utf8")) as NodeConfigInput;
  edit(settings);
  const path = resolve(folder, name);
  await writeFile(path, JSON.stringify(settings));
  return path;
}

/** Has a node paid on the market's chain, and listen on a free port. */
export function onMarket({ devnet }: Market, settings: NodeConfigInput): void {
  settings.listen = { port: 0 };
  Object.assign(settings.payment, {
    network: `eip155:${devnet.chainId}`,
    asset: devnet.token,
    decimals: 6,
    domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
    rpcUrl: devnet.rpcUrl,
  });
}

/** Serves a configuration from this process, until the test ends. */
export async function serveConfig(path: string): Promise<ServedNode & { events: NodeEvent[] }> {
  const events: NodeEvent[] = [];
  const node = await serveNode(await loadNodeConfig(path), (one) => events.push(one));
  onTestFinished(() => node.stop());
  return { ...node, events };
}
