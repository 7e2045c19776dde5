import { createTestClient, createWalletClient, http as transport, publicActions, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { observeInclusion, type InclusionView } from "../../src/buyer/background/inclusion.ts";
import {
  openBank,
  openRelay,
  serveLocally,
  startAnvil,
  type Anvil,
  type Bank,
  type Relay,
} from "../../src/devnet/index.ts";
import {
  buildInclusionTree,
  inclusionIdOf,
  publishBatch,
  type InclusionLeaf,
  type PublishedBatch,
} from "../../src/evidence/inclusion.ts";
import { createHttp } from "../../src/http/client.ts";
import { createOipProvider } from "../../src/market/providers/oip.ts";
import { sellerSchema, type Seller } from "../../src/market/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { configSchema } from "../../src/config/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import { ETH_FEATURES, openMarket } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { neighbours, withLater, withRelay } from "../support/inclusion.ts";
import { buyWith } from "../support/buy.ts";

const http = createHttp(configSchema.shape.http.parse({ allowPrivateAddresses: true }));
const provider = createOipProvider(http, () => new Date());

/** What a seller publishes, by path; 404 elsewhere. */
const published = new Map<string, { status: number; body: unknown }>();
let anvil: Anvil;
let bank: Bank;
let relay: Relay;
let seller: Seller;
let fixture: Fixture;
let ours: InclusionLeaf;
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  anvil = await startAnvil();
  ends.push(anvil.stop);
  bank = await openBank(anvil);
  relay = await openRelay(anvil, bank);
  const served = await serveLocally((request) => {
    const answer = published.get(new URL(request.url).pathname) ?? { status: 404, body: {} };
    return Response.json(answer.body, { status: answer.status });
  });
  ends.push(served.stop);
  seller = sellerOf(served.origin, relay.address);
  fixture = await makeFixture();
  ours = inclusionLeafOf(fixture.receipt)!;
});
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
  await http.close();
});

const sellerOf = (origin: string, contract: string): Seller =>
  sellerSchema.parse({
    id: "fixture",
    provider: "oip",
    origin,
    payTo: [`0x${"b2".repeat(20)}`],
    assurance: "attested",
    reference: { relays: [{ network: "eip155:31337", contract }] },
  });

const chainsWith = (confirmations: number) =>
  new Map([
    ["eip155:31337", openChain({ network: "eip155:31337", rpcUrl: anvil.rpcUrl, confirmations, pollMilliseconds: 20 })],
  ]);
const observe = (options: { confirmations?: number; as?: Seller } = {}): Promise<InclusionView> =>
  observeInclusion({
    receipt: fixture.receipt,
    seller: options.as ?? seller,
    provider,
    chains: chainsWith(options.confirmations ?? 0),
  });

const settledBy = async (send: Promise<Hex>): Promise<Hex> => {
  const hash = await send;
  await bank.client.waitForTransactionReceipt({ hash });
  return hash;
};
const anchored = async (root: Hex, count: number, at: Relay = relay): Promise<Hex> =>
  settledBy((await at.anchor())({ root, count }));

/** Lets the seller say that our answer is under `root`, anchored by `transaction`, and publish `batch` for it. */
function publish(root: string, transaction: string, batch: unknown): void {
  published.clear();
  published.set(`/v1/inclusions/${inclusionIdOf(ours)}`, {
    status: 200,
    body: { state: "anchored", root, transaction, index: 0, count: 1 },
  });
  published.set(`/v1/batches/${root}`, { status: 200, body: batch });
}
const batchOf = (leaves: InclusionLeaf[]): { root: Hex; batch: PublishedBatch } => {
  const tree = buildInclusionTree(leaves);
  return { root: tree.root, batch: publishBatch(leaves, tree) };
};
/** Publishes a batch as an honest seller would, whatever is in it. */
async function publishHonestly(leaves: InclusionLeaf[]): Promise<{ root: Hex; transaction: Hex }> {
  const { root, batch } = batchOf(leaves);
  const transaction = await anchored(root, leaves.length);
  publish(root, transaction, batch);
  return { root, transaction };
}

