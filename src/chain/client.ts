import type { Abi } from "ox/Abi";
import type * as AbiFunction from "ox/AbiFunction";
import type * as z from "zod";
import { fromHex0x, toHex0x, type Address, type Hex } from "../evidence/bytes.ts";
import * as answers from "./answers.ts";
import { openRpc, RpcFault, type RpcOptions } from "./rpc.ts";

/** Reads many contracts in one request; at the same address on every chain. */
const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";
const MULTICALL3_ABI = [
  {
    type: "function",
    name: "aggregate3",
    stateMutability: "payable",
    inputs: [
      {
        name: "calls",
        type: "tuple[]",
        components: [
          { name: "target", type: "address" },
          { name: "allowFailure", type: "bool" },
          { name: "callData", type: "bytes" },
        ],
      },
    ],
    outputs: [
      {
        name: "returnData",
        type: "tuple[]",
        components: [
          { name: "success", type: "bool" },
          { name: "returnData", type: "bytes" },
        ],
      },
    ],
  },
] as const;

type FunctionOf<abi extends Abi, name extends string> = Extract<abi[number], { type: "function"; name: name }>;
/** A function of a contract, asked with these arguments. */
export type ContractCall<abi extends Abi, name extends AbiFunction.Name<abi>> = {
  address: Address;
  abi: abi;
  functionName: name;
  args?: AbiFunction.encodeData.Args<FunctionOf<abi, name>>[0];
};
/** The function's output, or all of them where it has several. */
export type ContractAnswer<abi extends Abi, name extends string> = AbiFunction.decodeResult.ReturnType<
  FunctionOf<abi, name>
>;

export type Block = z.output<typeof answers.block>;
export type Transaction = z.output<typeof answers.transaction>;
export type TransactionReceipt = z.output<typeof answers.receipt>;
export type FoundLog = z.output<typeof answers.logs>[number];
export type LogFilter = {
  address: Address | readonly Address[];
  /** By their place; one of several where there is a list. */
  topics: readonly (Hex | readonly Hex[])[];
  fromBlock: bigint;
  toBlock: bigint | "latest";
};

/** What is asked of a chain's RPC. Each method throws {@link RpcFault}. Hex is as the RPC wrote it, in either case. */
export type ChainClient = {
  /** As the RPC says it, which may be no chain id. */
  chainId(): Promise<unknown>;
  /** The block of that number, or the newest. */
  getBlock(number?: bigint): Promise<Block>;
  getPendingBlock(): Promise<z.output<typeof answers.pendingBlock>>;
  getBlockNumber(): Promise<bigint>;
  /** Wei, as the newest block has it. */
  getBalance(address: Address): Promise<bigint>;
  getCode(address: Address): Promise<Hex>;
  /** Transactions that the account has made, as of a block, or with those that wait. */
  getTransactionCount(address: Address, block: bigint | "pending"): Promise<number>;
  getTransaction(hash: Hex): Promise<Transaction>;
  /** Null of a transaction that is in no block. */
  getTransactionReceipt(hash: Hex): Promise<TransactionReceipt | null>;
  getLogs(filter: LogFilter): Promise<FoundLog[]>;
  /** Reads a contract in the state of that block, or of the newest. */
  readContract<const abi extends Abi, name extends AbiFunction.Name<abi>>(
    call: ContractCall<abi, name>,
    blockNumber?: bigint,
  ): Promise<ContractAnswer<abi, name>>;
  /** Reads many contracts as the newest block has them, in their order and in one request. */
  readContracts<const abi extends Abi, name extends AbiFunction.Name<abi>>(
    calls: readonly ContractCall<abi, name>[],
  ): Promise<ContractAnswer<abi, name>[]>;
  /** The same, with null in place of those that cannot be read. */
  readSome<const abi extends Abi, name extends AbiFunction.Name<abi>>(
    calls: readonly ContractCall<abi, name>[],
  ): Promise<(ContractAnswer<abi, name> | null)[]>;
  /** Gas of a transaction. */
  estimateGas(transaction: { from: Address; to: Address; data: Hex }): Promise<bigint>;
  /** What a transaction pays for each gas on top of the base fee, wei. */
  estimateMaxPriorityFeePerGas(): Promise<bigint>;
  sendRawTransaction(raw: Hex): Promise<void>;
};

/** A call as far as it is not typed by its contract. */
type AnyCall = { address: Address; abi: Abi; functionName: string; args?: unknown };

const hexNumber = (value: bigint): Hex => `0x${value.toString(16)}`;
/** Hex for a request, lower case. Types do not hold a stored row's text to hex: throws TypeError on anything else. */
const plain = (text: Hex): Hex => toHex0x(fromHex0x(text));
const allPlain = (texts: Hex | readonly Hex[]): Hex | Hex[] =>
  typeof texts === "string" ? plain(texts) : texts.map(plain);
