import type { LogTopic, PublicClient } from "viem";
import { fromHex0x, keccak256, toHex0x, utf8 } from "../evidence/bytes.ts";
import {
  addressWord,
  AUTHORIZATION_USED_TOPIC,
  isAuthorizationUsed,
  readTransfer,
  TRANSFER_TOPIC,
  type TokenLog,
} from "../evidence/eip3009.ts";
import { permitOf } from "../evidence/authorization.ts";
import { PERMIT2, settlingInput } from "../evidence/permit2.ts";
import { movedBy, usesAuthorization } from "../evidence/settlement.ts";
import { settlementEvidence, type Payment, type SettlementEvidence } from "../receipts/schema.ts";
import type { Chain } from "./chain.ts";
import { observeVoucher } from "./settlement-channel.ts";

/** What the chain says became of an authorization. */
export type SettlementView =
  | {
      state: "settled";
      evidence: SettlementEvidence;
      /** 0x hex; null of a voucher, which a claim settles together with others. */
      transaction: string | null;
      /** What moved, base units. */
      amount: string;
    }
  /** Not decided, or not deep enough in the chain. */
  | { state: "pending" }
  /** It can never be used: it ran out unused, or its owner canceled it. */
  | {
      state: "expired";
      reason: "authorization_expired" | "authorization_canceled" | "channel_closed";
      evidence: SettlementEvidence;
    };

/** keccak256("AuthorizationCanceled(address,bytes32)"), both arguments indexed (EIP-3009). */
const AUTHORIZATION_CANCELED_TOPIC = toHex0x(keccak256(utf8("AuthorizationCanceled(address,bytes32)")));

/** `authorizationState(address,bytes32)` returns (bool) (EIP-3009). */
const AUTHORIZATION_STATE_ABI = [
  {
    type: "function",
    name: "authorizationState",
    stateMutability: "view",
    inputs: [
      { name: "authorizer", type: "address" },
      { name: "nonce", type: "bytes32" },
    ],
    outputs: [{ name: "", type: "bool" }],
  },
] as const;

/** `nonceBitmap(address,uint256)`: bit `nonce & 0xff` of word `nonce >> 8` (Permit2 SignatureTransfer.sol, `_useUnorderedNonce`). */
const NONCE_BITMAP_ABI = [
  {
    type: "function",
    name: "nonceBitmap",
    stateMutability: "view",
    inputs: [
      { name: "owner", type: "address" },
      { name: "wordPos", type: "uint256" },
    ],
    outputs: [{ name: "", type: "uint256" }],
  },
] as const;

/** The longest life an authorization can have under any policy, with room for a skewed clock, seconds. */
const SEARCH_SECONDS = 3600 + 900;
/** Blocks per `eth_getLogs`, which public RPCs limit. */
const CHUNK_BLOCKS = 2000n;
const MAX_CHUNKS = 40;
const MAX_LOGS = 64;

/**
 * Asks the chain about a payment. Only what the chain shows counts: `transactionHint` (the seller's word) is where it looks
 * first, and is believed only where that transaction succeeded, used exactly this authorization and moved exactly its
 * amount to its payee. `settled` and `expired` come once the chain's confirmations lie on top.
 *
 * Throws Proof402Error `wrong_chain` or `chain_unreachable`.
 */
export function observeSettlement(
  chain: Chain,
  payment: Payment,
  options: { transactionHint?: string } = {},
): Promise<SettlementView> {
  if (payment.method === "voucher") return observeVoucher(chain, payment);
  return chain.read(async (client) => {
    const head = await readBlock(client);
    const hint = options.transactionHint;
    const hinted = hint === undefined ? null : await readTransaction(client, payment, hint);
    if (hinted !== null && hinted.used && movedBy(hinted, payment) !== null)
      return settled(client, chain, head, payment, hinted);
    if (!(await isSpent(client, payment, head.number))) return expiredOrPending(client, chain, head, payment, null);
    const spender = await findSpender(client, payment, head);
    if (spender === null) return { state: "pending" };
    return spender.used
      ? settled(client, chain, head, payment, spender)
      : expiredOrPending(client, chain, head, payment, spender);
  });
}

/**
 * Whether an authorization's nonce is used (or canceled) at the chain's head, confirmed or not. No voucher has one. Throws
 * Proof402Error `wrong_chain` or `chain_unreachable`.
 */
export const isUsed = (chain: Chain, payment: Payment): Promise<boolean> =>
  chain.read(async (client) => isSpent(client, payment, (await readBlock(client)).number));