describe("an answer in an anchored batch", () => {
  test.each([0, 1, 6])("among %i others is seen on chain, and its evidence passes", async (others) => {
    const { root, transaction } = await publishHonestly([...neighbours(others), ours]);
    const view = await observe();
    expect(view).toMatchObject({ state: "included", evidence: { root, transaction, count: others + 1 } });
    const evidence = (view as Extract<InclusionView, { state: "included" }>).evidence;
    const { layers, verdict } = await appraise({
      receipt: withLater(fixture.receipt, evidence),
      own: [evidence],
      policy: withRelay(fixture.policy, seller.reference.relays),
      now: new Date(),
      evaluateAt: fixture.evaluateAt,
    });
    expect(layers.inclusion).toMatchObject({ status: "pass" });
    expect(verdict).toBe("verified");
  });

  test("is waited for while it is in no batch, the seller knows nothing of it, or its batch is gone", async () => {
    published.clear();
    expect(await observe()).toEqual({ state: "pending" });
    published.set(`/v1/inclusions/${inclusionIdOf(ours)}`, { status: 202, body: { state: "pending" } });
    expect(await observe()).toEqual({ state: "pending" });
    const { root } = await publishHonestly([ours]);
    published.delete(`/v1/batches/${root}`);
    expect(await observe()).toEqual({ state: "pending" });
  });

  test("is waited for until the chain has confirmed its root", async () => {
    await publishHonestly([ours, ...neighbours(1)]);
    expect(await observe({ confirmations: 2 })).toEqual({ state: "pending" });
    const test = createTestClient({ chain: foundry, mode: "anvil", transport: transport(anvil.rpcUrl) });
    await test.mine({ blocks: 1 });
    expect(await observe({ confirmations: 2 })).toEqual({ state: "pending" });
    await test.mine({ blocks: 1 });
    expect(await observe({ confirmations: 2 })).toMatchObject({ state: "included" });
  });

  test("is waited for again when the chain drops the block with its root", async () => {
    const test = createTestClient({ chain: foundry, mode: "anvil", transport: transport(anvil.rpcUrl) });
    const before = await test.snapshot();
    await publishHonestly([ours, ...neighbours(2)]);
    expect(await observe()).toMatchObject({ state: "included" });
    await test.revert({ id: before });
    expect(await observe()).toEqual({ state: "pending" });
    await test.mine({ blocks: 3 });
    expect(await observe()).toEqual({ state: "pending" });
  });

  test("is not looked for where nothing was signed or no relay is pinned", async () => {
    const { core, later } = fixture.receipt;
    const bare = createReceipt({ ...core, evidence: core.evidence.filter(({ kind }) => kind !== "signature.tee") });
    const looked = await observeInclusion({ receipt: { ...bare, later }, seller, provider, chains: chainsWith(0) });
    expect(looked).toEqual({ state: "absent", code: "not_signed" });
    const unpinned = { ...seller, reference: { ...seller.reference, relays: [] } };
    expect(await observe({ as: unpinned })).toEqual({ state: "absent", code: "relay_not_pinned" });
  });
});

describe("a seller is caught that", () => {
  const caught = (code: string) => ({ state: "contradicted", code });

  test("leaves the answer out of the batch that it names", async () => {
    await publishHonestly(neighbours(4));
    expect(await observe()).toEqual(caught("leaf_missing"));
  });

  test.each<[string, Partial<InclusionLeaf>, string]>([
    ["answer", { outputHash: `0x${"5e".repeat(32)}` }, "leaf_changed"],
    ["time", { timestamp: 1_770_000_000 }, "leaf_changed"],
    ["key", { teeId: `0x${"5e".repeat(32)}` }, "leaf_changed"],
    ["request", { inputHash: `0x${"5e".repeat(32)}` }, "leaf_missing"],
    ["signature", { signature: `0x${"5e".repeat(256)}` }, "leaf_signature_mismatch"],
  ])("anchors another %s in its place", async (_what, change, code) => {
    await publishHonestly([...neighbours(2), { ...ours, ...change }]);
    expect(await observe()).toEqual(caught(code));
  });

  test("puts it into the batch twice", async () => {
    await publishHonestly([ours, ...neighbours(2), ours]);
    expect(await observe()).toEqual(caught("leaf_duplicated"));
  });

  test("anchors a batch of another size than it publishes", async () => {
    const { root, batch } = batchOf([ours, ...neighbours(3)]);
    publish(root, await anchored(root, 5), batch);
    expect(await observe()).toEqual(caught("count_mismatch"));
  });

  test("publishes fewer answers, or others, than are under the root, whatever its own tree says", async () => {
    const whole = batchOf([ours, ...neighbours(3)]);
    const transaction = await anchored(whole.root, 4);
    publish(whole.root, transaction, { ...whole.batch, values: whole.batch.values.slice(0, 3) });
    expect(await observe()).toEqual(caught("batch_root_mismatch"));
    const others = batchOf([ours, ...neighbours(4).slice(1)]);
    publish(whole.root, transaction, { ...whole.batch, values: others.batch.values });
    expect(await observe()).toEqual(caught("batch_root_mismatch"));
  });

  test("anchors another root than the published one", async () => {
    const { root, batch } = batchOf([ours, ...neighbours(3)]);
    publish(root, await anchored(batchOf(neighbours(4)).root, 4), batch);
    expect(await observe()).toEqual(caught("anchored_root_mismatch"));
  });

  test("has it anchored at another contract", async () => {
    const other = await openRelay(anvil, bank);
    const { root, batch } = batchOf([ours, ...neighbours(3)]);
    publish(root, await anchored(root, 4, other), batch);
    expect(await observe()).toEqual(caught("contract_mismatch"));
    expect(await observe({ as: sellerOf(seller.origin ?? "", other.address) })).toMatchObject({ state: "included" });
  });

  test("names a transaction that anchors nothing, or that failed", async () => {
    const { root, batch } = batchOf([ours]);
    const wallet = createWalletClient({
      account: privateKeyToAccount(await bank.fundedKey()),
      chain: foundry,
      transport: transport(anvil.rpcUrl),
    }).extend(publicActions);
    publish(root, await settledBy(wallet.sendTransaction({ to: wallet.account.address, value: 1n })), batch);
    expect(await observe()).toEqual(caught("not_anchored"));
    const failed = await settledBy(wallet.sendTransaction({ to: relay.address, data: "0xdeadbeef", gas: 100_000n }));
    publish(root, failed, batch);
    expect(await observe()).toEqual(caught("not_anchored"));
  });

  test("names a transaction that nobody has seen: nothing is concluded yet", async () => {
    const { root, batch } = batchOf([ours]);
    publish(root, `0x${"77".repeat(32)}`, batch);
    expect(await observe()).toEqual({ state: "pending" });
  });
});

