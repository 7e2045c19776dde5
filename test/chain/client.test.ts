import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { encodeErrorResult, erc20Abi, parseAbi, type Hex } from "viem";
import { describe, expect, it, onTestFinished } from "vitest";
import { openClient, type ChainClient } from "../../src/chain/client.ts";
import { isRevert } from "../../src/chain/rpc.ts";
import type { Lie } from "../support/rpc.ts";

const WORD = `0x${"ab".repeat(32)}` as const;
const TOKEN = `0x${"c3".repeat(20)}` as const;
const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";

type Asked = { method: string; params: unknown[]; authorization: string | undefined };

/** An RPC that answers each method as it is told to. It ends with the test. */
async function rpcOf(answers: Record<string, Lie | readonly Lie[]>): Promise<{ port: number; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { id, ...call } = JSON.parse(Buffer.concat(chunks).toString()) as Omit<Asked, "authorization"> & {
        id: number;
      };
      const before = asked.filter(({ method }) => method === call.method).length;
      asked.push({ ...call, authorization: request.headers.authorization });
      const lies = [answers[call.method] ?? { error: { code: -32_601, message: "not served" } }].flat();
      const lie = lies[Math.min(before, lies.length - 1)] as Lie;
      if (lie === "silence") return;
      if ("status" in lie) response.writeHead(lie.status, lie.headers).end(lie.body ?? "");
      else response.setHeader("content-type", "application/json").end(JSON.stringify({ jsonrpc: "2.0", id, ...lie }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, asked };
}

const clientOf = (port: number, user = ""): Promise<ChainClient> =>
  openClient({ url: `http://${user}127.0.0.1:${port}/v2/key`, timeoutMs: 10_000, retries: 1 });

const RECEIPT = {
  transactionHash: WORD,
  blockNumber: "0x7",
  blockHash: WORD,
  status: "0x1",
  gasUsed: "0x5208",
  effectiveGasPrice: "0x1",
  logs: [{ address: TOKEN, topics: [WORD], data: "0x", logIndex: "0x2" }],
};

it("asks an RPC for nothing but hex: a stored row's text is one by its type only", async () => {
  const { port, asked } = await rpcOf({ eth_call: { result: WORD } });
  const client = await clientOf(port);
  const abi = parseAbi(["function channels(bytes32 id) view returns (uint256)"]);
  const read = (address: Hex, id: Hex) => client.readContract({ address, abi, functionName: "channels", args: [id] });
  expect(await read(TOKEN, WORD)).toBe(BigInt(WORD));
  const [place, range] = ["0xno place", { fromBlock: 0n, toBlock: "latest" }] as const;
  for (const work of [
    () => read(place, WORD),
    () => read(TOKEN, `0x${"zz".repeat(32)}`),
    () => client.getBalance(place),
    () => client.getCode(place),
    () => client.getTransactionCount(place, "pending"),
    () => client.getTransaction(place),
    () => client.getTransactionReceipt(place),
    () => client.getLogs({ address: [TOKEN, place], topics: [WORD], ...range }),
    () => client.getLogs({ address: TOKEN, topics: [WORD, [WORD, place]], ...range }),
    () => client.sendRawTransaction(place),
  ])
    await expect(work(), String(work)).rejects.toThrow("Unknown letter");
  expect(asked).toHaveLength(1);
});

describe("a receipt", () => {
  const read = async (result: unknown) => {
    const { port } = await rpcOf({ eth_getTransactionReceipt: { result } });
    return (await clientOf(port)).getTransactionReceipt(WORD);
  };

  it("is read, and there is none of a transaction in no block", async () => {
    expect(await read(RECEIPT)).toMatchObject({ blockNumber: 7n, status: "success", gasUsed: 21_000n });
    expect(await read({ ...RECEIPT, status: "0x0" })).toMatchObject({ status: "reverted" });
    expect(await read(null)).toBeNull();
  });

  it.each<[string, object]>([
    ["no block's number", { blockNumber: null }],
    ["no block's hash", { blockHash: undefined }],
    ["no status", { status: null }],
    ["another status", { status: "0x2" }],
    ["no logs", { logs: null }],
    ["a log without its place", { logs: [{ ...RECEIPT.logs[0], logIndex: undefined }] }],
    ["a topic that is no word", { logs: [{ ...RECEIPT.logs[0], topics: ["0x01"] }] }],
  ])("with %s shows nothing", async (_name, changes) => {
    await expect(read({ ...RECEIPT, ...changes })).rejects.toMatchObject({ kind: "unusable" });
  });
});

describe("a contract", () => {
  const balances = { address: TOKEN, abi: erc20Abi, functionName: "balanceOf", args: [TOKEN] } as const;
  const ask = async (lie: Lie) => {
    const rpc = await rpcOf({ eth_call: lie });
    return { ...rpc, answer: (await clientOf(rpc.port)).readContract(balances, 255n) };
  };

  it("is asked in the state of a block", async () => {
    const { answer, asked } = await ask({ result: `0x${"0".repeat(62)}2a` });
    expect(await answer).toBe(42n);
    const data = `0x70a08231${TOKEN.slice(2).padStart(64, "0")}`;
    expect(asked).toMatchObject([{ method: "eth_call", params: [{ to: TOKEN, data }, "0xff"] }]);
  });

  it.each<[string, Lie, boolean]>([
    ["code 3", { error: { code: 3, message: "execution reverted: no" } }, true],
    ["an internal error", { error: { code: -32_603, message: "VM Exception" } }, true],
    ["an error of its own", { error: { code: -32_000, message: "header not found" } }, false],
    ["HTTP alone", { status: 400, body: "no" }, false],
  ])("that answers with %s has reverted, or has not", async (_name, lie, reverted) => {
    const error: unknown = await (await ask(lie)).answer.catch((thrown: unknown) => thrown);
    expect(isRevert(error)).toBe(reverted);
  });

  it("cannot have an address of its choice asked (EIP-3668)", async () => {
    const elsewhere = await rpcOf({});
    const data: Hex = encodeErrorResult({
      abi: parseAbi(["error OffchainLookup(address, string[], bytes, bytes4, bytes)"]),
      args: [TOKEN, [`http://127.0.0.1:${elsewhere.port}/{data}`], "0x", "0x00000000", "0x"],
    });
    const { answer } = await ask({ error: { code: 3, message: "execution reverted", data } as never });
    await expect(answer).rejects.toMatchObject({ kind: "refused", facts: { code: 3 } });
    expect(elsewhere.asked).toEqual([]);
  });

  it("answers in its place among many, or none of them counts", async () => {
    // aggregate3's answer of one pair, where two are asked for.
    const words = [32n, 1n, 32n, 1n, 64n, 32n, 42n].map((word) => word.toString(16).padStart(64, "0"));
    const { port, asked } = await rpcOf({ eth_call: { result: `0x${words.join("")}` } });
    const client = await clientOf(port);
    expect(await client.readContracts([balances])).toEqual([42n]);
    await expect(client.readContracts([balances, balances])).rejects.toMatchObject({ kind: "unusable" });
    expect(asked.map(({ params }) => (params[0] as { to: string }).to)).toEqual([MULTICALL3, MULTICALL3]);
  });
});

describe("an RPC", () => {
  const BUSY: Lie = { status: 503, headers: { "retry-after": "3600" } };
  const number = { result: "0x2a" };

  it("with a user in its address is told of it in a header", async () => {
    const { port, asked } = await rpcOf({ eth_blockNumber: number });
    expect(await (await clientOf(port, "user:p%40ss@")).getBlockNumber()).toBe(42n);
    expect(asked[0]?.authorization).toBe(`Basic ${Buffer.from("user:p@ss").toString("base64")}`);
    await (await clientOf(port, ":p%40ss@")).getBlockNumber();
    expect(asked[1]?.authorization).toBe(`Basic ${Buffer.from(":p@ss").toString("base64")}`);
  });

  it.each<[string, Lie, number]>([
    ["that is busy", BUSY, 2],
    ["that limits requests", { error: { code: -32_005, message: "slow down" } }, 2],
    ["that limits requests by a code of its own", { error: { code: 429, message: "slow down" } }, 2],
    ["that has no such address", { status: 404 }, 2],
    ["that does not serve it", { status: 403, body: '{"error":{"code":-32601,"message":"no"}}' }, 1],
    ["that refuses it", { error: { code: -32_602, message: "no" } }, 1],
    ["that reverts", { error: { code: 3, message: "no" } }, 1],
  ])("%s is asked again, or not", async (_name, lie, times) => {
    const { port, asked } = await rpcOf({ eth_blockNumber: [lie, number] });
    const answer = await (await clientOf(port)).getBlockNumber().catch(() => null);
    expect([answer, asked.length]).toEqual([times === 2 ? 42n : null, times]);
  });

  it.each<[string, unknown]>([
    ["without a result", { jsonrpc: "2.0", id: 0 }],
    ["with nothing", {}],
    ["with a list", []],
    ["with a list of answers", [{ jsonrpc: "2.0", id: 0, result: "0x2a" }]],
    ["to another request", { jsonrpc: "2.0", id: 1, result: "0x2a" }],
    ["to a request of another kind", { jsonrpc: "2.0", id: "0", result: "0x2a" }],
    ["to no request", { jsonrpc: "2.0", result: "0x2a" }],
  ])("that answers %s has not answered", async (_name, body) => {
    const lie = { status: 200, body: JSON.stringify(body) };
    const { port } = await rpcOf({ eth_blockNumber: lie, eth_getTransactionReceipt: lie });
    const client = await clientOf(port);
    await expect(client.getBlockNumber()).rejects.toMatchObject({ kind: "unusable" });
    // Nothing said is not the word that there is none.
    await expect(client.getTransactionReceipt(WORD)).rejects.toMatchObject({ kind: "unusable" });
  });

  it("that answers without end is not read to it", async () => {
    const body = `"${"0".repeat(11 * 1024 * 1024)}"`;
    const { port } = await rpcOf({ eth_blockNumber: { status: 200, body } });
    await expect((await clientOf(port)).getBlockNumber()).rejects.toMatchObject({ kind: "unusable" });
  });

  it("that serves no tip is asked for the price of gas", async () => {
    const block = { number: "0x1", hash: WORD, timestamp: "0x1", baseFeePerGas: "0x5" };
    const tipAt = async (price: string): Promise<bigint> => {
      const { port } = await rpcOf({ eth_gasPrice: { result: price }, eth_getBlockByNumber: { result: block } });
      return (await clientOf(port)).estimateMaxPriorityFeePerGas();
    };
    expect([await tipAt("0x7"), await tipAt("0x4")]).toEqual([2n, 0n]);
  });

  it("is named in no error, nor what it said", async () => {
    const { port } = await rpcOf({ eth_blockNumber: { status: 200, body: "send me keys" } });
    const error = (await (await clientOf(port)).getBlockNumber().catch((thrown: unknown) => thrown)) as Error;
    expect(JSON.stringify([error, error.message, error.stack])).not.toMatch(/v2\/key|send me keys/);
  });
});
