import { erc20Abi } from "viem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import type { ChainClient } from "../../src/chain/client.ts";
import { devMulticall } from "../../src/devnet/contracts/dev-multicall.artifact.ts";
import { observeSettlement } from "../../src/payment/settlement.ts";
import { noteClaim } from "../../src/payment/sightings.ts";
import { lookOnce } from "../../src/payment/witness.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { rpcInFront, type Lie, type RpcCall } from "../support/rpc.ts";
import { openGround, type Ground } from "./chain/purchases.ts";
import { NETWORK } from "./fixtures.ts";

let ground: Ground;
let db: Db;
beforeAll(async () => {
  ground = await openGround("1000000");
  db = await openDatabase(":memory:");
});
afterAll(async () => {
  await db.destroy();
  await ground.stop();
});

/** Reads many contracts in one call. */
const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";
const chainAt = (rpcUrl: string): Chain =>
  openChain({ network: NETWORK, rpcUrl, confirmations: 0, pollMilliseconds: 20 });
const read = (chain: Chain): Promise<bigint> => chain.read((client) => client.getBlockNumber());

describe("T37: an RPC that serves another chain", () => {
  it("from one look to the next is noticed at that look", async () => {
    let other = false;
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      other && method === "eth_chainId" ? { result: "0x1" } : undefined,
    );
    const chain = chainAt(rpc.url);
    expect(await read(chain)).toBeGreaterThan(0n);
    other = true;
    await expect(read(chain)).rejects.toMatchObject({ code: "wrong_chain", details: { answered: 1 } });
    other = false;
    expect(await read(chain)).toBeGreaterThan(0n);
  });

  it.each<[string, unknown, string | null]>([
    ["one above 2^53", "0x20000000000007a69", "36893488147419134569"],
    ["one of 64 digits", `0x${"f".repeat(64)}`, String(2n ** 256n - 1n)],
    ["none at all", "0x", null],
    ["no hex digits", "0x7a6g", null],
    ["a negative one", "-0x7a69", null],
    ["decimal digits", "31337", null],
    ["the number itself", 31337, null],
    ["more than fits", `0x${"0".repeat(61)}7a69`, null],
    ["null", null, null],
    ["an object", { chainId: "0x7a69" }, null],
  ])("by %s is no chain that is believed", async (_name, result, answered) => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      method === "eth_chainId" ? { result } : undefined,
    );
    await expect(read(chainAt(rpc.url))).rejects.toMatchObject({
      code: "wrong_chain",
      details: { network: NETWORK, answered },
    });
    expect(new Set(rpc.calls.map(({ method }) => method))).toEqual(new Set(["eth_chainId"]));
  });

  it("in the middle of a look is not believed", async () => {
    let looked = false;
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) => {
      if (method === "eth_chainId") return looked ? { result: "0x1" } : undefined;
      looked = true;
      return undefined;
    });
    await expect(read(chainAt(rpc.url))).rejects.toMatchObject({ code: "wrong_chain" });
  });
});

describe("T37: an RPC that answers", () => {
  const NOBODY = `0x${"0d".repeat(20)}` as const;
  const balanceOf = (address: `0x${string}`) => (client: ChainClient) =>
    client.readContract({ address, abi: erc20Abi, functionName: "balanceOf", args: [NOBODY] });

  it("and has no contract at an address is told of by that, alone and in a call of many", async () => {
    const chain = chainAt(ground.anvil.rpcUrl);
    const missing = { code: "contract_missing", details: { network: NETWORK, address: NOBODY } };
    await expect(chain.read(balanceOf(NOBODY))).rejects.toMatchObject(missing);
    await ground.chain.client.setCode({ address: MULTICALL3, bytecode: devMulticall.runtime });
    const many = { abi: erc20Abi, functionName: "balanceOf", args: [NOBODY] } as const;
    const contracts = [NOBODY, ground.chain.token].map((address) => ({ ...many, address }));
    const asked = chain.read((client) => client.readContracts(contracts));
    await expect(asked).rejects.toMatchObject(missing);
  });

  it.each<[string, Lie]>([
    ["nothing where a contract stands", { result: "0x" }],
    ["less than a word", { result: "0x01" }],
    ["no hex", { result: "zz" }],
    ["an object", { result: {} }],
  ])("with %s is not unreachable: its answer cannot be used", async (_name, lie) => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) => (method === "eth_call" ? lie : undefined));
    const asked = chainAt(rpc.url).read(balanceOf(ground.chain.token));
    await expect(asked).rejects.toMatchObject({ code: "chain_answer_unusable", money: undefined });
  });

  it("and shows no token where one was paid has not shown that it was not", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      ["eth_call", "eth_getCode"].includes(method) ? { result: "0x" } : undefined,
    );
    const chain = chainAt(rpc.url);
    const { payment, createdAt } = await ground.bought(db);
    await expect(observeSettlement(chain, payment)).rejects.toMatchObject({
      code: "contract_missing",
      details: { address: payment.asset },
    });
    expect(await lookOnce({ db, chain, payment, now: await ground.now(), since: new Date(createdAt) })).toEqual({
      state: "pending",
      doubt: "contract_missing",
    });
  });

  it("nothing of a contract that it says is there, or cannot say, names no missing one", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      method === "eth_getCode" ? { error: { code: -32000, message: "pruned" } } : undefined,
    );
    await expect(chainAt(rpc.url).read(balanceOf(NOBODY))).rejects.toMatchObject({ code: "chain_unreachable" });
  });
});