describe("what cannot be read is an error, and asked for again:", () => {
  test.each<[string, (batch: PublishedBatch) => unknown]>([
    ["no JSON object", () => "batch"],
    ["another format", (batch) => ({ ...batch, format: "simple-v1" })],
    ["another encoding", (batch) => ({ ...batch, leafEncoding: ["bytes32", "bytes32"] })],
    ["no answers", (batch) => ({ ...batch, values: [] })],
    ["too many answers", (batch) => ({ ...batch, values: Array.from({ length: 1025 }, () => batch.values[0]) })],
    ["a short hash", (batch) => ({ ...batch, values: [{ value: ["0x12", ...batch.values[0]!.value.slice(1)] }] })],
    [
      "a time that is no number",
      (batch) => ({ ...batch, values: [{ value: [...batch.values[0]!.value.slice(0, 4), "1e9"] }] }),
    ],
  ])("%s", async (_what, spoil) => {
    const { root, batch } = batchOf([ours]);
    publish(root, `0x${"77".repeat(32)}`, spoil(batch));
    await expect(observe()).rejects.toMatchObject({ code: "malformed_seller_data" });
  });

  test("an inclusion that says neither, a seller that fails, a chain that is away or not configured", async () => {
    const path = `/v1/inclusions/${inclusionIdOf(ours)}`;
    published.set(path, { status: 200, body: { state: "anchored", root: "0x1" } });
    await expect(observe()).rejects.toMatchObject({ code: "malformed_seller_data" });
    published.set(path, { status: 500, body: {} });
    await expect(observe()).rejects.toMatchObject({ code: "seller_error" });
    await publishHonestly([ours]);
    const look = (chains: Parameters<typeof observeInclusion>[0]["chains"]) =>
      observeInclusion({ receipt: fixture.receipt, seller, provider, chains });
    await expect(look(new Map())).rejects.toMatchObject({ code: "network_not_configured" });
    const away = { network: "eip155:31337", rpcUrl: "http://127.0.0.1:9", confirmations: 0, pollMilliseconds: 20 };
    await expect(look(new Map([["eip155:31337", openChain(away)]]))).rejects.toMatchObject({
      code: "chain_unreachable",
    });
  });
});

test("a purchase from a real node is included and verified; an answer changed after signing never is", async () => {
  const market = await openMarket();
  ends.push(() => market.stop());
  const config = market.config();
  const chains = new Map(config.networks.map((network) => [network.network, openChain(network)]));
  const buyer = await market.buyer();
  const look = async (id: string) => {
    const result = await buyWith(buyer, {
      model: "eth-risk",
      input: ETH_FEATURES,
      seller: id,
      wait: "verified",
      idempotencyKey: `anchored-${id}`,
    });
    const { receipt } = result;
    const from = config.sellers.find((one) => one.id === id)!;
    return { receipt, view: () => observeInclusion({ receipt, seller: from, provider, chains }) };
  };
  const honest = await look("honest");
  const evidence = await eventually(async () => {
    const view = await honest.view();
    expect(view.state).toBe("included");
    return (view as Extract<InclusionView, { state: "included" }>).evidence;
  });
  expect(evidence.log.address).toBe(market.devnet.relay);
  // It passes once this buyer has seen it, too: before, it is what a file tells.
  await eventually(async () => {
    const judged = await buyer.verify(withLater(honest.receipt, evidence));
    expect(judged.layers.inclusion).toMatchObject({ status: "pass" });
    expect(judged.verdict).toBe("verified");
  });
  // The dishonest node anchors what it signed, which is not what it sent.
  const cheated = await look("tampering");
  expect(await cheated.view()).toEqual({ state: "pending" });
});