type Block = { number: bigint; hash: string; time: number };
/** A successful transaction as it touched the payment's token. */
type TokenTransaction = {
  hash: string;
  blockNumber: bigint;
  blockHash: string;
  logs: (TokenLog & { logIndex: number })[];
  /** The call that it is, where only that shows which authorization it used. */
  to?: string;
  input?: string;
  /** It used the authorization. */
  used: boolean;
};

async function readBlock(client: PublicClient, number?: bigint): Promise<Block> {
  const block = await client.getBlock(number === undefined ? { blockTag: "latest" } : { blockNumber: number });
  return { number: block.number, hash: block.hash.toLowerCase(), time: Number(block.timestamp) };
}

async function readTransaction(client: PublicClient, payment: Payment, hash: string): Promise<TokenTransaction | null> {
  if (!/^0x[0-9a-f]{64}$/.test(hash)) return null;
  const receipt = await client.getTransactionReceipt({ hash: toHex0x(fromHex0x(hash)) }).catch((error: unknown) => {
    if (error instanceof Error && error.name === "TransactionReceiptNotFoundError") return null;
    throw error;
  });
  if (receipt === null || receipt.status !== "success") return null;
  const logs = receipt.logs
    .map((log) => ({
      address: log.address.toLowerCase(),
      topics: log.topics.map((topic) => topic.toLowerCase()),
      data: log.data.toLowerCase(),
      logIndex: log.logIndex,
    }))
    .filter((log) => log.address === payment.asset);
  const call = payment.method === "permit2" ? await readCall(client, payment, receipt.transactionHash) : {};
  return {
    hash,
    blockNumber: receipt.blockNumber,
    blockHash: receipt.blockHash.toLowerCase(),
    logs,
    ...call,
    used: usesAuthorization({ logs, ...call }, payment),
  };
}

async function readCall(
  client: PublicClient,
  payment: Payment,
  hash: `0x${string}`,
): Promise<{ to: string; input: string } | {}> {
  const { to, input } = await client.getTransaction({ hash });
  // What trails the call's arguments, of whatever length, is no part of the evidence.
  return to === null ? {} : { to: to.toLowerCase(), input: settlingInput(input.toLowerCase(), permitOf(payment)) };
}

/** Whether the nonce is used or canceled, in the state of exactly that block (a lagging RPC node fails instead). */
const isSpent = (client: PublicClient, payment: Payment, blockNumber: bigint): Promise<boolean> =>
  payment.method === "permit2"
    ? isBitSet(client, payment, blockNumber)
    : isAuthorizationSpent(client, payment, blockNumber);

async function isBitSet(client: PublicClient, payment: Payment, blockNumber: bigint): Promise<boolean> {
  const nonce = BigInt(payment.nonce);
  const word = await client.readContract({
    address: toHex0x(fromHex0x(PERMIT2)),
    abi: NONCE_BITMAP_ABI,
    functionName: "nonceBitmap",
    args: [toHex0x(fromHex0x(payment.payer)), nonce >> 8n],
    blockNumber,
  });
  return ((word >> (nonce & 0xffn)) & 1n) === 1n;
}

const isAuthorizationSpent = (client: PublicClient, payment: Payment, blockNumber: bigint): Promise<boolean> =>
  client.readContract({
    address: toHex0x(fromHex0x(payment.asset)),
    abi: AUTHORIZATION_STATE_ABI,
    functionName: "authorizationState",
    args: [toHex0x(fromHex0x(payment.payer)), toHex0x(fromHex0x(payment.nonce))],
    blockNumber,
  });

async function settled(
  client: PublicClient,
  chain: Chain,
  head: Block,
  payment: Payment,
  transaction: TokenTransaction,
): Promise<SettlementView> {
  if (head.number - transaction.blockNumber < BigInt(chain.confirmations)) return { state: "pending" };
  const block = await readBlock(client, transaction.blockNumber);
  // The block was replaced while we looked.
  if (block.hash !== transaction.blockHash) return { state: "pending" };
  const evidence = evidenceOf(payment, block, "settled", transaction);
  return { state: "settled", evidence, transaction: transaction.hash, amount: movedAmount(transaction, payment) };
}

/** What the payment moved. A token that moved something else (a fee, say) is counted at whichever is more. */
function movedAmount(transaction: TokenTransaction, payment: Payment): string {
  const promised = BigInt(payment.amount);
  const moves = movedBy(transaction, payment);
  if (moves !== null) return moves.toString();
  const moved = transaction.logs
    .map((log) => readTransfer(log, payment.asset))
    .reduce((total, transfer) => total + (transfer?.from === payment.payer ? transfer.value : 0n), 0n);
  return (moved > promised ? moved : promised).toString();
}

