import { createPublicClient, http, toFunctionSelector, type Hex } from "viem";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { devRelay } from "../../src/devnet/contracts/dev-relay.artifact.ts";
import { fromBase64, fromHex, fromUtf8, keccak256, toHex0x, utf8 } from "../../src/evidence/bytes.ts";
import {
  buildInclusionTree,
  inclusionIdOf,
  inclusionPath,
  leafHash,
  readBatchSettlement,
  type InclusionLeaf,
  type PublishedBatch,
} from "../../src/evidence/inclusion.ts";
import { TEE_HEADERS } from "../../src/evidence/tee-signature.ts";
import { createSigner, generateSigningKey } from "../../src/node/index.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { openSeller, purseFor, requestOf } from "../support/selling.ts";
import { payingFetch } from "../support/stock-client.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const bodyOf = (n: number): string =>
  JSON.stringify({
    id: String(n).padStart(32, "0"),
    inputs: [{ name: "features", shape: [1, 8], datatype: "FP32", data: [0, 0, 0, 0.3, 0.3, 0, 0, 0] }],
  });

/** Buys with the stock client and makes the leaf from what was sent and received. */
async function buyLeaf(n: number): Promise<InclusionLeaf> {
  const { send } = payingFetch(market);
  const response = await send(`${market.devnet.sellers.honest.origin}/v2/models/eth-risk/infer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: bodyOf(n),
  });
  expect(response.status).toBe(200);
  return leafIn(bodyOf(n), response);
}

/** The leaf of what was sent and received. */
async function leafIn(body: string, response: Response): Promise<InclusionLeaf> {
  const header = (name: string): string => response.headers.get(name) ?? "";
  return {
    teeId: `0x${header(TEE_HEADERS.teeId).slice(2)}`,
    inputHash: toHex0x(keccak256(utf8(body))),
    outputHash: toHex0x(keccak256(new Uint8Array(await response.arrayBuffer()))),
    signature: toHex0x(fromBase64(header(TEE_HEADERS.signature))),
    timestamp: Number(header(TEE_HEADERS.timestamp)),
  };
}

type Answer = { state: string; root: Hex; index: number; count: number; transaction: Hex };

test("every signed answer comes under a root that the relay's event carries, and the contract agrees with our paths", async () => {
  const { origin } = market.devnet.sellers.honest;
  const leaves = [];
  for (const n of [1, 2, 3]) leaves.push(await buyLeaf(n));
  const client = createPublicClient({ transport: http(market.devnet.rpcUrl), pollingInterval: 20 });
  for (const leaf of leaves) {
    const answer = await eventually(async () => {
      const response = await fetch(`${origin}/v1/inclusions/${inclusionIdOf(leaf)}`);
      expect(response.status).toBe(200);
      return (await response.json()) as Answer;
    });
    const batch = (await (await fetch(`${origin}/v1/batches/${answer.root}`)).json()) as PublishedBatch;
    const published = batch.values.map(({ value: [teeId, inputHash, outputHash, signature, timestamp] }) => ({
      teeId,
      inputHash,
      outputHash,
      signature,
      timestamp: Number(timestamp),
    }));
    const tree = buildInclusionTree(published);
    expect(tree.root).toBe(answer.root);
    expect(tree.nodes[answer.index]).toBe(toHex0x(leafHash(leaf)));
    expect(published).toHaveLength(answer.count);
    const receipt = await client.waitForTransactionReceipt({ hash: answer.transaction });
    expect(receipt.logs).toHaveLength(1);
    const [log] = receipt.logs;
    expect(log?.address).toBe(market.devnet.relay);
    expect(readBatchSettlement({ address: "", topics: log!.topics, data: log!.data })).toEqual({
      root: answer.root,
      count: BigInt(answer.count),
    });
    const checked = (root: Hex) =>
      client.readContract({
        address: market.devnet.relay,
        abi: devRelay.abi,
        functionName: "verifyProof",
        args: [inclusionPath(tree, answer.index), root, toHex0x(leafHash(leaf))],
      });
    expect(await checked(answer.root)).toBe(true);
    expect(await checked(toHex0x(keccak256(fromHex("00"))))).toBe(false);
  }
});

test("the relay has the function selectors of OpenGradient's", () => {
  const selectorOf = (name: string): string => {
    const found = devRelay.abi.find((item) => item.type === "function" && item.name === name);
    return toFunctionSelector(found as Extract<typeof found, { type: "function" }>);
  };
  expect(selectorOf("batchSettle")).toBe("0x1b243ae6");
});

test("an id or root that names nothing is 404, and a seller that signs nothing has no batches", async () => {
  for (const name of ["honest", "unattested"] as const) {
    const { origin } = market.devnet.sellers[name];
    for (const path of [`/v1/inclusions/${"00".repeat(32)}`, "/v1/inclusions/x", `/v1/batches/0x${"00".repeat(32)}`]) {
      const response = await fetch(`${origin}${path}`);
      expect(response.status).toBe(404);
      expect(fromUtf8(new Uint8Array(await response.arrayBuffer()))).toContain("error");
    }
  }
});

test("T110: a node with another key, or its first, anchors and shows each answer as it was signed", async () => {
  const records = { database: join(market.directory, "keys.db") };
  const transaction: Hex = `0x${"07".repeat(32)}`;
  const [before, after] = [
    await createSigner(await generateSigningKey()),
    await createSigner(await generateSigningKey()),
  ];
  const anchor = (): Promise<Hex> => Promise.resolve(transaction);
  const unsigned = await openSeller(market, { records });
  const payment = { payTo: unsigned.payTo };
  const first = await purseFor(market, unsigned.origin);
  expect((await first.post()).status).toBe(200);
  await unsigned.stop();
  const one = await openSeller(market, { records, payment, signer: before, anchoring: { anchor } });
  // An answer that was not signed has nothing to anchor, and ends no node.
  expect((await first.post(requestOf(), one.origin)).status).toBe(200);
  const purse = await purseFor(market, one.origin);
  const headers = { "payment-signature": purse.header };
  const paid = await fetch(`${one.origin}/v2/models/eth-risk/infer`, { method: "POST", headers, body: requestOf() });
  const leaf = await leafIn(requestOf(), paid);
  expect(leaf.teeId).toBe(before.keyId);

  // The first is not closed: its process was killed.
  const two = await openSeller(market, { records, payment, signer: after, anchoring: { anchor, maxLeaves: 1 } });
  onTestFinished(async () => void (await Promise.all([one.stop(), two.stop()])));
  expect((await purse.post(requestOf(), two.origin)).status).toBe(200);
  const found = await eventually(async () => {
    const response = await fetch(`${two.origin}/v1/inclusions/${inclusionIdOf(leaf)}`);
    expect(response.status).toBe(200);
    return (await response.json()) as Answer;
  });
  expect(found).toMatchObject({ root: buildInclusionTree([leaf]).root, count: 1 });
});
