import { createTestClient, http } from "viem";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import {
  createInferenceNode,
  createSimulatedEnclave,
  createSimulatedRoot,
  type InferenceNode,
  type SimulatedRoot,
} from "../../src/node/index.ts";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { infront } from "../support/infront.ts";
import { settlementsOf } from "../support/later.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
let root: SimulatedRoot;
let node: InferenceNode;
const served: Served[] = [];

/** A seller that answers and signs as it should, and whose facilitator keeps the payments it says it settled. */
beforeAll(async () => {
  market = await openMarket();
  root = await createSimulatedRoot();
  const facilitator = await infront(market.devnet.facilitatorUrl, (path) => {
    if (path !== "/settle") return Promise.resolve(null);
    const network = `eip155:${market.devnet.chainId}`;
    return Promise.resolve(Response.json({ success: true, transaction: `0x${"cd".repeat(32)}`, network, payer: "" }));
  });
  served.push(facilitator);
  const [asset] = market.devnet.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  node = await createInferenceNode({
    models: [{ name: "eth-risk", price: "10000" }],
    payment: {
      network: `eip155:${market.devnet.chainId}`,
      asset: market.devnet.token,
      domain: asset.domain,
      payTo: market.devnet.sellers.honest.payTo,
      facilitatorUrl: facilitator.origin,
    },
    enclave: await createSimulatedEnclave({ root }),
  });
  served.push(await serveLocally(node.fetch));
});
afterAll(async () => {
  await Promise.all(served.map(({ stop }) => stop()));
  await node.close();
  await market.stop();
});

/** How often the chain was asked about the payment. */
async function looksAt(database: string): Promise<number> {
  const db = await openDatabase(database);
  const job = await db.selectFrom("jobs").select("attempts").where("kind", "=", "settlement").executeTakeFirstOrThrow();
  await db.destroy();
  return job.attempts;
}

test("a payment that is never settled is waited for until it cannot be any more, by a second RPC's word at once and by its own alone in a while: no money moved, and nothing is verified", async () => {
  // The seller says that it was paid: another RPC than the buyer's own has to agree that it was not.
  const witness = await infront(market.devnet.rpcUrl, () => Promise.resolve(null));
  served.push(witness);
  let ahead = 0;
  const atThisSeller = (config: Config): void => {
    config.verification.simulatedRoots = [root.sha256];
    config.sellers = config.sellers.filter(({ id }) => id === "honest");
    for (const seller of config.sellers) {
      seller.origin = served[1]!.origin;
      seller.reference.relays = [];
      seller.reference.measurements = node.measurements === null ? [] : [node.measurements];
      seller.reference.models = Object.fromEntries(node.models.map((model) => [model.name, model.sha256]));
    }
  };
  const open = async (config: Config): Promise<Buyer> => {
    const opened = await openBuyer({
      config,
      wallet: walletFromPrivateKey(market.devnet.privateKey),
      clock: () => new Date(Date.now() + ahead),
    });
    onTestFinished(() => opened.close());
    return opened;
  };
  const config = market.config((config) => {
    for (const network of config.networks) network.witnessRpcUrl = witness.origin;
    atThisSeller(config);
  });
  const { database } = config;
  const buyer = await open(config);
  const alone = await open(market.config(atThisSeller));
  const before = await market.devnet.balanceOf(market.devnet.sellers.honest.payTo);
  // The first to end.
  await buyWith(alone, { model: "eth-risk", input: ETH_FEATURES });
  const bought = await buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, idempotencyKey: crypto.randomUUID() });
  const { id, core } = bought.receipt;
  expect(bought.appraisal).toMatchObject({ verdict: "pending", layers: { settlement: { status: "pending" } } });
  const chain = createTestClient({ chain: foundry, mode: "anvil", transport: http(market.devnet.rpcUrl) });
  // One second before: it could still be used in this block.
  await chain.setNextBlockTimestamp({ timestamp: BigInt(core.payment.validBefore - 1) });
  await chain.mine({ blocks: 1 });
  const looks = await looksAt(database);
  await eventually(async () => expect(await looksAt(database)).toBeGreaterThan(looks + 1));
  expect(newestAppraisal(await buyer.getReceipt(id)).verdict).toBe("pending");
  await chain.setNextBlockTimestamp({ timestamp: BigInt(core.payment.validBefore + 1) });
  await chain.mine({ blocks: 1 });
  ahead = (core.payment.validBefore + 1) * 1000 - Date.now();
  const receipt = await buyer.getReceipt(id, { waitSeconds: 120 });
  expect(newestAppraisal(receipt)).toMatchObject({
    verdict: "unverified",
    layers: { settlement: { status: "skip", code: "authorization_expired" } },
  });
  expect(settlementsOf(receipt)).toHaveLength(1);
  // It can move nothing any more: what the payer had agreed to may be shown.
  expect(settlementsOf(receipt)[0]?.signature).toMatch(/^0x[0-9a-f]{130}$/);
  expect(newestAppraisal(receipt).layers.payment.status).toBe("pass");
  expect((await buyer.spending()).recent[0]).toMatchObject({ state: "released" });
  expect((await buyer.spending()).assets[0]).toMatchObject({ spent: "0", reserved: "0" });
  const reserved = async (): Promise<string | undefined> => (await alone.spending()).assets[0]?.reserved;
  expect(await alone.reconcile()).toMatchObject({ released: 0, contradicted: [`eip155:${market.devnet.chainId}`] });
  expect(await reserved()).toBe("10000");
  ahead += 16 * 60_000;
  await eventually(async () => {
    await alone.reconcile();
    expect(await reserved()).toBe("0");
  });
  expect(await market.devnet.balanceOf(market.devnet.sellers.honest.payTo)).toBe(before);
});