describe("T46: an RPC over HTTPS whose certificate the environment would not have checked", () => {
  it("is not opened, and one on this machine without TLS is", () => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect(() => chainAt("https://rpc.example")).toThrow(
        expect.objectContaining({ code: "tls_unchecked", next: expect.stringContaining("NODE_EXTRA_CA_CERTS") }),
      );
      expect(chainAt(ground.anvil.rpcUrl).network).toBe(NETWORK);
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
    expect(chainAt("https://rpc.example").network).toBe(NETWORK);
  });
});

describe("T38: an RPC that stalls", () => {
  it.each<[string, Lie]>([
    ["429 and an hour to wait", { status: 429, headers: { "retry-after": "3600" } }],
    ["503 and an hour to wait", { status: 503, headers: { "retry-after": "3600" } }],
    ["500 and a date to wait for", { status: 500, headers: { "retry-after": "Fri, 31 Dec 2100 23:59:59 GMT" } }],
    ["a place elsewhere", { status: 307, headers: { location: "http://127.0.0.1:1/" } }],
  ])("with %s is asked twice at most, and unreachable", async (_name, lie) => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, () => lie);
    await expect(read(chainAt(rpc.url))).rejects.toMatchObject({ code: "chain_unreachable", money: undefined });
    expect(rpc.calls.length).toBeLessThanOrEqual(2);
  });

  it("by saying nothing is unreachable once the look's time is over, or its caller goes", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      method === "eth_chainId" ? undefined : "silence",
    );
    const chain = chainAt(rpc.url);
    const block = (limits: { seconds?: number; signal?: AbortSignal }) =>
      chain.read((client) => client.getBlockNumber(), limits);
    await expect(block({ seconds: 1 })).rejects.toMatchObject({ code: "chain_unreachable" });
    const caller = new AbortController();
    const looking = block({ seconds: 3600, signal: caller.signal });
    caller.abort();
    await expect(looking).rejects.toMatchObject({ code: "chain_unreachable" });
  });
});

const blocksOf = ({ method, params }: RpcCall): number => {
  if (method !== "eth_getLogs") return 0;
  const [{ fromBlock, toBlock }] = params as [{ fromBlock: string; toBlock: string }];
  return Number(BigInt(toBlock) - BigInt(fromBlock)) + 1;
};

describe("an RPC that allows few blocks a look", () => {
  it.each<[number, Lie]>([
    [10, { error: { code: -32600, message: "eth_getLogs is limited to a 10 block range" } }],
    [100, { status: 400, body: '{"error":"block range"}' }],
    [500, { error: { code: -32602, message: "You can make eth_getLogs requests with up to a 500 block range." } }],
    [1024, { error: { code: -32005, message: "query returned more than 10000 results" } }],
  ])("of %i: the use is found without a hint", async (most, refusal) => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, (call) => (blocksOf(call) > most ? refusal : undefined));
    // As many blocks lie in the hour before the payment as on a chain with a block every two seconds.
    await ground.chain.client.mine({ blocks: 300, interval: 2 });
    const purchase = await ground.bought(db);
    const transaction = await ground.redeem(purchase);
    await ground.chain.client.mine({ blocks: 60, interval: 2 });
    const since = Math.floor(purchase.createdAt / 1000);
    const seen = await observeSettlement(chainAt(rpc.url), purchase.payment, { since });
    expect(seen).toMatchObject({ state: "settled", transaction });
    expect(rpc.calls.filter(({ method }) => method === "eth_getLogs").length).toBeLessThan(40);
  });

  it("and is away for a while: then it is asked for as many as before", async () => {
    let away = true;
    const rpc = await rpcInFront(ground.anvil.rpcUrl, (call) =>
      away && blocksOf(call) > 0 ? { status: 503 } : undefined,
    );
    const chain = chainAt(rpc.url);
    await ground.chain.client.mine({ blocks: 300, interval: 2 });
    const purchase = await ground.bought(db);
    const transaction = await ground.redeem(purchase);
    const since = Math.floor(purchase.createdAt / 1000);
    const look = () => observeSettlement(chain, purchase.payment, { since });
    await expect(look()).rejects.toMatchObject({ code: "chain_unreachable" });
    away = false;
    rpc.calls.length = 0;
    expect(await look()).toMatchObject({ state: "settled", transaction });
    expect(rpc.calls.filter((call) => blocksOf(call) > 0).length).toBeLessThan(4);
  });

  it("and of no logs at all: the transaction that the seller named is found by a later look", async () => {
    let knows = false;
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) => {
      if (method === "eth_getLogs") return { error: { code: -32601, message: "not served here" } };
      return method === "eth_getTransactionReceipt" && !knows
        ? { error: { code: -32000, message: "busy" } }
        : undefined;
    });
    const chain = chainAt(rpc.url);
    const purchase = await ground.bought(db);
    const { payment } = purchase;
    const transaction = await ground.redeem(purchase);
    const look = async () =>
      lookOnce({ db, chain, payment, now: await ground.now(), since: new Date(purchase.createdAt) });
    await noteClaim(db, payment, { success: true, transaction });
    expect(await look()).toEqual({ state: "pending", doubt: "chain_unreachable" });
    knows = true;
    expect(await look()).toMatchObject({ state: "settled", transaction });
  });

  it.each([0, 1])(
    "and of two nodes, of which one has no transaction yet: it is found at once (turn %i)",
    async (turn) => {
      let asked = turn;
      const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) => {
        asked += 1;
        return method === "eth_getTransactionReceipt" && asked % 2 === 0 ? { result: null } : undefined;
      });
      const purchase = await ground.bought(db);
      const transaction = await ground.redeem(purchase);
      const since = Math.floor(purchase.createdAt / 1000);
      for (const hint of [{}, { transactionHint: transaction }])
        expect(await observeSettlement(chainAt(rpc.url), purchase.payment, { since, ...hint })).toMatchObject({
          state: "settled",
          transaction,
        });
    },
  );
});
