import { readSettling, type Settling } from "../chain/settling.ts";
import { lowered, type Hex } from "../evidence/bytes.ts";
import { usesAuthorization } from "../evidence/settlement.ts";
import type { Payment } from "../receipts/schema.ts";
import { payerOf } from "./methods/methods.ts";
import type { ChainClient, TransactionReceipt } from "../chain/client.ts";

export type Block = {
  number: bigint;
  hash: Hex;
  time: number;
  /** The hashes of its transactions; null where the node does not tell them. */
  transactions: readonly Hex[] | null;
};
/** A successful transaction as it touched the payment's token. */
export type TokenTransaction = Settling & {
  hash: Hex;
  blockNumber: bigint;
  blockHash: Hex;
  /** It used the authorization. */
  used: boolean;
};

export async function readBlock(client: ChainClient, number?: bigint): Promise<Block> {
  const block = await client.getBlock(number);
  return {
    number: block.number,
    hash: lowered(block.hash),
    time: Number(block.timestamp),
    transactions: block.transactions?.map(lowered) ?? null,
  };
}

/** Gives null for a failed transaction, and for one unknown to this node. */
export async function readTransaction(
  client: ChainClient,
  payment: Payment,
  name: string,
): Promise<TokenTransaction | null> {
  if (!/^0x[0-9a-f]{64}$/.test(name)) return null;
  const hash: Hex = `0x${name.slice(2)}`;
  const receipt = await receiptOf(client, hash);
  if (receipt === null || receipt.status !== "success") return null;
  const settling = await readSettling(client, payment, receipt);
  return {
    hash,
    blockNumber: receipt.blockNumber,
    blockHash: lowered(receipt.blockHash),
    ...settling,
    used: usesAuthorization(settling, payment),
  };
}

/** Whether the node has a transaction that is in a block, with success or without. */
export const isMined = async (client: ChainClient, hash: Hex): Promise<boolean> =>
  (await receiptOf(client, hash)) !== null;

/** Asks once more for what a node does not have: behind a balancer the next node may have it. */
async function receiptOf(client: ChainClient, hash: Hex): Promise<TransactionReceipt | null> {
  return (await client.getTransactionReceipt(hash)) ?? client.getTransactionReceipt(hash);
}

/** Whether the nonce is used or canceled, in the state of exactly that block (a lagging RPC node fails instead). */
export const isSpent = (client: ChainClient, payment: Payment, blockNumber: bigint): Promise<boolean> =>
  payerOf(payment).isSpent(client, payment, blockNumber);
