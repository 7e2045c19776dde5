import { afterAll, beforeAll, expect, test } from "vitest";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import {
  createInferenceNode,
  createSimulatedEnclave,
  createSimulatedRoot,
  type InferenceNode,
  type SimulatedRoot,
} from "../../src/node/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
let root: SimulatedRoot;
let current: InferenceNode;
let served: Served;
const nodes: InferenceNode[] = [];

/** The same seller after a restart: the same code and models, a new enclave with a new key. */
async function startNode(under: SimulatedRoot): Promise<InferenceNode> {
  const [asset] = market.devnet.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  const node = await createInferenceNode({
    models: [{ name: "eth-risk", price: "10000" }],
    payment: {
      network: `eip155:${market.devnet.chainId}`,
      asset: market.devnet.token,
      domain: asset.domain,
      payTo: market.devnet.sellers.honest.payTo,
      facilitatorUrl: market.devnet.facilitatorUrl,
    },
    enclave: await createSimulatedEnclave({ root: under }),
  });
  nodes.push(node);
  return node;
}

beforeAll(async () => {
  market = await openMarket();
  root = await createSimulatedRoot();
  current = await startNode(root);
  served = await serveLocally((request) => current.fetch(request));
});
afterAll(async () => {
  await served.stop();
  await Promise.all(nodes.map((node) => node.close()));
  await market.stop();
});

const buyer = () =>
  market.buyer((config) => {
    config.verification.simulatedRoots = [root.sha256];
    config.sellers = config.sellers.filter((seller) => seller.id === "honest");
    for (const seller of config.sellers) {
      seller.origin = served.origin;
      seller.reference.measurements = current.measurements === null ? [] : [current.measurements];
      seller.reference.models = Object.fromEntries(current.models.map((model) => [model.name, model.sha256]));
    }
  });

const purchase = () => ({ model: "eth-risk", input: ETH_FEATURES, idempotencyKey: crypto.randomUUID() });

test("a seller that restarted with a new key is attested anew and not taken for a cheat", async () => {
  const one = await buyer();
  await buyWith(one, purchase());
  const firstKey = current.keyId;
  current = await startNode(root);
  expect(current.keyId).not.toBe(firstKey);
  const after = await buyWith(one, purchase());
  const receipt = await one.getReceipt(after.receipt.id, { waitSeconds: 120 });
  expect(newestAppraisal(receipt).verdict).toBe("verified");
  expect(receipt.core.seller.keyId).toBe(current.keyId);
});

test("a new key that only another root vouches for is a failure", async () => {
  const one = await buyer();
  await buyWith(one, purchase());
  current = await startNode(await createSimulatedRoot());
  const after = await buyWith(one, purchase());
  expect(after.appraisal.verdict).toBe("failed");
  expect(after.appraisal.layers.response.code).toBe("key_mismatch");
});
