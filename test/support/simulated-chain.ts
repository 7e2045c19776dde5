import { decodeFunctionData, encodeFunctionResult, multicall3Abi, parseAbi, toFunctionSelector, type Hex } from "viem";
import {
  addressWord,
  AUTHORIZATION_USED_TOPIC,
  domainSeparatorOf,
  TRANSFER_TOPIC,
} from "../../src/evidence/eip3009.ts";
import { toHex0x, uint256, type Address } from "../../src/evidence/bytes.ts";

/** An EIP-3009 authorization as it came over the wire. Amounts in base units, times in unix seconds. */
export type Authorization = { from: string; to: string; value: bigint; validBefore: number; nonce: Hex };

/** One JSON-RPC request. */
export type Call = { id: number; method: string; params?: unknown[] };

type Block = { number: number; time: number };
type Log = { address: string; topics: string[]; data: string; logIndex: string };
type Use = { block: number; transaction: string; logs: Log[] };

/** A chain with one EIP-3009 token, in memory: it takes an authorization once and before its end, as the token does. */
export type SimulatedChain = {
  /** Its own clock, unix seconds. */
  now(): number;
  /** Lets its clock run on and mines a block. */
  advance(seconds: number): void;
  mine(): void;
  /** Whoever holds an authorization may do this. The transaction, or null where the token refuses it. */
  redeem(authorization: Authorization): string | null;
  /** The transaction that used the nonce, or null. */
  useOf(nonce: string): string | null;
  canStillMove(authorization: Authorization): boolean;
  /** Answers one JSON-RPC request; throws where a node answers with an error. */
  answer(call: Call): unknown;
};

export const CHAIN_ID = 31337;
export const TOKEN: Address = `0x${"c3".repeat(20)}`;
export const DOMAIN = { name: "USD Coin", version: "2" };

const ABI = parseAbi([
  "function authorizationState(address authorizer, bytes32 nonce) view returns (bool)",
  "function balanceOf(address owner) view returns (uint256)",
  "function nonceBitmap(address owner, uint256 wordPos) view returns (uint256)",
  "function allowance(address owner, address spender) view returns (uint256)",
  "function decimals() view returns (uint8)",
  "function name() view returns (string)",
  "function version() view returns (string)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
]);

/** Reads many contracts in one call. */
const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";

/** Whether a request is for the state of an authorization. */
export const asksForUse = ({ method, params }: Call): boolean =>
  method === "eth_call" && JSON.stringify(params).includes(USE_SELECTOR);
const USE_SELECTOR = toFunctionSelector("authorizationState(address,bytes32)");

const hex = (value: number): Hex => `0x${value.toString(16)}`;
const word = (text: string, value: number): string => `0x${text}${value.toString(16).padStart(64 - text.length, "0")}`;
const SEPARATOR = domainSeparatorOf({ ...DOMAIN, chainId: CHAIN_ID, verifyingContract: TOKEN });