/**
 * EIP-3009 allows use only in a block whose time is before `validBefore`. Once a confirmed block is past it, an
 * authorization unused at the head stays unused. `cancellation` is the transaction that took it back, if one did.
 */
async function expiredOrPending(
  client: PublicClient,
  chain: Chain,
  head: Block,
  payment: Payment,
  cancellation: TokenTransaction | null,
): Promise<SettlementView> {
  const depth = BigInt(chain.confirmations);
  if (head.time <= payment.validBefore || head.number < depth) return { state: "pending" };
  const block = depth === 0n ? head : await readBlock(client, head.number - depth);
  if (block.time <= payment.validBefore) return { state: "pending" };
  if (cancellation !== null && cancellation.blockNumber > block.number) return { state: "pending" };
  const reason = cancellation === null ? "authorization_expired" : "authorization_canceled";
  return { state: "expired", reason, evidence: evidenceOf(payment, block, "expired", null) };
}

/** Parsed by the receipt's own schema: a malformed answer of the RPC ends here and not in a receipt. */
const evidenceOf = (
  payment: Payment,
  block: Block,
  outcome: SettlementEvidence["outcome"],
  transaction: TokenTransaction | null,
): SettlementEvidence =>
  settlementEvidence.parse({
    kind: "settlement.x402",
    network: payment.network,
    outcome,
    ...(transaction === null ? {} : { transaction: transaction.hash }),
    blockNumber: block.number.toString(),
    blockHash: block.hash,
    blockTime: block.time,
    logs: transaction === null ? [] : relevantLogs(transaction, payment),
    ...(transaction?.to === undefined ? {} : { to: transaction.to, input: transaction.input }),
  });

/** All of the token's logs where they fit; of a large batch those that concern this payer. */
function relevantLogs(transaction: TokenTransaction, payment: Payment): TokenTransaction["logs"] {
  const { logs } = transaction;
  if (logs.length <= MAX_LOGS) return logs;
  const needed = logs.filter(
    (log) =>
      isAuthorizationUsed(log, payment.asset, payment.payer, payment.nonce) ||
      movedBy({ ...transaction, logs: [log] }, payment) !== null,
  );
  return needed.slice(0, MAX_LOGS);
}

/** The transaction that used the nonce (or, under EIP-3009, canceled it), looked for where its use was possible; null where none is found. */
async function findSpender(client: PublicClient, payment: Payment, head: Block): Promise<TokenTransaction | null> {
  const [first] = await bracket(client, head, payment.validBefore - SEARCH_SECONDS);
  const [, last] = await bracket(client, head, payment.validBefore);
  const payer = toHex0x(addressWord(payment.payer));
  const topics: LogTopic[] =
    payment.method === "permit2"
      ? [TRANSFER_TOPIC, payer, toHex0x(addressWord(payment.payTo))]
      : [[AUTHORIZATION_USED_TOPIC, AUTHORIZATION_CANCELED_TOPIC], payer, toHex0x(fromHex0x(payment.nonce))];
  for (let chunk = 0, from = first; chunk < MAX_CHUNKS && from <= last; chunk += 1, from += CHUNK_BLOCKS) {
    const to = from + CHUNK_BLOCKS - 1n < last ? from + CHUNK_BLOCKS - 1n : last;
    const logs = await client.request({
      method: "eth_getLogs",
      params: [
        {
          address: toHex0x(fromHex0x(payment.asset)),
          topics,
          fromBlock: `0x${from.toString(16)}`,
          toBlock: `0x${to.toString(16)}`,
        },
      ],
    });
    for (const hash of new Set(logs.flatMap((log) => log.transactionHash?.toLowerCase() ?? []))) {
      const found = await readTransaction(client, payment, hash);
      // An EIP-3009 log names the nonce, so its transaction is the one; a transfer may be another payment's.
      if (found?.used === true || payment.method === "eip3009") return found;
    }
  }
  return null;
}

/** Two block numbers not far apart, the first before `time` (or block 0) and the second not before it, or the head's. */
async function bracket(client: PublicClient, head: Block, time: number): Promise<[bigint, bigint]> {
  // A chain whose clock lags ours by that much: its newest blocks are all that can matter.
  if (head.time < time) return [head.number > CHUNK_BLOCKS ? head.number - CHUNK_BLOCKS : 0n, head.number];
  let after = head.number;
  let before = head.number;
  for (let step = 64n; before > 0n; step *= 2n) {
    before = before > step ? before - step : 0n;
    if ((await readBlock(client, before)).time < time) break;
    after = before;
  }
  while (after - before > 64n) {
    const middle = (before + after) / 2n;
    if ((await readBlock(client, middle)).time < time) before = middle;
    else after = middle;
  }
  return [before, after];
}