const tagOf = (block: bigint | "pending" | "latest" = "latest"): string =>
  typeof block === "bigint" ? hexNumber(block) : block;

/** Opens a client of an RPC. No request is made. */
export async function openClient(options: RpcOptions): Promise<ChainClient> {
  const request = openRpc(options);
  const abiFunction = await import("ox/AbiFunction");
  const { decodeResult, encodeData, fromAbi } = abiFunction;
  const ask = async <Form extends z.ZodType>(
    form: Form,
    method: string,
    params: readonly unknown[] = [],
  ): Promise<z.output<Form>> => answers.readAs(form, await request(method, params));

  const encode = ({ abi, functionName, args = [] }: AnyCall): Hex =>
    plain(encodeData(abi, functionName, args as readonly unknown[]));
  const decode = ({ abi, functionName, address }: AnyCall, data: Hex): unknown => {
    if (data === "0x") throw new RpcFault("empty", { address });
    try {
      return decodeResult(fromAbi(abi, functionName), data);
    } catch {
      throw new RpcFault("unusable");
    }
  };
  const call = async (asked: AnyCall, blockNumber?: bigint): Promise<unknown> => {
    const transaction = { to: plain(asked.address), data: encode(asked) };
    return decode(asked, await ask(answers.bytes, "eth_call", [transaction, tagOf(blockNumber)]));
  };
  const aggregate = async (asked: readonly AnyCall[]): Promise<(() => unknown)[]> => {
    const calls = asked.map((one) => ({ target: one.address, allowFailure: true, callData: encode(one) }));
    const many = { address: MULTICALL3, abi: MULTICALL3_ABI, functionName: "aggregate3", args: [calls] } as const;
    const results = (await call(many)) as ContractAnswer<typeof MULTICALL3_ABI, "aggregate3">;
    if (results.length !== asked.length) throw new RpcFault("unusable");
    return asked.map((one, at) => () => {
      const { success, returnData } = results[at] ?? { success: false, returnData: "0x" };
      if (!success) throw new RpcFault("reverted", { address: one.address });
      return decode(one, returnData);
    });
  };

  const getBlock = async (number?: bigint): Promise<Block> =>
    ask(answers.block, "eth_getBlockByNumber", [tagOf(number), false]);

  return {
    chainId: () => request("eth_chainId"),
    getBlock,
    getPendingBlock: () => ask(answers.pendingBlock, "eth_getBlockByNumber", ["pending", false]),
    getBlockNumber: () => ask(answers.quantity, "eth_blockNumber"),
    getBalance: async (address) => ask(answers.quantity, "eth_getBalance", [plain(address), "latest"]),
    getCode: async (address) => ask(answers.bytes, "eth_getCode", [plain(address), "latest"]),
    getTransactionCount: async (address, block) =>
      ask(answers.count, "eth_getTransactionCount", [plain(address), tagOf(block)]),
    getTransaction: async (hash) => ask(answers.transaction, "eth_getTransactionByHash", [plain(hash)]),
    getTransactionReceipt: async (hash) =>
      (await ask(answers.receipt.nullish(), "eth_getTransactionReceipt", [plain(hash)])) ?? null,
    async getLogs({ address, topics, fromBlock, toBlock }) {
      const filter = { address: allPlain(address), topics: topics.map(allPlain) };
      return ask(answers.logs, "eth_getLogs", [{ ...filter, fromBlock: tagOf(fromBlock), toBlock: tagOf(toBlock) }]);
    },
    readContract: call,
    readContracts: async (asked) => (await aggregate(asked)).map((read) => read()) as never,
    async readSome(asked) {
      const orNull = (read: () => unknown): unknown => {
        try {
          return read();
        } catch {
          return null;
        }
      };
      return (await aggregate(asked)).map(orNull) as never;
    },
    estimateGas: (transaction) => ask(answers.quantity, "eth_estimateGas", [transaction]),
    async estimateMaxPriorityFeePerGas() {
      try {
        return await ask(answers.quantity, "eth_maxPriorityFeePerGas");
      } catch {
        // Not every RPC serves it.
        const [{ baseFeePerGas }, price] = await Promise.all([getBlock(), ask(answers.quantity, "eth_gasPrice")]);
        if (baseFeePerGas == null) throw new RpcFault("unusable");
        return price > baseFeePerGas ? price - baseFeePerGas : 0n;
      }
    },
    async sendRawTransaction(raw) {
      await request("eth_sendRawTransaction", [plain(raw)]);
    },
  };
}