export function createSimulatedChain(time: number): SimulatedChain {
  const blocks: Block[] = [
    { number: 0, time: time - 100_000 },
    { number: 1, time },
  ];
  const uses = new Map<string, Use>();
  let now = time;

  const head = (): Block => blocks.at(-1) ?? { number: 0, time: 0 };
  const mine = (): number => blocks.push({ number: head().number + 1, time: now }) - 1;
  const isValid = ({ nonce, validBefore }: Authorization): boolean => !uses.has(nonce) && now < validBefore;

  const asBlock = ({ number, time: timestamp }: Block): unknown => ({
    number: hex(number),
    hash: word("b", number),
    parentHash: word("b", Math.max(number - 1, 0)),
    timestamp: hex(timestamp),
    transactions: [],
  });

  const logsOf = ({ block, transaction, logs }: Use): unknown[] =>
    logs.map((log) => ({
      ...log,
      blockNumber: hex(block),
      blockHash: word("b", block),
      transactionHash: transaction,
      transactionIndex: "0x0",
      removed: false,
    }));

  const read = (data: Hex, block: number): Hex => {
    const { functionName, args } = decodeFunctionData({ abi: ABI, data });
    const give = (result: never): Hex => encodeFunctionResult({ abi: ABI, functionName, result });
    switch (functionName) {
      case "authorizationState":
        return give(((uses.get(args[1])?.block ?? Infinity) <= block) as never);
      case "balanceOf":
        return give((10n ** 12n) as never);
      case "allowance":
      case "nonceBitmap":
        return give(0n as never);
      case "decimals":
        return give(6 as never);
      case "name":
        return give(DOMAIN.name as never);
      case "version":
        return give(DOMAIN.version as never);
      case "DOMAIN_SEPARATOR":
        return give(SEPARATOR as never);
      default:
        return functionName satisfies never;
    }
  };

  /** Calls made together. */
  const readTogether = (data: Hex, block: number): Hex => {
    const { args: calls } = decodeFunctionData({ abi: multicall3Abi, data });
    const [asked = []] = calls as unknown as [{ callData: Hex }[] | undefined];
    const result = asked.map(({ callData }) => ({ success: true, returnData: read(callData, block) }));
    return encodeFunctionResult({ abi: multicall3Abi, functionName: "aggregate3", result });
  };

  const find = (hash: unknown): Use | undefined => [...uses.values()].find(({ transaction }) => transaction === hash);

  const numberOf = (tag: unknown): number =>
    typeof tag === "string" && tag.startsWith("0x") ? Number(tag) : head().number;

  return {
    now: () => now,
    advance(seconds) {
      now += seconds;
      mine();
    },
    mine: () => void mine(),
    redeem(authorization) {
      const { from, to, value, nonce } = authorization;
      if (!isValid(authorization)) return null;
      const transaction = word("a", uses.size + 1);
      const payer = toHex0x(addressWord(from));
      const logs = [
        { address: TOKEN, topics: [AUTHORIZATION_USED_TOPIC, payer, nonce], data: "0x", logIndex: "0x0" },
        {
          address: TOKEN,
          topics: [TRANSFER_TOPIC, payer, toHex0x(addressWord(to))],
          data: toHex0x(uint256(value)),
          logIndex: "0x1",
        },
      ];
      uses.set(nonce, { block: mine(), transaction, logs });
      return transaction;
    },
    useOf: (nonce) => uses.get(nonce)?.transaction ?? null,
    canStillMove: isValid,
    answer({ method, params = [] }) {
      switch (method) {
        case "eth_chainId":
          return hex(CHAIN_ID);
        case "eth_getCode":
          return "0x60";
        case "eth_getBlockByNumber": {
          // It makes blocks when they are needed: its head tells the time only where that is recent.
          const block = params[0] === "pending" ? head() : blocks[numberOf(params[0])];
          return block === undefined ? null : asBlock(block);
        }
        case "eth_call": {
          const [{ data, to }, block] = params as [{ data: Hex; to?: string }, unknown];
          return (to === MULTICALL3 ? readTogether : read)(data, numberOf(block));
        }
        case "eth_getTransactionReceipt": {
          const use = find(params[0]);
          if (use === undefined) return null;
          const { block, transaction } = use;
          return {
            transactionHash: transaction,
            blockNumber: hex(block),
            blockHash: word("b", block),
            status: "0x1",
            logs: logsOf(use),
          };
        }
        case "eth_getLogs": {
          const [{ fromBlock, toBlock, topics }] = params as [{ fromBlock: Hex; toBlock: Hex; topics: unknown[] }];
          return [...uses.values()]
            .filter(({ block }) => block >= Number(fromBlock) && block <= Number(toBlock))
            .flatMap(logsOf)
            .filter((log) => (log as Log).topics[2] === topics[2]);
        }
        default:
          throw new Error(`the simulated chain answers no ${method}`);
      }
    },
  };
}
