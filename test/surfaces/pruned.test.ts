import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { rpcInFront } from "../support/rpc.ts";

let market: Market;
let config: string;
/** The id of the configuration's own purchase. */
let own: string;
/** A settled and anchored receipt of another buyer. */
let anchored: Receipt;

beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  const [input, key] = [JSON.stringify(ETH_FEATURES), crypto.randomUUID()];
  const args = ["buy", "eth-risk", "--input", input, "--json", "--seller", "honest", "--wait", "verified"];
  const bought = await runCli(["--config", config, ...args]);
  own = (JSON.parse(bought.stdout) as { receipt: { id: string } }).receipt.id;
  const buyer = await market.buyer();
  const call = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: key } as const;
  const { id } = (await buyWith(buyer, { ...call, wait: "verified" })).receipt;
  await eventually(async () => {
    const { later } = await buyer.getReceipt(id);
    if (!later.some(({ evidence }) => evidence.kind === "inclusion.merkle")) throw new Error("it is not anchored yet");
  });
  anchored = { ...(await buyer.getReceipt(id)), appraisals: [] };
});
afterAll(() => market.stop());

/** The command with a node that answers for blocks and states, and has dropped its index of transactions. */
async function pruned(database?: string, ...dropped: string[]) {
  const written = JSON.parse(await readFile(config, "utf8")) as { networks: { rpcUrl: string }[] };
  const nulls = ["eth_getTransactionReceipt", "eth_getTransactionByHash"];
  const { url } = await rpcInFront(written.networks[0]!.rpcUrl, ({ method }) => {
    if (nulls.includes(method)) return { result: null };
    return dropped.includes(method) ? { result: [] } : undefined;
  });
  const path = await writeVariant(config, join(market.directory, `${crypto.randomUUID()}.json`), (variant) => {
    for (const network of variant.networks ?? []) network.rpcUrl = url;
    if (database === undefined) return;
    variant.database = database;
    variant.verification = { ...variant.verification, reportedSuffices: true };
  });
  return async (...args: string[]) => {
    const { code, stdout } = await runCli(["--config", path, ...args, "--json"]);
    return { code, layers: (JSON.parse(stdout) as { layers?: Record<string, { code: string; note: string }> }).layers };
  };
}
async function saved(one: Receipt): Promise<string> {
  const file = join(market.directory, `${crypto.randomUUID()}.json`);
  await writeFile(file, serializeReceipt(one));
  const parsed = parseReceipt(await readFile(file));
  if (!parsed.ok) throw new Error(parsed.message);
  return file;
}

test.each([[[]], [["eth_getLogs"]]])(
  "T96: a node that has a transaction no more contradicts nothing, and no verdict is kept of it (%j)",
  async (dropped) => {
    const mine = await pruned(undefined, ...dropped);
    const imported = await pruned(`pruned-${dropped.length}.db`, ...dropped);
    expect((await imported("receipts", "import", await saved(anchored))).code).toBe(0);
    for (const [run, id] of [
      [mine, own],
      [imported, anchored.id],
    ] as const) {
      expect((await run("verify", id)).code).toBe(0);
      const online = await run("verify", id, "--online");
      expect(online.code).toBe(2);
      expect(online.layers?.["settlement"]).toMatchObject({
        code: "awaiting_settlement",
        note: expect.stringContaining("this node does not have"),
      });
      expect((await run("verify", id)).code).toBe(0);
    }
    const online = await imported("verify", anchored.id, "--online");
    expect(online.layers?.["inclusion"]?.code).toBe("inclusion_not_confirmed");
  },
);

test.each([
  ["settlement.x402", "settlement", "settlement_not_on_chain"],
  ["inclusion.merkle", "inclusion", "not_anchored"],
] as const)(
  "T96: a node that has a transaction no more still shows that a block lacks an invented one: %s",
  async (kind, layer, code) => {
    const invented = structuredClone(anchored);
    for (const { evidence } of invented.later)
      if (evidence.kind === kind && "transaction" in evidence) evidence.transaction = `0x${"00".repeat(32)}`;
    const run = await pruned(join(market.directory, `${crypto.randomUUID()}.db`));
    const { code: exit, layers } = await run("verify", await saved(invented), "--online");
    expect({ exit, code: layers?.[layer]?.code }).toEqual({ exit: 1, code });
  },
);
